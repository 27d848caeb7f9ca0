//! The two clocks of the engine.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lineshaft_jobs::Now;

/// The two clocks: the logical one goes on from where the last run left it.
pub(crate) struct Clock {
    started: Instant,
    base_ms: u64,
}

impl Clock {
    pub(crate) fn starting_at(base_ms: u64) -> Self {
        Self { started: Instant::now(), base_ms }
    }

    pub(crate) fn now(&self) -> Now {
        let logical_ms = self.base_ms + self.started.elapsed().as_millis() as u64;
        Now { wall_ms: wall_ms(), logical_ms, random: fastrand::u64(..) }
    }
}

/// Unix milliseconds.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
