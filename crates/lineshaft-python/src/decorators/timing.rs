//! How long the calls of a function took, for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lineshaft_structures::Histogram;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The durations of a function's calls: `count` of them, with `total`, `min`, `max` and `mean` in seconds, exactly, and
/// every `quantile(q)` to 1.6 %.
#[pyclass(frozen, module = "lineshaft")]
pub(crate) struct Timing {
    slow_ns: u64,
    /// Taken only by who holds the interpreter, and for no time.
    seen: Mutex<Histogram>,
}

#[pymethods]
impl Timing {
    #[new]
    #[pyo3(signature = (slow = None))]
    fn new(slow: Option<f64>) -> Self {
        Self {
            slow_ns: slow.map_or(u64::MAX, |seconds| (seconds * 1e9) as u64),
            seen: Mutex::new(Histogram::new()),
        }
    }

    /// Counts a call that took so many nanoseconds; gives whether that is slow.
    fn _add(&self, nanoseconds: u64) -> bool {
        self.note(Duration::from_nanos(nanoseconds))
    }

    /// How many calls have ended.
    #[getter]
    fn count(&self) -> u64 {
        self.seen().count()
    }

    /// Seconds of all calls together.
    #[getter]
    fn total(&self) -> f64 {
        seconds(self.seen().total())
    }

    /// Seconds of the shortest call; 0 if there was none.
    #[getter]
    fn min(&self) -> f64 {
        seconds(self.seen().min())
    }

    /// Seconds of the longest call; 0 if there was none.
    #[getter]
    fn max(&self) -> f64 {
        seconds(self.seen().max())
    }

    /// Seconds of a call, on average; 0 if there was none.
    #[getter]
    fn mean(&self) -> f64 {
        let seen = self.seen();
        seconds(seen.total()) / seen.count().max(1) as f64
    }

    /// Seconds within which the part `q` of all calls ended, 0.5 for half of them, to 1.6 %; 0 if there was none.
    fn quantile(&self, q: f64) -> PyResult<f64> {
        if !(0.0..=1.0).contains(&q) {
            return Err(PyValueError::new_err(format!("{q} is no part of all calls: 0.0 to 1.0")));
        }
        Ok(seconds(self.seen().quantile(q)))
    }

    /// Forgets all calls.
    fn reset(&self) {
        *self.seen() = Histogram::new();
    }

    fn __repr__(&self) -> String {
        format!("<Timing: {}>", *self.seen())
    }
}

impl Timing {
    /// Counts a call; gives whether it was slow.
    pub(crate) fn note(&self, took: Duration) -> bool {
        self.seen().add(took);
        took.as_nanos() >= u128::from(self.slow_ns)
    }

    fn seen(&self) -> MutexGuard<'_, Histogram> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As `nanoseconds / 1e9` of Python.
fn seconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1e9
}
