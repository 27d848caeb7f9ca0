//! The choice among implementations of a function, for Python.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lineshaft_insight::choice::shared::{self, Keys, Learned};
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

/// Under which names the choices of a function are shared.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct ChoiceKeys(Keys);

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

    /// Takes over what another process knows; gives what that changed: "pinned" or "chosen".
    fn learn(&self, theirs: &Bound<'_, Self>) -> Option<&'static str> {
        // Not both locks at a time: theirs may be ours.
        let theirs = theirs.get().inner().clone();
        match self.inner().learn(&theirs) {
            Learned::Nothing => None,
            Learned::Pinned => Some("pinned"),
            Learned::Best(_) => Some("chosen"),
        }
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

    /// Whether others are to be told of it again, who were told of so many runs.
    fn has_grown(&self, told_runs: u64) -> bool {
        self.inner().has_grown(told_runs)
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

#[pymethods]
impl ChoiceKeys {
    #[classattr]
    const INDEX: &'static str = shared::INDEX;
    #[classattr]
    const TAG: &'static str = shared::TAG;
    #[classattr]
    const LISTED_MAX: usize = shared::LISTED_MAX;
    #[classattr]
    const CLASSES_MAX: usize = shared::CLASSES_MAX;
    #[classattr]
    const OTHERS: &'static str = shared::OTHERS;
    #[classattr]
    const KEPT_S: f64 = shared::KEPT.as_secs() as f64;
    #[classattr]
    const LOOK_EVERY_S: f64 = shared::LOOK_EVERY.as_secs() as f64;
    #[classattr]
    const TELL_AFTER_S: f64 = shared::TELL_AFTER.as_secs() as f64;
    #[classattr]
    const BAN_S: f64 = shared::BAN.as_secs() as f64;

    /// Of the function `name`, with a digest of the names of its implementations.
    #[new]
    fn new(name: &str, names_digest: &str) -> Self {
        Self(Keys::new(name, names_digest))
    }

    /// The name under which it is listed.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    /// Where its classes are listed.
    #[getter]
    fn classes(&self) -> &str {
        self.0.classes()
    }

    /// Where the choice of a class is.
    fn choice(&self, class_digest: &str) -> String {
        self.0.choice(class_digest)
    }

    /// Where it is said that another one of a class gave another result, and which.
    fn pin(&self, class_digest: &str) -> String {
        self.0.pin(class_digest)
    }

    /// How a class is listed that reads so.
    #[staticmethod]
    fn shown(kind: &str) -> String {
        Keys::shown(kind)
    }
}
