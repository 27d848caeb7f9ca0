//! The gates that keep nothing.

use crate::once::intern;
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

/// Whether a logger takes records of a level.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Listening {
    logger: Py<PyAny>,
    level: Py<PyAny>,
    /// The attributes of a logger that answers as those of the standard library do.
    attributes: Option<Py<PyDict>>,
}

#[pymethods]
impl Listening {
    #[new]
    fn new(logger: &Bound<'_, PyAny>, level: Py<PyAny>) -> PyResult<Self> {
        let py = logger.py();
        let usual = py.import("logging")?.getattr("Logger")?.getattr("isEnabledFor")?;
        let attributes = match logger.get_type().getattr("isEnabledFor") {
            Ok(own) if own.is(&usual) => logger.getattr("__dict__")?.cast_into().ok().map(Bound::unbind),
            _ => None,
        };
        Ok(Self { logger: logger.clone().unbind(), level, attributes })
    }

    /// Asks it; the answer changes with the configuration of the program.
    pub(crate) fn is_heard(&self, py: Python<'_>) -> PyResult<bool> {
        if let Some(answer) = self.answer_before(py)? {
            return Ok(answer);
        }
        let level = self.level.bind(py);
        self.logger.bind(py).call_method1(intern!(py, "isEnabledFor"), (level,))?.is_truthy()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.logger)?;
        visit.call(&self.attributes)
    }
}

impl Listening {
    /// What it answered before, which a logger of the standard library keeps until its configuration changes: found
    /// here, it takes a quarter of what asking takes. None if it has to be asked.
    fn answer_before(&self, py: Python<'_>) -> PyResult<Option<bool>> {
        let Some(attributes) = &self.attributes else { return Ok(None) };
        let attributes = attributes.bind(py);
        let disabled = attributes.get_item(intern!(py, "disabled"))?;
        if disabled.and_then(truth).unwrap_or(true) {
            return Ok(None);
        }
        let Some(answers) = attributes.get_item(intern!(py, "_cache"))? else { return Ok(None) };
        let Ok(answers) = answers.cast_into::<PyDict>() else { return Ok(None) };
        Ok(answers.get_item(self.level.bind(py))?.and_then(truth))
    }
}

/// What a bool says; None of anything else.
#[expect(clippy::needless_pass_by_value, reason = "it is the end of what was looked up")]
fn truth(found: Bound<'_, PyAny>) -> Option<bool> {
    Some(found.cast::<PyBool>().ok()?.is_true())
}

/// Calls that raise an exception of the classes `on`, and of none of `never`.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct OnError {
    on: Py<PyTuple>,
    never: Py<PyTuple>,
}

#[pymethods]
impl OnError {
    #[new]
    fn new(on: Py<PyTuple>, never: Py<PyTuple>) -> Self {
        Self { on, never }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.on)?;
        visit.call(&self.never)
    }
}

impl OnError {
    pub(crate) fn catches(&self, py: Python<'_>, error: &PyErr) -> PyResult<bool> {
        Ok(error.matches(py, self.on.bind(py))? && !error.matches(py, self.never.bind(py))?)
    }
}
