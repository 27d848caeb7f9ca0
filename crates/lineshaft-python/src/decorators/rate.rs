//! How often something may happen: the generic cell rate algorithm.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustix::time::{ClockId, clock_gettime};

/// One more in every `interval`, and up to `burst` at once after a quiet time. Who comes too soon is told when its turn
/// is, in the order of coming.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Rate {
    interval_ns: u64,
    /// How far ahead of its even distribution a call may be.
    tolerance_ns: u64,
    /// When the next call would come if all came evenly. Taken only by who holds the interpreter, and for no time.
    next_ns: Mutex<u64>,
}

#[pymethods]
impl Rate {
    #[new]
    fn new(count: u32, period: f64, burst: u32) -> PyResult<Self> {
        if count == 0 || burst == 0 || !(period > 0.0 && period < 1e9) {
            return Err(PyValueError::new_err("a rate needs a count, a period and a burst above 0"));
        }
        let interval_ns = ((period * 1e9 / f64::from(count)) as u64).max(1);
        let tolerance_ns = interval_ns.saturating_mul(u64::from(burst - 1));
        Ok(Self { interval_ns, tolerance_ns, next_ns: Mutex::new(0) })
    }

    /// Takes a turn now and gives 0; if that is too soon, gives the seconds until one would be free.
    #[pyo3(name = "take", signature = (now = None))]
    fn python_take(&self, now: Option<f64>) -> f64 {
        self.take(now.map_or_else(now_ns, from_seconds)).map_or(0.0, |wait| wait as f64 / 1e9)
    }

    /// Takes the next turn, now or later, and gives the seconds until it is; if they are more than `longest`, takes none.
    #[pyo3(signature = (longest = f64::INFINITY, now = None))]
    fn reserve(&self, longest: f64, now: Option<f64>) -> f64 {
        let now = now.map_or_else(now_ns, from_seconds);
        let mut next = self.next();
        let wait = self.wait(*next, now) as f64 / 1e9;
        if wait <= longest {
            *next = (*next).max(now) + self.interval_ns;
        }
        wait
    }

    /// Whether it is as new: nobody has to wait for what was before.
    #[pyo3(signature = (now = None))]
    fn is_idle(&self, now: Option<f64>) -> bool {
        *self.next() <= now.map_or_else(now_ns, from_seconds)
    }
}

impl Rate {
    /// Takes a turn; or else the seconds until one is free.
    pub(crate) fn reserve_now(&self) -> Option<f64> {
        self.take(now_ns()).map(|wait| wait as f64 / 1e9)
    }

    fn take(&self, now: u64) -> Option<u64> {
        let mut next = self.next();
        let wait = self.wait(*next, now);
        if wait > 0 {
            return Some(wait);
        }
        *next = (*next).max(now) + self.interval_ns;
        None
    }

    fn wait(&self, next: u64, now: u64) -> u64 {
        next.saturating_sub(self.tolerance_ns).saturating_sub(now)
    }

    fn next(&self) -> MutexGuard<'_, u64> {
        self.next_ns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn from_seconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// Of the clock that nobody sets.
fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
