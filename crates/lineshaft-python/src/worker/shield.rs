//! `with current.shield():` holds a request to stop back from the body of an attempt until the outermost one closes.
//!
//! Opening and closing are steps of the interpreter, between which nothing can be raised: it is never unknown whether a
//! shield is open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::child::RunningAttempt;

/// How many shields of an attempt are open. Changed under the GIL alone.
#[derive(Clone, Default)]
pub(super) struct Shields(Arc<AtomicU32>);

impl Shields {
    pub(super) fn are_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn open(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it was the outermost one.
    fn close(&self) -> bool {
        let open = self.0.load(Ordering::Relaxed);
        self.0.store(open.saturating_sub(1), Ordering::Relaxed);
        open == 1
    }
}

/// What `current.shield()` gives; one of no attempt does nothing.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Shield {
    attempt: Option<Py<RunningAttempt>>,
}

#[pymethods]
impl Shield {
    #[new]
    fn new(attempt: Option<Py<RunningAttempt>>) -> Self {
        Self { attempt }
    }

    fn __enter__(&self) {
        if let Some(attempt) = &self.attempt {
            attempt.get().shields.open();
        }
    }

    /// Raises what was held back.
    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyTuple>) -> PyResult<()> {
        let Some(attempt) = &self.attempt else { return Ok(()) };
        let attempt = attempt.get();
        if attempt.shields.close() { attempt.catch_up(py) } else { Ok(()) }
    }
}
