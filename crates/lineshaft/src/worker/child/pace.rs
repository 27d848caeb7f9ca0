//! How many jobs a child asks for ahead of its slot.
//!
//! Enough to keep the slot busy while the next leases are on their way, which takes about three commits; never so many
//! that a job waits here long while another child is idle.

use std::time::Duration;

/// Most jobs that a child holds for its only slot.
const PREFETCH_MAX: u32 = 1_024;
/// An attempt that runs longer keeps no others waiting behind it: they are handed back.
pub(super) const LONG: Duration = Duration::from_millis(50);
/// A commit's round trip where none was measured, and the least that is assumed.
const TRIP_MIN: f64 = 0.001_5;
/// The most that is assumed: a slow disk must not make a child hoard.
const TRIP_MAX: f64 = 0.020;
/// Round trips worth of jobs.
const TRIPS: f64 = 2.0;
/// Arguments that a child holds ahead, roughly.
const BYTES_MAX: f64 = (16 << 20) as f64;
/// Weight of the newest sample.
const WEIGHT: f64 = 1.0 / 8.0;

/// Moving averages of recent attempts and commits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    run_seconds: Option<f64>,
    argument_bytes: f64,
    trip_seconds: Option<f64>,
}

impl Pace {
    /// An attempt took this long and had arguments of this size.
    pub(super) fn record_run(&mut self, took: Duration, argument_bytes: usize) {
        average(&mut self.run_seconds, took.as_secs_f64());
        self.argument_bytes += (argument_bytes as f64 - self.argument_bytes) * WEIGHT;
    }

    /// The server confirmed ends after this long.
    pub(super) fn record_trip(&mut self, took: Duration) {
        average(&mut self.trip_seconds, took.as_secs_f64());
    }

    /// Whether ends come so seldom that none is worth waiting for.
    pub(super) fn is_slow(&self) -> bool {
        self.run_seconds.is_none_or(|run| run > 0.000_5)
    }

    /// Jobs to hold, the running one included; 1 to [`PREFETCH_MAX`].
    pub(super) fn target(&self) -> u32 {
        let Some(run) = self.run_seconds else { return 1 };
        if run >= LONG.as_secs_f64() {
            return 1;
        }
        let trip = self.trip_seconds.unwrap_or(TRIP_MIN).clamp(TRIP_MIN, TRIP_MAX);
        let by_time = (TRIPS * trip / run.max(1e-6)).ceil().max(2.0);
        let by_bytes = (BYTES_MAX / self.argument_bytes.max(1.0)).floor().max(1.0);
        by_time.min(by_bytes).min(f64::from(PREFETCH_MAX)) as u32
    }
}

fn average(average: &mut Option<f64>, sample: f64) {
    let before = average.unwrap_or(sample);
    *average = Some(before + (sample - before) * WEIGHT);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(run: Duration, argument_bytes: usize) -> u32 {
        let mut pace = Pace::default();
        for _ in 0..200 {
            pace.record_run(run, argument_bytes);
        }
        pace.target()
    }

    #[test]
    fn as_many_jobs_are_held_as_run_in_about_three_commits() {
        for (run, expected) in [
            (Duration::ZERO, PREFETCH_MAX),
            (Duration::from_micros(8), 375),
            (Duration::from_micros(290), 11),
            (Duration::from_millis(2), 2),
            (Duration::from_millis(49), 2),
            (Duration::from_millis(51), 1),
            (Duration::from_secs(3_600), 1),
        ] {
            assert_eq!(target(run, 100), expected, "{run:?}");
        }
    }

    #[test]
    fn the_first_job_comes_alone() {
        assert_eq!(Pace::default().target(), 1);
    }

    #[test]
    fn large_arguments_are_not_hoarded() {
        assert_eq!(target(Duration::from_micros(8), 8 << 20), 2);
        assert_eq!(target(Duration::from_micros(8), 64 << 20), 1);
    }

    #[test]
    fn a_slow_disk_asks_for_more_but_not_without_end() {
        let mut pace = Pace::default();
        pace.record_run(Duration::from_millis(1), 100);
        for (trip, expected) in [(Duration::from_millis(10), 20), (Duration::from_secs(60), 40)] {
            (0..200).for_each(|_| pace.record_trip(trip));
            assert_eq!(pace.target(), expected, "{trip:?}");
        }
    }

    #[test]
    fn one_long_job_lowers_the_target_at_once() {
        let mut pace = Pace::default();
        (0..1_000).for_each(|_| pace.record_run(Duration::from_micros(8), 100));
        pace.record_run(Duration::from_secs(10), 100);
        assert_eq!(pace.target(), 1);
    }
}
