//! Whether a body is run at once by whoever takes its job, or gets a task of the runtime.
//!
//! A task of the runtime costs about a microsecond, and lets bodies wait, run beside each other and be stopped. A body that
//! needs less time than that and waits for nothing gets none; how its latest ones did decides.

use std::time::Duration;

/// Bodies that take longer have a task each, which costs them little. Without optimisation everything takes longer.
const SHORT: Duration = Duration::from_micros(if cfg!(debug_assertions) { 200 } else { 5 });
/// Weight of the newest one.
const WEIGHT: f64 = 1.0 / 8.0;

/// What is known of the bodies of one task.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tempo {
    seconds: Option<f64>,
}

impl Tempo {
    /// Whether the next body is likely to be over soon, without a wait.
    pub(super) fn is_short(self) -> bool {
        self.seconds.is_some_and(|seconds| seconds <= SHORT.as_secs_f64())
    }

    /// A body took this long.
    pub(super) fn record(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        let before = self.seconds.unwrap_or(took);
        self.seconds = Some(before + (took - before) * WEIGHT);
    }

    /// A body was begun as a short one, and waits for something.
    pub(super) fn waits(&mut self) {
        self.seconds = Some(WAITS.as_secs_f64());
    }
}

/// As which a body counts that waits: some short ones have to follow it.
const WAITS: Duration = SHORT.saturating_mul(8);

#[cfg(test)]
mod tests {
    use super::*;

    fn after(tooks: &[u64]) -> Tempo {
        let mut tempo = Tempo::default();
        tooks.iter().for_each(|&micros| tempo.record(Duration::from_micros(micros)));
        tempo
    }

    #[test]
    fn a_task_that_is_not_known_yet_may_take_long() {
        assert!(!Tempo::default().is_short());
        assert!(after(&[1]).is_short());
    }

    #[test]
    fn one_long_body_is_enough_and_many_short_ones_win_again() {
        let mut tempo = after(&[1; 100]);
        tempo.record(Duration::from_secs(1));
        assert!(!tempo.is_short());
        let again = (0..1_000)
            .take_while(|_| {
                tempo.record(Duration::from_micros(1));
                !tempo.is_short()
            })
            .count();
        assert!((40..200).contains(&again), "{again}");
    }

    #[test]
    fn a_body_that_waits_is_not_short() {
        let mut tempo = after(&[1; 100]);
        tempo.waits();
        assert!(!tempo.is_short());
    }
}
