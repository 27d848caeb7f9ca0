//! The choice among implementations of a function, for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lineshaft_insight::{Choice as Inner, Event, Outline, Pick as InnerPick};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// (how it stands, calls, (median, low, high) in seconds).
type Row = (&'static str, u64, Option<(f64, f64, f64)>);

/// The choice for one class of arguments.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Choice(Mutex<Inner>);

/// Who is to run.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Pick(InnerPick);

#[pymethods]
impl Choice {
    /// Among so many implementations.
    #[new]
    fn new(count: usize) -> Self {
        Self(Mutex::new(Inner::new(count)))
    }

    /// What `bytes` of another one held. Raises `ValueError` if that was not one among as many.
    #[staticmethod]
    fn from_bytes(bytes: &[u8], count: usize) -> PyResult<Self> {
        let inner = Inner::from_bytes(bytes, count)
            .map_err(|_| PyValueError::new_err("these bytes are no choice among as many"))?;
        Ok(Self(Mutex::new(inner)))
    }

    /// All of it.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner().to_bytes())
    }

    /// Who is to run at `now_ms`, by the clock of bans.
    fn pick(&self, now_ms: u64) -> Pick {
        Pick(self.inner().pick(now_ms, fastrand::f64()))
    }

    /// It ran for so many seconds; gives what that changed and for whom: "chosen", "slower" or "faster".
    fn ran(&self, pick: &Bound<'_, Pick>, seconds: f64) -> Option<(&'static str, usize)> {
        Some(match self.inner().ran(pick.get().0, seconds)? {
            Event::Chosen(number) => ("chosen", number),
            Event::Slower(number) => ("slower", number),
            Event::Faster(number) => ("faster", number),
        })
    }

    /// It has no time, since it failed or was interrupted.
    fn gave_none(&self, pick: &Bound<'_, Pick>) {
        self.inner().gave_none(pick.get().0);
    }

    /// Leaves one out until a time.
    fn ban(&self, number: usize, until_ms: u64) {
        self.inner().ban(number, until_ms);
    }

    /// Has the first one do the work for good.
    fn pin(&self) {
        self.inner().pin();
    }

    #[getter]
    fn is_pinned(&self) -> bool {
        self.inner().is_pinned()
    }

    /// Who does the work; None while all are compared.
    #[getter]
    fn best(&self) -> Option<usize> {
        self.inner().best()
    }

    #[getter]
    fn runs(&self) -> u64 {
        self.inner().runs()
    }

    /// What is known of each.
    fn rows(&self) -> Vec<Row> {
        let row = |outline: Outline| (outline.standing.as_str(), outline.runs, outline.median_s);
        self.inner().outlines().into_iter().map(row).collect()
    }
}

impl Choice {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Pick {
    #[getter]
    fn number(&self) -> usize {
        self.0.number
    }

    /// Seconds after which it is not worth waiting for, or None.
    #[getter]
    fn limit_s(&self) -> Option<f64> {
        self.0.limit_s
    }
}
