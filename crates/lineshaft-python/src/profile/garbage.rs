//! How long garbage is collected, told by `gc.callbacks`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::once::intern;
use pyo3::prelude::*;

/// One of `gc.callbacks`. Everything happens under the GIL.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct GarbageWatch {
    since: Instant,
    /// Nanoseconds after `since` at which a collection began, plus 1; 0 if none is going on.
    began: AtomicU64,
    collected_ns: AtomicU64,
    times: AtomicU64,
}

#[pymethods]
impl GarbageWatch {
    #[new]
    fn new() -> Self {
        let none = || AtomicU64::new(0);
        Self { since: Instant::now(), began: none(), collected_ns: none(), times: none() }
    }

    fn __call__(&self, phase: &str, _info: &Bound<'_, PyAny>) {
        let now = self.since.elapsed().as_nanos() as u64 + 1;
        if phase == "start" {
            self.began.store(now, Ordering::Relaxed);
            return;
        }
        let began = self.began.swap(0, Ordering::Relaxed);
        if began > 0 {
            self.collected_ns.fetch_add(now - began, Ordering::Relaxed);
            self.times.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Nanoseconds, and how often.
    fn counted(&self) -> (u64, u64) {
        (self.collected_ns.load(Ordering::Relaxed), self.times.load(Ordering::Relaxed))
    }
}

impl GarbageWatch {
    /// One that counts from now on.
    pub(crate) fn begin(py: Python<'_>) -> PyResult<Py<Self>> {
        let watch = Py::new(py, Self::new())?;
        callbacks(py)?.call_method1(intern!(py, "append"), (&watch,))?;
        Ok(watch)
    }

    /// It counts no more; what it has counted.
    pub(crate) fn end(watch: &Py<Self>, py: Python<'_>) -> PyResult<(u64, u64)> {
        let callbacks = callbacks(py)?;
        if callbacks.contains(watch)? {
            callbacks.call_method1(intern!(py, "remove"), (watch,))?;
        }
        Ok(watch.get().counted())
    }
}

fn callbacks(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import(intern!(py, "gc"))?.getattr(intern!(py, "callbacks"))
}
