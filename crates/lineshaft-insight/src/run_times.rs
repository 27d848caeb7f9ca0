//! How long the runs of a task take, as far as it matters for which of them is long.

use std::time::Duration;

/// Runs before it is known what is long.
pub const RUNS_MIN: u32 = 100;
/// What is shorter is never long: those runs are all alike, and are counted together.
pub const LONG_MIN: Duration = Duration::from_secs(1);
/// Then all counts are halved, so that what was long ago counts for less.
const RUNS_MAX: u32 = 1 << 16;
/// Counts for each doubling of the time, and how many there are: up to half a year.
const PER_DOUBLING: usize = 4;
const COUNTS: usize = 24 * PER_DOUBLING;

/// Run times, in 400 bytes.
///
/// ```
/// use std::time::Duration;
///
/// use lineshaft_insight::RunTimes;
///
/// let mut times = RunTimes::default();
/// (0..200).for_each(|_| times.record(Duration::from_secs(3)));
/// assert!(times.long_after().is_some_and(|long| long > Duration::from_secs(3)));
/// ```
#[derive(Clone, Debug)]
pub struct RunTimes {
    all: u32,
    /// Of those from [`LONG_MIN`] on, by time.
    long: [u32; COUNTS],
}

impl Default for RunTimes {
    fn default() -> Self {
        Self { all: 0, long: [0; COUNTS] }
    }
}

impl RunTimes {
    /// A run took so long.
    pub fn record(&mut self, took: Duration) {
        self.all += 1;
        if took >= LONG_MIN {
            self.long[count_of(took)] += 1;
        }
        if self.all >= RUNS_MAX {
            self.all /= 2;
            self.long.iter_mut().for_each(|count| *count /= 2);
        }
    }

    /// The time that 99 of 100 runs do not reach, up to a fifth too much, and [`LONG_MIN`] at least; `None` before
    /// [`RUNS_MIN`] runs.
    pub fn long_after(&self) -> Option<Duration> {
        if self.all < RUNS_MIN {
            return None;
        }
        let (mut above, mut at) = (0, COUNTS);
        while at > 0 && above + self.long[at - 1] <= self.all / 100 {
            above += self.long[at - 1];
            at -= 1;
        }
        Some(LONG_MIN.mul_f64((at as f64 / PER_DOUBLING as f64).exp2()))
    }
}

/// Which count has a time of [`LONG_MIN`] at least.
fn count_of(took: Duration) -> usize {
    let doublings = (took.as_secs_f64() / LONG_MIN.as_secs_f64()).log2();
    ((doublings * PER_DOUBLING as f64) as usize).min(COUNTS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_after(runs: &[(usize, u64)]) -> Option<f64> {
        let mut times = RunTimes::default();
        for (count, ms) in runs {
            (0..*count).for_each(|_| times.record(Duration::from_millis(*ms)));
        }
        times.long_after().map(|long| long.as_secs_f64())
    }

    #[test]
    fn what_ninety_nine_in_a_hundred_do_not_reach_is_long() {
        assert_eq!(long_after(&[(99, 5)]), None);
        assert_eq!(long_after(&[(100, 5)]), Some(1.0));
        assert_eq!(long_after(&[(1_000, 5), (9, 60_000)]), Some(1.0));
        let check = |runs: &[(usize, u64)], least: f64, most: f64| {
            let found = long_after(runs);
            assert!(found.is_some_and(|found| (least..=most).contains(&found)), "{runs:?}: {found:?}");
        };
        check(&[(1_000, 5), (20, 60_000)], 60.0, 72.0);
        check(&[(200, 3_000)], 3.0, 3.6);
        check(&[(500, 3_000), (4, 900_000)], 3.0, 3.6);
        check(&[(200, u64::MAX)], 1e6, 1e9);
    }

    #[test]
    fn what_was_long_ago_counts_for_less() {
        let mut times = RunTimes::default();
        (0..2_000).for_each(|_| times.record(Duration::from_secs(100)));
        assert!(times.long_after() > Some(Duration::from_secs(90)));
        (0..400_000).for_each(|_| times.record(Duration::from_millis(1)));
        assert_eq!(times.long_after(), Some(LONG_MIN));
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<RunTimes>() <= 400);
    }
}
