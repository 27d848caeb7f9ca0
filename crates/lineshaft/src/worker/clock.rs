//! The two clocks of a worker: durations by the monotonic one, what people read by the wall clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds of the host's monotonic clock, the same in every process.
pub(super) fn monotonic_ms() -> u64 {
    monotonic().as_millis() as u64
}

/// The same of an earlier moment of this process, without asking the clock; at most one less.
pub(super) fn monotonic_ms_of(moment: Instant) -> u64 {
    static ANCHOR: OnceLock<(Instant, Duration)> = OnceLock::new();
    let (anchor, anchor_at) = *ANCHOR.get_or_init(anchor);
    let at = match moment.checked_duration_since(anchor) {
        Some(since) => anchor_at + since,
        None => anchor_at.saturating_sub(anchor - moment),
    };
    at.as_millis() as u64
}

/// Both clocks within one millisecond, however long this thread stands still between the readings.
fn anchor() -> (Instant, Duration) {
    loop {
        let (before, moment) = (monotonic(), Instant::now());
        if monotonic().saturating_sub(before) < Duration::from_millis(1) {
            return (moment, before);
        }
    }
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Unix milliseconds.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment before the first reading was rounded up, into the millisecond after it.
    #[test]
    fn a_moment_has_the_number_that_the_clock_gave_then() {
        for _ in 0..3 {
            let (before, moment, after) = (monotonic_ms(), Instant::now(), monotonic_ms());
            std::thread::sleep(Duration::from_millis(2));
            assert!((before.saturating_sub(1)..=after).contains(&monotonic_ms_of(moment)));
        }
    }
}
