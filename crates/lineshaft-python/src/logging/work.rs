//! What attempts log: it carries whose it is, and is kept with the job.

use std::sync::atomic::{AtomicBool, Ordering};

use lineshaft_log::{Fields, Record};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::state::{self, State};
use crate::worker::child::RunningAttempt;

/// Whether this process runs attempts.
static IS_ON: AtomicBool = AtomicBool::new(false);
/// What gives the attempt of this context.
static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// From here on what is logged in attempts is kept with them. `running` is the context variable that holds the attempt.
#[pyfunction]
pub(crate) fn log_attempts(running: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = running.py();
    RUNNING.get_or_try_init(py, || running.getattr("get").map(Bound::unbind))?;
    if !IS_ON.swap(true, Ordering::Relaxed) {
        state::changed();
    }
    Ok(())
}

/// Whether attempts run here, so that records are wanted that no handler takes.
pub(super) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// The attempt in whose context this is.
fn attempt(py: Python<'_>) -> PyResult<Option<Bound<'_, RunningAttempt>>> {
    let Some(get) = RUNNING.get(py).filter(|_| is_on()) else { return Ok(None) };
    Ok(get.bind(py).call0()?.cast_into::<RunningAttempt>().ok())
}

/// Adds what the records of an attempt carry.
pub(super) fn add_fields(py: Python<'_>, fields: &mut Fields) -> PyResult<()> {
    if let Some(attempt) = attempt(py)? {
        fields.extend(attempt.get().log_fields().iter().cloned());
    }
    Ok(())
}

/// Keeps a record with the attempt in whose context it was logged, without what is secret.
pub(super) fn keep(py: Python<'_>, state: &State, record: &Record) -> PyResult<()> {
    if let Some(attempt) = attempt(py)? {
        let mut record = record.clone();
        state.plan.redact(&mut record);
        attempt.get().keep(&record);
    }
    Ok(())
}
