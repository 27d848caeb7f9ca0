//! The supervisor, on a thread of its own.

use std::ffi::OsString;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lineshaft::Target;
use lineshaft::worker::{self, Handle, Kind, Options, Recycle};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::errors::{option_error, raise, to_python};

/// How often a wait looks whether a signal came.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

/// Keeps worker children of this program alive.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Supervisor {
    waiting: Mutex<Option<worker::Supervisor>>,
    handle: Handle,
    end: Arc<End>,
}

/// The thread's end, and what it was.
#[derive(Default)]
struct End {
    state: Mutex<EndState>,
    changed: Condvar,
}

#[derive(Default)]
struct EndState {
    ended: bool,
    failure: Option<worker::Error>,
}

#[pymethods]
impl Supervisor {
    /// A supervisor of `processes` children that `command` starts, for the home at `url`. `recycle` is after how many
    /// jobs, at what age in seconds and after a growth by how many bytes a child is replaced; `schema` is what the tasks
    /// take and give, as JSON. Starts nothing yet.
    #[new]
    #[pyo3(signature = (url, command, *, processes, kind="process", slots=1, queues=Vec::new(), grace=30.0, recycle=(None, None, None), watchdog=60.0, tee=true, name=None, schema=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn new(
        py: Python<'_>,
        url: OsString,
        command: Vec<OsString>,
        processes: u32,
        kind: &str,
        slots: u32,
        queues: Vec<String>,
        grace: f64,
        recycle: (Option<u64>, Option<f64>, Option<u64>),
        watchdog: f64,
        tee: bool,
        name: Option<String>,
        schema: Option<String>,
    ) -> PyResult<Self> {
        let seconds = |option: &str, seconds: f64| {
            let wrong =
                |_| option_error(py, &format!("option `{option}` is not a number of seconds"), "such as 30");
            Duration::try_from_secs_f64(seconds).map_err(wrong)
        };
        let (grace, watchdog) = (seconds("grace", grace)?, seconds("watchdog", watchdog)?);
        let (jobs, age, growth) = recycle;
        let age = age.map(|age| seconds("recycle_age", age)).transpose()?;
        let recycle = Recycle { jobs, age, growth };
        let queues = queues.into_iter().map(Into::into).collect();
        let target = Target::home(url);
        let kind = Kind::named(kind).ok_or_else(|| {
            option_error(py, &format!("no kind of slot is named {kind:?}"), "process, thread or async")
        })?;
        let options = Options {
            processes,
            kind,
            slots,
            queues,
            grace,
            recycle,
            watchdog,
            tee,
            name,
            schema: schema.map(Into::into),
            ..Options::new(target, command)
        };
        let (supervisor, handle) = worker::Supervisor::new(options).map_err(|error| exception(py, &error))?;
        Ok(Self { waiting: Mutex::new(Some(supervisor)), handle, end: Arc::default() })
    }

    /// Starts the children.
    fn start(&self) -> PyResult<()> {
        let Some(supervisor) = lock(&self.waiting).take() else {
            return Err(PyRuntimeError::new_err("the supervisor was started before"));
        };
        let end = Arc::clone(&self.end);
        let run = move || {
            let failure = supervisor.run().err();
            *lock(&end.state) = EndState { ended: true, failure };
            end.changed.notify_all();
        };
        let spawned = thread::Builder::new().name("lineshaft-worker".into()).spawn(run);
        spawned.map(drop).map_err(|error| PyRuntimeError::new_err(format!("cannot start a thread: {error}")))
    }

    /// No new work: the children finish or hand back what they have within the grace; what they wait for is said.
    fn stop(&self) {
        self.handle.stop_aloud();
    }

    /// The same, but what runs is asked to stop at once, and killed after a second.
    fn leave(&self) {
        self.handle.leave();
    }

    /// Ends the children now.
    fn kill(&self) {
        self.handle.kill();
    }

    /// Keeps at least `processes` children from here on.
    fn grow(&self, processes: u32) {
        self.handle.grow(processes);
    }

    /// Process ids of the living children, oldest first.
    #[getter]
    fn pids(&self) -> Vec<u32> {
        self.handle.pids()
    }

    /// Waits up to `timeout` seconds until no child is left; whether that is so. Raises, once, what ended the worker
    /// against its will. Signals are looked at every 50 ms.
    fn join(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let deadline = Instant::now() + Duration::from_secs_f64(timeout.clamp(0.0, 1e6));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let (ended, failure) = py.detach(|| self.end.wait(left.min(SIGNAL_INTERVAL)));
            match failure {
                Some(failure) => return Err(exception(py, &failure)),
                None if ended || left.is_zero() => return Ok(ended),
                None => py.check_signals()?,
            }
        }
    }
}

impl End {
    fn wait(&self, timeout: Duration) -> (bool, Option<worker::Error>) {
        let state = lock(&self.state);
        let waited = self.changed.wait_timeout_while(state, timeout, |state| !state.ended);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        (state.ended, state.failure.take())
    }
}

/// The Python exception for what ended a worker.
fn exception(py: Python<'_>, error: &worker::Error) -> PyErr {
    match error {
        worker::Error::Server(error) => to_python(py, error),
        worker::Error::BadOption { .. } => {
            option_error(py, &error.to_string(), "see the documentation of workers")
        }
        _ => raise(py, "WorkerFailed", &error.to_string(), error.code()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
