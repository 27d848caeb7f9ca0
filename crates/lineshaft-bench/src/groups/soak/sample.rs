//! What was seen in a window of a soak.

use std::time::Duration;

use lineshaft_wire::message::StatusReport;

use super::latency::Window;
use crate::figure::number;
use crate::stats::{Spread, mean, percentile};

/// What a sample is made of.
pub(super) struct Seen<'a> {
    pub(super) status: &'a StatusReport,
    /// Jobs that ended in the window.
    pub(super) ended: f64,
    pub(super) seconds: f64,
    pub(super) server_cpu_us: f64,
    pub(super) workers_bytes: u64,
    pub(super) window: &'a Window,
}

/// Of many waits, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Waits {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Waits {
    fn of(values: &[f64]) -> Self {
        let share = |share| percentile(values, share).unwrap_or_default();
        Self { p50: share(0.5), p99: share(0.99), max: Spread::of(values).map_or(0.0, |spread| spread.max) }
    }

    fn words(self) -> String {
        format!("{} / {} / {} ms", number(self.p50), number(self.p99), number(self.max))
    }
}

/// A window.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    ended: u64,
    per_s: f64,
    /// Of the server.
    pub(super) cpu_us_per_job: f64,
    /// Bytes in each directory of the home.
    disk: Vec<(String, f64)>,
    pub(super) server_bytes: f64,
    workers_bytes: f64,
    enqueue_ms: Waits,
    start_ms: Waits,
    probe_ms: Waits,
}

impl Sample {
    pub(super) fn of(seen: &Seen<'_>) -> Self {
        let used = seen.status.disk.used.iter();
        Self {
            ended: seen.status.ended,
            per_s: seen.ended / seen.seconds,
            cpu_us_per_job: seen.server_cpu_us / seen.ended.max(1.0),
            disk: used.map(|(name, bytes)| (name.to_string(), *bytes as f64)).collect(),
            server_bytes: seen.status.rss_bytes as f64,
            workers_bytes: seen.workers_bytes as f64,
            enqueue_ms: Waits::of(&seen.window.enqueue_ms),
            start_ms: Waits::of(&seen.window.start_ms),
            probe_ms: Waits::of(&seen.window.probe_ms),
        }
    }

    pub(super) fn disk_bytes(&self) -> f64 {
        self.disk.iter().map(|(_, bytes)| bytes).sum()
    }

    /// How long the slowest but one in a hundred callers waited, over the same of the disk: what others do to the disk
    /// counts for both.
    pub(super) fn latency(&self) -> f64 {
        self.enqueue_ms.p99 / self.probe_ms.p99
    }

    /// A line.
    pub(super) fn words(&self, after: Duration, made: u64) -> String {
        let directories: Vec<String> =
            self.disk.iter().map(|(name, bytes)| format!("{name} {}", mebibytes(*bytes))).collect();
        format!(
            "soak: {} s: {} of {} made jobs ended, {}/s, {} us; disk {} MiB ({}); server {} MiB, workers {} MiB; \
             p50 / p99 / max: enqueue {}, start {}, disk {}",
            after.as_secs(),
            number(self.ended as f64),
            number(made as f64),
            number(self.per_s.round()),
            number(self.cpu_us_per_job),
            mebibytes(self.disk_bytes()),
            directories.join(", "),
            mebibytes(self.server_bytes),
            mebibytes(self.workers_bytes),
            self.enqueue_ms.words(),
            self.start_ms.words(),
            self.probe_ms.words(),
        )
    }
}

fn mebibytes(bytes: f64) -> String {
    number((bytes / f64::from(1 << 20)).round())
}

/// What a value came to in the last fifth of all windows, over the second fifth; `None` of fewer than five.
pub(super) fn growth(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> Option<f64> {
    let fifth = samples.len() / 5;
    let mean_of = |samples: &[Sample]| mean(&samples.iter().map(&value).collect::<Vec<_>>());
    let (early, late) = (samples.get(fifth..2 * fifth)?, &samples[samples.len() - fifth..]);
    Some(mean_of(late)? / mean_of(early)?).filter(|growth| growth.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(bytes: &[f64]) -> Vec<Sample> {
        bytes.iter().map(|bytes| Sample { server_bytes: *bytes, ..Sample::default() }).collect()
    }

    #[test]
    fn growth_is_the_last_fifth_over_the_second() {
        let check = |bytes: &[f64], expected| {
            assert_eq!(growth(&samples(bytes), |sample| sample.server_bytes), expected, "{bytes:?}");
        };
        check(&[], None);
        check(&[1.0; 4], None);
        check(&[0.0; 5], None);
        check(&[1.0, 2.0, 9.0, 9.0, 3.0], Some(1.5));
        check(&[1.0, 1.0, 2.0, 4.0, 9.0, 9.0, 9.0, 9.0, 6.0, 6.0, 6.0], Some(2.0));
    }

    #[test]
    fn a_line_says_what_there_is() {
        let sample = Sample {
            ended: 1_500_000,
            per_s: 99_999.6,
            cpu_us_per_job: 4.2,
            disk: vec![("seg".into(), 64.0 * 1024.0 * 1024.0), ("archive".into(), 2e9)],
            enqueue_ms: Waits { p50: 0.4, p99: 12.34, max: 123.4 },
            ..Sample::default()
        };
        let words = sample.words(Duration::from_secs(30), 1_600_000);
        let expected = "soak: 30 s: 1,500,000 of 1,600,000 made jobs ended, 100,000/s, 4.2 us; disk 1,971 MiB (seg 64, archive 1,907)";
        assert!(words.starts_with(expected), "{words}");
        assert!(words.contains("enqueue 0.4 / 12.3 / 123 ms"), "{words}");
    }
}
