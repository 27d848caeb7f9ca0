//! How often something may happen, for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lineshaft_structures::Rate as Turns;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustix::time::{ClockId, clock_gettime};

/// One more in every interval, and up to `burst` at once after a quiet time. Who comes too soon is told when its turn
/// is, in the order of coming.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Rate(
    /// Taken only by who holds the interpreter, and for no time.
    Mutex<Turns>,
);

#[pymethods]
impl Rate {
    #[new]
    fn new(count: u32, period: f64, burst: u32) -> PyResult<Self> {
        let period = if period < 1e9 {
            Duration::try_from_secs_f64(period).unwrap_or_default()
        } else {
            Duration::ZERO
        };
        let turns = Turns::new(count, period, burst);
        let refusal = || PyValueError::new_err("a rate needs a count, a period and a burst above 0");
        turns.map(|turns| Self(Mutex::new(turns))).ok_or_else(refusal)
    }

    /// Takes a turn now and gives 0; if that is too soon, gives the seconds until one would be free.
    #[pyo3(signature = (now = None))]
    fn take(&self, now: Option<f64>) -> f64 {
        self.turns().take(now.map_or_else(now_ns, from_seconds)).map_or_else(seconds, |()| 0.0)
    }

    /// Takes the next turn, now or later, and gives the seconds until it is; if they are more than `longest`, takes none.
    #[pyo3(signature = (longest = f64::INFINITY, now = None))]
    fn reserve(&self, longest: f64, now: Option<f64>) -> f64 {
        let longest = Duration::try_from_secs_f64(longest).unwrap_or(Duration::MAX);
        let (Ok(wait) | Err(wait)) = self.turns().reserve(longest, now.map_or_else(now_ns, from_seconds));
        seconds(wait)
    }

    /// Whether it is as new: nobody has to wait for what was before.
    #[pyo3(signature = (now = None))]
    fn is_idle(&self, now: Option<f64>) -> bool {
        self.turns().is_idle(now.map_or_else(now_ns, from_seconds))
    }
}

impl Rate {
    /// Takes a turn; or else the seconds until one is free.
    pub(crate) fn reserve_now(&self) -> Option<f64> {
        self.turns().take(now_ns()).err().map(seconds)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(wait: Duration) -> f64 {
    wait.as_nanos() as f64 / 1e9
}

fn from_seconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Of the clock that nobody sets.
fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
