//! The time by which an engine acts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lineshaft_jobs::Now;

/// The time by which an engine acts. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicU64>,
}

impl Clock {
    /// Moves it forward, for tests that would have to wait. The engine acts on it with the next request. Leases live as
    /// much longer, since who holds them knows nothing of it.
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// Unix milliseconds.
    pub(crate) fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (since.as_millis() as u64).saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }
}

/// The two clocks of a run: the logical one goes on from where the last run left it.
pub(crate) struct Clocks {
    clock: Clock,
    started: Instant,
    base_ms: u64,
    /// How much of the way that the clock was moved forward is known already.
    seen_ahead_ms: u64,
}

impl Clocks {
    pub(crate) fn starting_at(base_ms: u64, clock: Clock) -> Self {
        let seen_ahead_ms = clock.ahead_ms.load(Ordering::Relaxed);
        Self { clock, started: Instant::now(), base_ms, seen_ahead_ms }
    }

    pub(crate) fn now(&self) -> Now {
        let logical_ms = self.base_ms + self.started.elapsed().as_millis() as u64;
        let logical_ms = logical_ms.saturating_add(self.clock.ahead_ms.load(Ordering::Relaxed));
        Now { wall_ms: self.clock.wall_ms(), logical_ms, random: fastrand::u64(..) }
    }

    /// By how much the clock was moved forward since this was asked last.
    pub(crate) fn jumped(&mut self) -> Duration {
        let ahead_ms = self.clock.ahead_ms.load(Ordering::Relaxed);
        Duration::from_millis(ahead_ms - std::mem::replace(&mut self.seen_ahead_ms, ahead_ms))
    }
}
