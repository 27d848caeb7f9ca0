//! A worker's child: its loop, and the attempt that `current` shows.

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lineshaft::Target;
use lineshaft::worker::{self, Attempts, Job, Kind, Next, StopReason, Ticket};
use lineshaft_wire::JobId;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::body::{Runner, Task};
use super::slots::Slots;
use crate::errors::raise;
use crate::values::{Registry, encode};

/// How often an idle child lets Python look at signals.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(500);

/// This process as a worker's child.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Child {
    inner: worker::Child,
    /// The process that took it over; a copy made by a body's fork is another one.
    process: u32,
    /// A body runs, and may be interrupted.
    in_body: AtomicBool,
    /// The attempt whose body runs, or ran last.
    current: Mutex<Option<Ticket>>,
    /// The attempt into which a request to stop was raised: once is enough.
    interrupted: Mutex<Option<Ticket>>,
    /// What is raised into a body: (cancelled, timed out).
    interruptions: Mutex<Option<(Py<PyAny>, Py<PyAny>)>>,
}

#[pymethods]
impl Child {
    /// Takes over what the supervisor handed to this process; `RuntimeError` if there is none.
    #[new]
    fn new() -> PyResult<Self> {
        let inner = worker::Child::from_env().map_err(|error| failed(&error))?;
        let (in_body, current, interrupted, interruptions) = Default::default();
        Ok(Self { inner, process: std::process::id(), in_body, current, interrupted, interruptions })
    }

    /// The app cannot be loaded: the supervisor gets the report.
    fn fail(&self, report: &str) -> PyResult<()> {
        self.inner.fail(report).map_err(|error| failed(&error))
    }

    /// Connects, and runs attempts until the worker stops. `tasks` are (name, task); `running` is the context variable
    /// that holds the attempt; `interruptions` are raised into bodies that shall stop: (cancelled, timed out).
    ///
    /// Only where the slot is the process; see `slots` for the others.
    fn run(
        slf: &Bound<'_, Self>,
        app: &Bound<'_, PyAny>,
        tasks: Vec<(String, Bound<'_, PyAny>)>,
        running: &Bound<'_, PyAny>,
        interruptions: (Py<PyAny>, Py<PyAny>),
    ) -> PyResult<()> {
        let (py, child) = (slf.py(), slf.get());
        *lock(&child.interruptions) = Some(interruptions);
        let tasks = tasks
            .into_iter()
            .map(|(name, task)| Task::new(name, &task, Kind::Process))
            .collect::<PyResult<Vec<_>>>()?;
        let runner = Runner::new(app, running)?;
        child.inner.start(tasks.iter().map(Task::entry).collect()).map_err(|error| failed(&error))?;
        while let Some(job) = child.next(py)? {
            child.attempt(py, &runner, &tasks, &job)?;
        }
        runner.rest(py)
    }

    /// What a slot of this child is: "process", "thread" or "async".
    #[getter]
    fn kind(&self) -> &'static str {
        self.inner.kind().as_str()
    }

    /// The slots of a child whose slots are threads or coroutines: connects, and asks for jobs. `interruptions` are
    /// classes by reason: cancelled, timed out, lease lost, shutdown.
    fn slots(
        slf: &Bound<'_, Self>,
        app: &Bound<'_, PyAny>,
        tasks: Vec<(String, Bound<'_, PyAny>)>,
        running: &Bound<'_, PyAny>,
        interruptions: [Py<PyAny>; 4],
    ) -> PyResult<Slots> {
        let inner = &slf.get().inner;
        let slots = Slots::new(Arc::clone(inner.attempts()), app, tasks, running, interruptions)?;
        inner.start(slots.entries()).map_err(|error| failed(&error))?;
        Ok(slots)
    }

    /// The home it works for; none if it knows an address alone.
    #[getter]
    fn home(&self) -> Option<OsString> {
        match self.inner.target() {
            Target::Home { home, .. } => Some(home.path().into()),
            _ => None,
        }
    }

    /// Waits up to `timeout` seconds until the server has confirmed every end; whether it has.
    fn close(&self, py: Python<'_>, timeout: f64) -> bool {
        py.detach(|| self.inner.close(Duration::from_secs_f64(timeout.clamp(0.0, 3_600.0))))
    }

    /// The signal handler that interrupts the body, if its attempt shall stop: raises in the main thread, once.
    #[pyo3(signature = (*_arguments))]
    fn interrupt(&self, py: Python<'_>, _arguments: &Bound<'_, PyTuple>) -> PyResult<()> {
        if !self.in_body.load(Ordering::Relaxed) {
            return Ok(());
        }
        let Some(attempt) = *lock(&self.current) else { return Ok(()) };
        let Some(reason) = self.inner.stop_requested(attempt) else { return Ok(()) };
        if lock(&self.interrupted).replace(attempt) == Some(attempt) {
            return Ok(());
        }
        let (text, timed_out) = words(reason);
        let class = lock(&self.interruptions).as_ref().map(|(cancelled, late)| {
            let class = if timed_out { late } else { cancelled };
            class.clone_ref(py)
        });
        let Some(class) = class else { return Ok(()) };
        Err(PyErr::from_value(class.bind(py).call1((text,))?))
    }
}

impl Child {
    /// The next job; `None` when the worker stops. Other threads run while there is none.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Job>> {
        loop {
            if let Some(job) = self.inner.try_next() {
                return Ok(Some(job));
            }
            match py.detach(|| self.inner.next(SIGNAL_INTERVAL)) {
                Next::Job(job) => return Ok(Some(job)),
                Next::Drained => return Ok(None),
                Next::TimedOut => py.check_signals()?,
            }
        }
    }

