//! Whether the engine waits for its disk: who holds a lease must not give it up for that.
//!
//! While the engine's thread waits for a sync it hears no renewal, and it ends no lease either: when it goes on it
//! credits the time to all of them. So whoever reads a renewal meanwhile may answer it in the engine's place, if the
//! commit under way cannot have ended that lease already.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::Clock;

/// Waiting longer than this is a stall, and leases are credited.
pub(crate) const STALL: Duration = Duration::from_secs(1);

/// What the engine's thread is at.
#[derive(Debug)]
pub(crate) struct Pulse {
    clock: Clock,
    base: Instant,
    lease: Duration,
    /// Since when it is at one commit, in microseconds after `base`; 0 while it is at none.
    working_since: AtomicU64,
    /// Everything that was sent to it before this has been heard; likewise.
    heard_until: AtomicU64,
}

impl Pulse {
    pub(crate) fn new(lease: Duration, clock: Clock) -> Self {
        // So that no moment is 0.
        let now = clock.instant();
        let base = now.checked_sub(Duration::from_micros(1)).unwrap_or(now);
        Self { clock, base, lease, working_since: AtomicU64::new(0), heard_until: AtomicU64::new(0) }
    }

    /// The thread decides on a commit, writes and syncs it.
    pub(crate) fn works_from(&self, instant: Instant) {
        self.working_since.store(self.micros(instant), Ordering::Release);
    }

    /// It has done that, and credited what time it took.
    pub(crate) fn rests(&self) {
        self.working_since.store(0, Ordering::Release);
    }

    /// It had nothing left to hear at `instant`.
    pub(crate) fn heard_all(&self, instant: Instant) {
        self.heard_until.store(self.micros(instant), Ordering::Release);
    }

    /// Whether everything that was sent before `instant` has been heard.
    pub(crate) fn has_heard(&self, instant: Instant) -> bool {
        self.micros(instant) <= self.heard_until.load(Ordering::Acquire)
    }

    /// Whether it stands still, and a lease that it heard a renewal of at `renewed_at` will outlast that.
    pub(crate) fn outlasts(&self, renewed_at: Instant) -> bool {
        let since = match self.working_since.load(Ordering::Acquire) {
            0 => return false,
            micros => self.base + Duration::from_micros(micros),
        };
        // The commit under way was decided on as of `since`. What is credited afterwards is the wait and a
        // third of a lease; with half a lease before it, that covers the four fifths that a holder counts on.
        self.clock.since(since) >= STALL && since.saturating_duration_since(renewed_at) <= self.lease / 2
    }

    /// What leases get on top of the time that the thread stood still.
    pub(crate) fn bonus(&self) -> Duration {
        self.lease / 3
    }

    fn micros(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.base).as_micros() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_wait_and_a_fresh_lease_count() {
        let pulse = Pulse::new(Duration::from_secs(15), Clock::default());
        let now = Instant::now();
        let ago =
            |millis| now.checked_sub(Duration::from_millis(millis)).expect("the machine runs for longer");
        assert!(!pulse.outlasts(now), "it rests");
        pulse.works_from(Instant::now());
        assert!(!pulse.outlasts(now), "it works for a moment only");
        std::thread::sleep(STALL);
        assert!(pulse.outlasts(now));
        assert!(pulse.outlasts(ago(7_000)));
        assert!(!pulse.outlasts(ago(8_000)), "the commit under way may have ended it");
        pulse.rests();
        assert!(!pulse.outlasts(now));
        pulse.heard_all(now);
        assert!(pulse.has_heard(ago(1)) && !pulse.has_heard(now + Duration::from_millis(1)));
    }
}
