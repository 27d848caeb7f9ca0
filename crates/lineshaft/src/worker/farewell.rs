//! What a worker that stops says to whoever stopped it: what it waits for, and for how long.

use std::time::{Duration, Instant};

/// What ends within this time is not worth a word.
const FIRST_AFTER: Duration = Duration::from_millis(200);
/// Time between two words about it.
const EVERY: Duration = Duration::from_secs(5);

/// A stop that people wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell {
    ends_at: Instant,
    say_at: Instant,
    /// What a second signal does with attempts, which is said once: `kills`, `stops`.
    hurry: Option<&'static str>,
}

impl Farewell {
    /// Attempts may take the grace; `hurry` is what a second signal does with them, if somebody listens to it.
    pub(crate) fn new(now: Instant, grace: Duration, hurry: Option<&'static str>) -> Self {
        Self { ends_at: now + grace, say_at: now + FIRST_AFTER, hurry }
    }

    /// When there may be something to say.
    pub(crate) fn due(&self) -> Instant {
        self.say_at
    }

    /// What to say now that `running` attempts have not ended; nothing when nobody waits for anything.
    pub(crate) fn words(&mut self, now: Instant, running: usize) -> Option<String> {
        if now < self.say_at {
            return None;
        }
        self.say_at = now + EVERY;
        if running == 0 {
            return None;
        }
        let left = self.ends_at.saturating_duration_since(now).as_secs_f64().ceil();
        let (which, it) = counted(running);
        Some(match self.hurry.take() {
            Some(does) => {
                format!("the worker stops: {which} for up to {left} s; Ctrl-C or SIGTERM {does} {it} at once")
            }
            None => format!("the worker stops: {which} for up to {left} s"),
        })
    }
}

/// What to say when `running` attempts are killed because somebody asked for it; nothing where there are none.
pub(crate) fn words_of_kill(running: usize) -> Option<String> {
    let which = if running == 1 { "1 attempt is".to_owned() } else { format!("{running} attempts are") };
    (running > 0).then(|| format!("the worker stops at once: {which} killed, and left for other workers"))
}

fn counted(running: usize) -> (String, &'static str) {
    if running == 1 {
        ("1 attempt may run on".to_owned(), "it")
    } else {
        (format!("{running} attempts may run on"), "them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_what_is_waited_for_soon_and_then_now_and_then() {
        let start = Instant::now();
        let mut farewell = Farewell::new(start, Duration::from_secs(12), Some("kills"));
        let mut said = Vec::new();
        for (millis, running) in
            [(0, 2), (200, 2), (1_000, 2), (5_200, 2), (9_000, 1), (10_200, 1), (15_200, 0)]
        {
            said.extend(farewell.words(start + Duration::from_millis(millis), running));
        }
        assert_eq!(
            said,
            [
                "the worker stops: 2 attempts may run on for up to 12 s; Ctrl-C or SIGTERM kills them at once",
                "the worker stops: 2 attempts may run on for up to 7 s",
                "the worker stops: 1 attempt may run on for up to 2 s",
            ]
        );
        assert_eq!((words_of_kill(0), words_of_kill(1).is_some()), (None, true));
    }
}
