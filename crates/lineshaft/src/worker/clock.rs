//! The two clocks of a worker: durations by the monotonic one, what people read by the wall clock.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds of the host's monotonic clock, the same in every process.
pub(super) fn monotonic_ms() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000 + now.tv_nsec as u64 / 1_000_000
}

/// The same of an earlier moment of this process, without asking the clock.
pub(super) fn monotonic_ms_of(moment: Instant) -> u64 {
    static ANCHOR: OnceLock<(Instant, u64)> = OnceLock::new();
    let (anchor, anchor_ms) = *ANCHOR.get_or_init(anchor);
    match moment.checked_duration_since(anchor) {
        Some(since) => anchor_ms + since.as_millis() as u64,
        None => anchor_ms - (anchor - moment).as_millis() as u64,
    }
}

/// Both clocks within one millisecond, however long this thread stands still between the readings.
fn anchor() -> (Instant, u64) {
    loop {
        let (before, moment) = (monotonic_ms(), Instant::now());
        if monotonic_ms() == before {
            return (moment, before);
        }
    }
}

/// Unix milliseconds.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_has_the_number_that_the_clock_gave_then() {
        for _ in 0..3 {
            let (before, moment, after) = (monotonic_ms(), Instant::now(), monotonic_ms());
            std::thread::sleep(Duration::from_millis(2));
            // The anchor's fraction of a millisecond is cut off once more.
            assert!((before.saturating_sub(1)..=after).contains(&monotonic_ms_of(moment)));
        }
    }
}