    fn attempt(&self, py: Python<'_>, runner: &Runner, tasks: &[Task], job: &Job) -> PyResult<()> {
        let Some(task) = tasks.get(job.task as usize) else {
            self.inner.finish(job, runner.unknown_task(py, job));
            return Ok(());
        };
        let call = match runner.prepare(py, task, job) {
            Ok(call) => call,
            Err(ending) => {
                self.inner.finish(job, *ending);
                return Ok(());
            }
        };
        let attempt = runner.attempt(py, self.inner.attempts(), job)?;
        *lock(&self.current) = Some(job.ticket());
        self.inner.begin(job);
        self.in_body.store(true, Ordering::Relaxed);
        // Asked before it began, when there was no body to interrupt.
        let returned = match self.interrupt(py, &PyTuple::empty(py)) {
            Ok(()) => runner.call(&call, &attempt),
            Err(interruption) => Err(interruption),
        };
        self.in_body.store(false, Ordering::Relaxed);
        if std::process::id() != self.process {
            return end_copy(py, task.name());
        }
        let stopping = self.inner.stop_requested(job.ticket()).is_some();
        let ending = runner.ending(py, Some(task), job, stopping, returned);
        runner.flush(py);
        if task.at_most_once || self.inner.stop_requested(job.ticket()).is_some() {
            py.detach(|| self.inner.finish(job, ending));
        } else {
            self.inner.finish(job, ending);
        }
        Ok(())
    }
}

/// A body forked, and its copy came back here instead of ending: it must not go on with the worker's jobs.
pub(super) fn end_copy(py: Python<'_>, task: &str) -> PyResult<()> {
    let os = py.import("os")?;
    let text = format!(
        "lineshaft: task {task} forked, and the copy returned from the body; it ends here. Let the copy call os._exit().\n"
    );
    os.call_method1("write", (2, PyBytes::new(py, text.as_bytes())))?;
    os.call_method1("_exit", (1,)).map(drop)
}

/// What the interruption says, and whether it is for time.
pub(super) fn words(reason: StopReason) -> (&'static str, bool) {
    match reason {
        StopReason::TimedOut => ("the attempt ran longer than its timeout", true),
        StopReason::LeaseLost => ("the attempt belongs to another worker by now", false),
        StopReason::Shutdown => ("the worker stops, and its grace is over", false),
        _ => ("the job was cancelled", false),
    }
}

/// The attempt that runs in this context; `lineshaft.current` shows it.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct RunningAttempt {
    attempts: Arc<Attempts>,
    #[pyo3(get)]
    app: Py<PyAny>,
    job: JobId,
    ticket: Ticket,
    #[pyo3(get)]
    number: u32,
}

impl RunningAttempt {
    pub(super) fn new(attempts: Arc<Attempts>, app: Py<PyAny>, job: &Job) -> Self {
        Self { attempts, app, job: job.id, ticket: job.ticket(), number: job.attempt }
    }
}

#[pymethods]
impl RunningAttempt {
    /// The job's id.
    #[getter]
    fn id(&self) -> String {
        self.job.to_string()
    }

    /// Whether the attempt was asked to stop.
    fn is_stopping(&self) -> bool {
        self.attempts.stop_requested(self.ticket).is_some()
    }

    /// Adds to its output, where it shares the process with others; false once it is over.
    fn print(&self, py: Python<'_>, data: &[u8]) -> bool {
        py.detach(|| self.attempts.print(self.ticket, data))
    }

    /// Leaves word how far it is; nothing once it is over.
    fn report_progress(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let registry = self.app.bind(py).getattr("_types")?.getattr("registry")?.cast_into::<Registry>()?;
        let payload = encode(&registry, value, "progress")?;
        let limit = worker::child::PROGRESS_BYTES_MAX;
        if payload.len() > limit {
            let message = format!("progress: {} bytes are too many, at most {limit} are kept", payload.len());
            return Err(raise(py, "SerializationError", &message, None));
        }
        self.attempts.report_progress(self.ticket, payload);
        Ok(())
    }
}

pub(super) fn failed(error: &worker::Error) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
