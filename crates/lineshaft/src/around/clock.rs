//! The time that entries live by.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds that never go back. On Linux as of the last tick, a few milliseconds ago: three times as fast to read.
pub fn now_ms() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    time.tv_sec as u64 * 1_000 + time.tv_nsec as u64 / 1_000_000
}
