//! How a call waits: at once with the interpreter, then without it, and looking for signals.

use std::sync::OnceLock;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use lineshaft_ipc::Error;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::client::SIGNAL_INTERVAL;

/// Until when a call waits.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// It does not wait.
    Now,
    Moment(Instant),
    Ever,
}

impl Until {
    /// So many seconds from now; `None` for ever, as is what lies beyond the clock.
    pub(crate) fn after(timeout: Option<f64>) -> Self {
        match timeout {
            None => Self::Ever,
            Some(seconds) if seconds <= 0.0 || seconds.is_nan() => Self::Now,
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .ok()
                .and_then(|timeout| Instant::now().checked_add(timeout))
                .map_or(Self::Ever, Self::Moment),
        }
    }

    /// What is left, at most what a call may go without looking for signals; `None` when it is over.
    fn left(self) -> Option<Duration> {
        match self {
            Self::Now => None,
            Self::Ever => Some(SIGNAL_INTERVAL),
            Self::Moment(moment) => {
                let left = moment.saturating_duration_since(Instant::now());
                (!left.is_zero()).then(|| left.min(SIGNAL_INTERVAL))
            }
        }
    }
}

/// Calls `attempt` until it comes to something else than [`Error::TimedOut`]: first with no time to wait, which costs less
/// than to let the interpreter go, and then without it. `None` if the time was up.
pub(super) fn patiently<T: Send>(
    py: Python<'_>,
    until: Until,
    mut attempt: impl FnMut(Option<Duration>) -> lineshaft_ipc::Result<T> + Send,
) -> PyResult<Option<T>> {
    match attempt(Some(Duration::ZERO)) {
        Ok(value) => Ok(Some(value)),
        Err(Error::TimedOut) => waiting(py, until, attempt),
        Err(error) => Err(to_python(py, &error)),
    }
}

/// As [`patiently`], from where it waits.
pub(super) fn waiting<T: Send>(
    py: Python<'_>,
    until: Until,
    mut attempt: impl FnMut(Option<Duration>) -> lineshaft_ipc::Result<T> + Send,
) -> PyResult<Option<T>> {
    wait(py, until, move |left| {
        let outcome = attempt(left);
        stay_if_the_interpreter_ends();
        outcome
    })
}

/// As [`waiting`], for threads that have ended before the interpreter does: those of pools, which work until then.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    until: Until,
    mut attempt: impl FnMut(Option<Duration>) -> lineshaft_ipc::Result<T> + Send,
) -> PyResult<Option<T>> {
    while let Some(left) = until.left() {
        match py.detach(|| attempt(Some(left))) {
            Ok(value) => return Ok(Some(value)),
            Err(Error::TimedOut) => py.check_signals()?,
            Err(error) => return Err(to_python(py, &error)),
        }
    }
    Ok(None)
}

/// The thread that ends the interpreter, once it does.
static ENDING: OnceLock<ThreadId> = OnceLock::new();

/// To be called when the interpreter is about to end: daemon threads that wait now do so until the process has gone. Taking
/// the interpreter up again would unwind them through this library, which aborts the process.
#[pyfunction]
pub(super) fn interpreter_ends() {
    let _ = ENDING.set(thread::current().id());
}

fn stay_if_the_interpreter_ends() {
    if ENDING.get().is_some_and(|ending| *ending != thread::current().id()) {
        loop {
            thread::park();
        }
    }
}

/// The Python exception for `error`.
pub(crate) fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    match error {
        Error::ShutDown => by_name(py, "lineshaft.multiprocessing._shutdown", "ShutDown"),
        Error::MessageTooLarge { .. } => PyValueError::new_err(error.to_string()),
        _ => match error.errno() {
            Some(errno) => PyOSError::new_err((errno, error.to_string())),
            None => PyOSError::new_err(error.to_string()),
        },
    }
}

/// What says that there was nothing.
pub(super) fn empty(py: Python<'_>) -> PyErr {
    by_name(py, "queue", "Empty")
}

/// What says that there was no room.
pub(super) fn full(py: Python<'_>) -> PyErr {
    by_name(py, "queue", "Full")
}

fn by_name(py: Python<'_>, module: &str, class: &str) -> PyErr {
    let made = py.import(module).and_then(|module| module.getattr(class)).and_then(|class| class.call0());
    made.map_or_else(|failure| failure, PyErr::from_value)
}
