//! Loggers.

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lineshaft_log::{DistinctFields, Fields, Level, Verdict};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::values::{self, Budget};
use super::visit::Visit;
use super::{helpers, state};

/// What `lineshaft.logging.Logger` adds to. The methods that log are in [`super::methods`].
#[pyclass(frozen, subclass, module = "lineshaft._native")]
pub(crate) struct Logger {
    pub(super) name: Arc<str>,
    /// What it was bound to.
    pub(super) fields: Fields,
    /// Records below it are not heard, as of this generation.
    least: AtomicI32,
    generation: AtomicU64,
    verdict: Mutex<Verdict>,
}

#[pymethods]
impl Logger {
    #[new]
    #[pyo3(signature = (name, fields = None))]
    fn new(py: Python<'_>, name: &str, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        helpers::look_up(py)?;
        let mut bound = DistinctFields::of(Fields::new());
        let visit = Visit::begin();
        if let Some(fields) = fields.filter(|_| visit.is_some()) {
            let state = state::current();
            let mut budget = Budget::of(&state.plan);
            values::add_items(&mut bound, fields, &mut budget)?;
        }
        let verdict = Verdict { least: Level::OFF, level: Level::OFF, share: 1.0, needs_fields: false };
        Ok(Self {
            name: name.into(),
            fields: bound.into_fields(),
            least: AtomicI32::new(0),
            generation: AtomicU64::new(0),
            verdict: Mutex::new(verdict),
        })
    }

    /// Its name, in parts with dots between them.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// What it adds to each record.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        values::fields_to_python(py, &self.fields)
    }

    /// Whether a record of this level might be heard; one with certain fields perhaps.
    fn enabled(&self, level: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.hears(state::level_of(level)?))
    }
}

impl Logger {
    /// Whether records of this level may be heard: two comparisons of numbers.
    #[inline]
    pub(super) fn hears(&self, level: Level) -> bool {
        if self.generation.load(Ordering::Relaxed) != state::generation() {
            self.ask();
        }
        level.0 >= self.least.load(Ordering::Relaxed)
    }

    /// What is in force says about it.
    pub(super) fn verdict(&self) -> Verdict {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn ask(&self) {
        let generation = state::generation();
        let verdict = state::current().verdict(&self.name);
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = verdict;
        self.least.store(verdict.least.0, Ordering::Relaxed);
        self.generation.store(generation, Ordering::Relaxed);
    }
}
