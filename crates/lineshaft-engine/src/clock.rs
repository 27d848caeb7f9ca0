//! The time by which an engine acts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lineshaft_jobs::Now;

/// The time by which an engine acts. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicU64>,
    /// Where time comes from, if not from the machine.
    simulated: Option<SimulatedClock>,
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
        let wall_ms = match &self.simulated {
            Some(simulated) => simulated.wall_ms(),
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        };
        wall_ms.saturating_add(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// The monotonic clock, which [`Clock::advance`] leaves as it is.
    pub(crate) fn instant(&self) -> Instant {
        self.simulated.as_ref().map_or_else(Instant::now, SimulatedClock::instant)
    }

    /// How long ago `instant` was.
    pub(crate) fn since(&self, instant: Instant) -> Duration {
        self.instant().saturating_duration_since(instant)
    }

    /// Waits; a simulated clock is simply that much later.
    pub(crate) fn sleep(&self, time: Duration) {
        match &self.simulated {
            Some(simulated) => simulated.pass(time),
            None => thread::sleep(time),
        }
    }
}

impl From<SimulatedClock> for Clock {
    fn from(simulated: SimulatedClock) -> Self {
        Self { simulated: Some(simulated), ..Self::default() }
    }
}

/// A clock that stands still until it is moved, for simulations. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct SimulatedClock(Arc<Hands>);

#[derive(Debug)]
struct Hands {
    base: Instant,
    passed_us: AtomicU64,
    /// Unix milliseconds at which nothing had passed: another number after the wall clock was set.
    wall_base_ms: AtomicU64,
}

impl SimulatedClock {
    /// A clock whose wall time is `wall_ms`, Unix milliseconds.
    pub fn new(wall_ms: u64) -> Self {
        let hands = Hands {
            base: Instant::now(),
            passed_us: AtomicU64::new(0),
            wall_base_ms: AtomicU64::new(wall_ms),
        };
        Self(Arc::new(hands))
    }

    /// Lets time pass, on the wall clock and on the monotonic one.
    pub fn pass(&self, by: Duration) {
        self.0.passed_us.fetch_add(by.as_micros() as u64, Ordering::Relaxed);
    }

    /// The time that passed since it was made.
    pub fn passed(&self) -> Duration {
        Duration::from_micros(self.0.passed_us.load(Ordering::Relaxed))
    }

    /// Unix milliseconds.
    pub fn wall_ms(&self) -> u64 {
        self.0.wall_base_ms.load(Ordering::Relaxed) + self.passed().as_millis() as u64
    }

    /// Sets the wall clock `by_ms` forward, or back if that is negative; the monotonic one goes on as it did.
    pub fn step_wall(&self, by_ms: i64) {
        let wall_ms = self.0.wall_base_ms.load(Ordering::Relaxed);
        self.0.wall_base_ms.store(wall_ms.saturating_add_signed(by_ms), Ordering::Relaxed);
    }

    fn instant(&self) -> Instant {
        self.0.base + self.passed()
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
        Self { started: clock.instant(), clock, base_ms, seen_ahead_ms }
    }

    pub(crate) fn now(&self) -> Now {
        let logical_ms = self.base_ms + self.clock.since(self.started).as_millis() as u64;
        let logical_ms = logical_ms.saturating_add(self.clock.ahead_ms.load(Ordering::Relaxed));
        Now { wall_ms: self.clock.wall_ms(), logical_ms, random: fastrand::u64(..) }
    }

    /// By how much the clock was moved forward since this was asked last.
    pub(crate) fn jumped(&mut self) -> Duration {
        let ahead_ms = self.clock.ahead_ms.load(Ordering::Relaxed);
        Duration::from_millis(ahead_ms - std::mem::replace(&mut self.seen_ahead_ms, ahead_ms))
    }
}
