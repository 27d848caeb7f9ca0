//! What the figures of a task's attempts say about what would make them faster, or fewer.

use std::time::Duration;

/// Attempts and calls below which nothing is said.
const FEW: u64 = 20;
/// Parts from which something is said.
const REPEATED: f64 = 0.30;
const COLLECTED: f64 = 0.05;
/// With a processor for less than this part of their time, attempts wait.
const BUSY: f64 = 0.20;
/// An attempt that takes less is about as long as what a job costs besides.
const TINY: Duration = Duration::from_micros(100);
/// So many tiny ones are worth a change.
const MANY: u64 = 1_000;
/// Below that nobody is helped by keeping a result.
const WORTH_KEEPING: Duration = Duration::from_micros(500);
/// All attempts together: below that they may wait as they like.
const WORTH_SHARING: Duration = Duration::from_secs(1);
/// Jobs that wait this long, and so many times as long as their attempts take, lack workers.
const LATE: Duration = Duration::from_secs(1);
const LATE_TIMES: u32 = 10;
/// Bytes in and out of one attempt that are worth a thought.
const HEAVY_BYTES: u64 = 1 << 20;

/// The figures. Times are of attempts that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// Calls of the last hour.
    pub calls: u64,
    /// Those of them that repeat arguments of the hour before them.
    pub repeated: u64,
    /// Attempts of which it is known how long they ran.
    pub attempts: u64,
    /// How long they ran together.
    pub ran: Duration,
    /// Half of them ran at most so long.
    pub ran_half: Duration,
    /// Half of the jobs were ready for at least so long before.
    pub waited_half: Duration,
    /// How long those ran together whose CPU time is known, and that; `None` if it is known of none.
    pub cpu: Option<(Duration, Duration)>,
    /// How long the garbage collector worked.
    pub collected: Duration,
    /// Bytes of arguments, results and what was printed.
    pub bytes: u64,
    /// Whether they are known to await something, as coroutines do, and so wait in a loop already.
    pub awaits: bool,
}

impl Habits {
    /// Plain sentences with figures; none where there is nothing to say, or too little to say it by.
    pub fn advice(&self) -> Vec<String> {
        let said = [
            self.on_repetition(),
            self.on_tiny_ones(),
            self.on_waiting(),
            self.on_being_late(),
            self.on_garbage(),
            self.on_bytes(),
        ];
        said.into_iter().flatten().collect()
    }

    fn on_repetition(&self) -> Option<String> {
        let Self { calls, repeated, .. } = *self;
        let is_much = calls >= FEW && part(repeated, calls) >= REPEATED;
        (is_much && self.attempts > 0 && self.mean() >= WORTH_KEEPING).then(|| {
            let spared = self.mean().saturating_mul(u32::try_from(repeated).unwrap_or(u32::MAX));
            format!(
                "{} of {calls} calls repeat arguments of the hour before: cache=\"10m\" would answer such calls without an \
                 attempt, and spare up to {} of this hour's time.",
                percent(part(repeated, calls)),
                time(spared)
            )
        })
    }

    fn on_tiny_ones(&self) -> Option<String> {
        (self.attempts >= MANY && self.ran_half < TINY).then(|| {
            format!(
                "half of {} attempts ran {} at most, about what each costs besides: one call for many items would spare \
                 most of that.",
                self.attempts,
                time(self.ran_half)
            )
        })
    }

    fn on_waiting(&self) -> Option<String> {
        let (ran, cpu) = self.cpu?;
        let busy = cpu.as_secs_f64() / ran.as_secs_f64().max(f64::MIN_POSITIVE);
        // Threads are of no use to who waits in a loop, if that may have more to wait for.
        let how = if self.awaits {
            "with more slots in one loop (--kind async --slots)"
        } else {
            "as coroutines (--kind async) or in threads (--kind thread)"
        };
        (self.attempts >= FEW && ran >= WORTH_SHARING && busy < BUSY).then(|| {
            format!(
                "attempts had a processor for {} of {}: {how}, many of them would wait at the same time.",
                percent(busy),
                time(ran)
            )
        })
    }

    fn on_being_late(&self) -> Option<String> {
        let is_late =
            self.waited_half >= LATE && self.waited_half >= self.ran_half.saturating_mul(LATE_TIMES);
        (self.attempts >= FEW && is_late).then(|| {
            format!(
                "half of the jobs were ready for {} or more before attempts that run {}: more workers or slots would begin \
                 them sooner.",
                time(self.waited_half),
                time(self.ran_half)
            )
        })
    }

    fn on_garbage(&self) -> Option<String> {
        let part = self.collected.as_secs_f64() / self.ran.as_secs_f64().max(f64::MIN_POSITIVE);
        (self.attempts >= FEW && part >= COLLECTED).then(|| {
            format!(
                "{} of the time of attempts, {}, went into garbage collections: fewer objects that refer to each other, or \
                 gc.freeze() when the worker has loaded, would spare some of it.",
                percent(part),
                time(self.collected)
            )
        })
    }

    fn on_bytes(&self) -> Option<String> {
        let each = self.bytes / self.attempts.max(1);
        (self.attempts >= FEW && each >= HEAVY_BYTES).then(|| {
            format!(
                "an attempt takes and gives {:.1} MiB: a path or a key in their place would spare writing and reading them.",
                each as f64 / f64::from(1 << 20)
            )
        })
    }

    fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.ran.as_secs_f64() / self.attempts.max(1) as f64)
    }
}

fn part(some: u64, all: u64) -> f64 {
    some as f64 / all.max(1) as f64
}

fn percent(part: f64) -> String {
    format!("{:.0} %", 100.0 * part)
}

/// Three digits and a unit, whole seconds from 1,000 on.
fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (number, unit) = match seconds {
        1.0.. => (seconds, "s"),
        1e-3.. => (seconds * 1e3, "ms"),
        _ => (seconds * 1e6, "us"),
    };
    let decimals = if number >= 100.0 {
        0
    } else if number >= 10.0 {
        1
    } else {
        2
    };
    format!("{number:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody could read from when on something is said.
    #[test]
    fn the_guide_says_from_when_on() {
        let guide = include_str!("../../../docs/guides/profiling.md");
        let mib = HEAVY_BYTES >> 20;
        for row in [
            format!(
                "| calls that repeat | {FEW} calls in the last hour, {} of them repeated, and attempts of {} on average |",
                percent(REPEATED),
                time(WORTH_KEEPING)
            ),
            format!("| tiny attempts | {MANY} attempts, half of them shorter than {} |", time(TINY)),
            format!(
                "| waiting | {FEW} attempts, {} of them together, with a processor for less than {} of it |",
                time(WORTH_SHARING),
                percent(BUSY)
            ),
            format!(
                "| being late | {FEW} attempts; half of the jobs were ready for {}, and {LATE_TIMES} times what half of the \
                attempts run at most |",
                time(LATE)
            ),
            format!("| garbage | {FEW} attempts, {} of their time in collections |", percent(COLLECTED)),
            format!(
                "| large values | {FEW} attempts, {mib} MiB of arguments, results and output on average |"
            ),
        ] {
            assert!(guide.contains(&row), "docs/guides/profiling.md lacks {row}");
        }
    }
}
