//! What attempts log: it carries whose it is, and is kept with the job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::once::OnceMade;
use lineshaft_log::{Fields, Record, overlaid};
use pyo3::prelude::*;

use super::state::{self, State};
use crate::worker::child::RunningAttempt;

/// Who runs attempts in this process.
static RUNNERS: AtomicU32 = AtomicU32::new(0);
/// What gives the attempt of this context.
static RUNNING: OnceMade<Py<PyAny>> = OnceMade::new();

/// Somebody runs attempts as long as this lives: what is logged in them is kept.
pub(crate) struct LogsOfAttempts;

impl LogsOfAttempts {
    /// `running` is the context variable that holds the attempt.
    pub(crate) fn new(running: &Bound<'_, PyAny>) -> PyResult<Self> {
        RUNNING.get_or_try_init(running.py(), || running.getattr("get").map(Bound::unbind))?;
        if RUNNERS.fetch_add(1, Ordering::Relaxed) == 0 {
            state::changed();
        }
        Ok(Self)
    }
}

impl Drop for LogsOfAttempts {
    fn drop(&mut self) {
        if RUNNERS.fetch_sub(1, Ordering::Relaxed) == 1 {
            state::changed();
        }
    }
}

/// This process is there to run attempts. `running` is the context variable that holds the attempt.
#[pyfunction]
pub(super) fn log_attempts(running: &Bound<'_, PyAny>) -> PyResult<()> {
    LogsOfAttempts::new(running).map(std::mem::forget)
}

/// Whether attempts run here, so that records are wanted that no handler takes.
pub(super) fn is_on() -> bool {
    RUNNERS.load(Ordering::Relaxed) > 0
}

/// The attempt in whose context this is.
fn attempt(py: Python<'_>) -> PyResult<Option<Bound<'_, RunningAttempt>>> {
    let Some(get) = RUNNING.get(py).filter(|_| is_on()) else { return Ok(None) };
    Ok(get.bind(py).call0()?.cast_into::<RunningAttempt>().ok())
}

/// Fields of a block, with what the records of the attempt around it carry: below them the context of its job, above them
/// which attempt it is.
pub(super) fn fields(py: Python<'_>, of_block: &Fields) -> PyResult<Fields> {
    let Some(attempt) = attempt(py)? else { return Ok(of_block.clone()) };
    let logged = attempt.get().logged();
    Ok(overlaid(overlaid(logged.context_fields().clone(), of_block), logged.fields()))
}

/// The context of the job whose attempt this is, as a text and as fields.
pub(super) fn context(py: Python<'_>) -> PyResult<(Option<Arc<str>>, Fields)> {
    let Some(attempt) = attempt(py)? else { return Ok((None, Fields::new())) };
    let logged = attempt.get().logged();
    Ok((logged.context().cloned(), logged.context_fields().clone()))
}

/// Keeps a record with the attempt in whose context it was logged, without what is secret.
pub(super) fn keep(py: Python<'_>, state: &State, record: &Record) -> PyResult<()> {
    if let Some(attempt) = attempt(py)? {
        let mut record = record.clone();
        state.plan.redact(&mut record);
        attempt.get().logged().keep(py, &record);
    }
    Ok(())
}
