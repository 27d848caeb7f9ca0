//! A worker's child: its loop, and the attempt that `current` shows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lineshaft::worker::{self, Job, Next, StopReason, TaskEntry, Ticket};
use lineshaft_wire::JobId;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::body::{Runner, Task};
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
    fn run(
        slf: &Bound<'_, Self>,
        app: &Bound<'_, PyAny>,
        tasks: Vec<(String, Bound<'_, PyAny>)>,
        running: &Bound<'_, PyAny>,
        interruptions: (Py<PyAny>, Py<PyAny>),
    ) -> PyResult<()> {
        let child = slf.get();
        *lock(&child.interruptions) = Some(interruptions);
        let tasks =
            tasks.into_iter().map(|(name, task)| Task::new(name, &task)).collect::<PyResult<Vec<_>>>()?;
        let runner = Runner::new(app, running)?;
        child.inner.start(tasks.iter().map(entry).collect()).map_err(|error| failed(&error))?;
        while let Some(job) = child.next(slf.py())? {
            child.attempt(slf.as_unbound(), &runner, &tasks, &job)?;
        }
        runner.rest()
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

    fn attempt(&self, child: &Py<Self>, runner: &Runner<'_>, tasks: &[Task], job: &Job) -> PyResult<()> {
        let Some(task) = tasks.get(job.task as usize) else {
            self.inner.finish(job, runner.unknown_task(job));
            return Ok(());
        };
        let call = match runner.prepare(task, job) {
            Ok(call) => call,
            Err(ending) => {
                self.inner.finish(job, *ending);
                return Ok(());
            }
        };
        let attempt = runner.attempt(child, job)?;
        *lock(&self.current) = Some(job.ticket());
        self.inner.begin(job);
        self.in_body.store(true, Ordering::Relaxed);
        // Asked before it began, when there was no body to interrupt.
        let returned = match self.interrupt(runner.py, &PyTuple::empty(runner.py)) {
            Ok(()) => runner.call(&call, &attempt),
            Err(interruption) => Err(interruption),
        };
        self.in_body.store(false, Ordering::Relaxed);
        if std::process::id() != self.process {
            return end_copy(runner.py, task.name());
        }
        let ending = runner.ending(job, returned);
        runner.flush();
        if task.at_most_once || self.inner.stop_requested(job.ticket()).is_some() {
            runner.py.detach(|| self.inner.finish(job, ending));
        } else {
            self.inner.finish(job, ending);
        }
        Ok(())
    }
}

/// A body forked, and its copy came back here instead of ending: it must not go on with the worker's jobs.
fn end_copy(py: Python<'_>, task: &str) -> PyResult<()> {
    let os = py.import("os")?;
    let text = format!(
        "lineshaft: task {task} forked, and the copy returned from the body; it ends here. Let the copy call os._exit().\n"
    );
    os.call_method1("write", (2, PyBytes::new(py, text.as_bytes())))?;
    os.call_method1("_exit", (1,)).map(drop)
}

fn entry(task: &Task) -> TaskEntry {
    TaskEntry { name: task.name().into(), at_most_once: task.at_most_once }
}

/// What the interruption says, and whether it is for time.
fn words(reason: StopReason) -> (&'static str, bool) {
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
    child: Py<Child>,
    #[pyo3(get)]
    app: Py<PyAny>,
    job: JobId,
    ticket: Ticket,
    #[pyo3(get)]
    number: u32,
}

impl RunningAttempt {
    pub(super) fn new(child: Py<Child>, app: Py<PyAny>, job: &Job) -> Self {
        Self { child, app, job: job.id, ticket: job.ticket(), number: job.attempt }
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
        self.child.get().inner.stop_requested(self.ticket).is_some()
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
        self.child.get().inner.report_progress(self.ticket, payload);
        Ok(())
    }
}

fn failed(error: &worker::Error) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
