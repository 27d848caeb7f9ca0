//! A worker's child: its loop, and the attempt that `current` shows.

use std::ffi::OsString;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use lineshaft::Target;
use lineshaft::worker::{self, Attempts, Job, Kind, Newest, Next, StopReason, Ticket};
use lineshaft_wire::JobId;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use super::body::{Runner, Task};
use super::checkpoint::Checkpoint;
use super::collector::watch_collector;
use super::garbage::{Garbage, freeze};
use super::gil::watch_gil;
use super::logged::Logged;
use super::profiled::{Profiling, Seen, Wanted, Whom};
use super::shield::Shields;
use super::slots::{Shop, Slots};
use crate::errors::raise;
use crate::values::{Registry, decode, encode};

/// How often an idle child lets Python look at signals.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(500);

/// How long the end of an attempt waits for room for its profile.
pub(super) const PROFILE_PATIENCE: Duration = Duration::from_secs(1);

/// This process as a worker's child.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Child {
    inner: worker::Child,
    /// The process that took it over; a copy made by a body's fork is another one.
    process: u32,
    /// A body runs, and may be interrupted.
    in_body: AtomicBool,
    /// The attempt whose body runs, or ran last.
    current: Mutex<Option<(Ticket, Shields)>>,
    /// The attempt into which a request to stop was raised: once is enough.
    interrupted: Mutex<Option<Ticket>>,
    /// What is raised into a body: (cancelled, timed out).
    interruptions: Mutex<Option<(Py<PyAny>, Py<PyAny>)>>,
}

#[pymethods]
impl Child {
    /// Takes over what the supervisor handed to this process; `RuntimeError` if there is none.
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let inner = worker::Child::from_env().map_err(|error| failed(&error))?;
        die_of_panics();
        watch_collector(py)?;
        watch_gil(py)?;
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
    /// Only where the slot is the process; see `slots` for the others. With `tidy` garbage is collected between jobs.
    fn run(
        slf: &Bound<'_, Self>,
        app: &Bound<'_, PyAny>,
        tasks: Vec<(String, Bound<'_, PyAny>)>,
        running: &Bound<'_, PyAny>,
        interruptions: (Py<PyAny>, Py<PyAny>),
        tidy: bool,
    ) -> PyResult<()> {
        let (py, child) = (slf.py(), slf.get());
        *lock(&child.interruptions) = Some(interruptions);
        let tasks = tasks
            .into_iter()
            .map(|(name, task)| Task::new(name, &task, Kind::Process))
            .collect::<PyResult<Vec<_>>>()?;
        let runner = Runner::new(app, running)?;
        let mut garbage = if tidy { Garbage::new(py)? } else { None };
        child.inner.start(tasks.iter().map(Task::entry).collect()).map_err(|error| failed(&error))?;
        while let Some(job) = child.next(py)? {
            let is_quick = tasks.get(job.task as usize).map(|task| &task.is_quick);
            if let (Some(garbage), Some(is_quick)) = (&mut garbage, is_quick) {
                garbage.before(py, is_quick.load(Ordering::Relaxed))?;
            }
            let outcome = guarded(|| Self::attempt(slf, &runner, &tasks, &job));
            if let (Some(garbage), Some(is_quick), Ok(took)) = (&mut garbage, is_quick, &outcome) {
                is_quick.store(garbage.after(py, *took)?, Ordering::Relaxed);
            }
            if let Err(error) = outcome {
                child.in_body.store(false, Ordering::Relaxed);
                let ending = runner.failed(py, &error);
                py.detach(|| child.inner.finish(&job, ending));
            }
        }
        runner.rest(py)
    }

    /// The app is loaded: what it has made is never looked through for garbage again.
    #[staticmethod]
    fn settle(py: Python<'_>) -> PyResult<()> {
        freeze(py)
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
        let Some((attempt, shields)) = lock(&self.current).clone() else { return Ok(()) };
        if shields.are_open() {
            return Ok(());
        }
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

    /// How long the body took.
    fn attempt(slf: &Bound<'_, Self>, runner: &Runner, tasks: &[Task], job: &Job) -> PyResult<Duration> {
        let (py, this) = (slf.py(), slf.get());
        let Some(task) = tasks.get(job.task as usize) else {
            return Ok(this.inner.finish(job, runner.unknown_task(py, job)));
        };
        let call = match runner.prepare(py, task, job) {
            Ok(call) => call,
            Err(ending) => return Ok(this.inner.finish(job, *ending)),
        };
        let place = Place::Process(slf.clone().unbind());
        let attempt = runner.attempt(py, this.inner.attempts(), job, place)?;
        *lock(&this.current) = Some((job.ticket(), attempt.get().shields.clone()));
        this.inner.begin(job);
        let whom = Whom { thread: runner.thread(), tasks: None };
        runner.follow(task, &attempt, task.which.from_the_beginning(job), whom);
        this.in_body.store(true, Ordering::Relaxed);
        // Asked before it began, when there was no body to interrupt.
        let returned = match this.interrupt(py, &PyTuple::empty(py)) {
            Ok(()) => runner.call(&call, &attempt),
            Err(interruption) => Err(interruption),
        };
        this.in_body.store(false, Ordering::Relaxed);
        if std::process::id() != this.process {
            return end_copy(py, task.name()).map(|()| Duration::ZERO);
        }
        runner.end_profile(task, &attempt);
        let stopping = this.inner.stop_requested(job.ticket()).is_some();
        let ending = runner.ending(py, Some(task), job, stopping, returned);
        attempt.get().keep_profile(py, PROFILE_PATIENCE);
        runner.flush(py);
        let took = if task.at_most_once || this.inner.stop_requested(job.ticket()).is_some() {
            py.detach(|| this.inner.finish(job, ending))
        } else {
            this.inner.finish(job, ending)
        };
        task.which.record(took);
        Ok(took)
    }

    /// The outermost shield of an attempt closed: what came meanwhile is raised now, in the main thread.
    fn catch_up(&self, py: Python<'_>, attempt: Ticket) -> PyResult<()> {
        let is_current = lock(&self.current).as_ref().is_some_and(|(current, _)| *current == attempt);
        if !is_current || self.inner.stop_requested(attempt).is_none() || std::process::id() != self.process {
            return Ok(());
        }
        let threading = py.import("threading")?;
        let main = threading.call_method0("main_thread")?.getattr("ident")?;
        if threading.call_method0("get_ident")?.eq(&main)? {
            return self.interrupt(py, &PyTuple::empty(py));
        }
        let signal = py.import("signal")?;
        signal.call_method1("pthread_kill", (main, signal.getattr("SIGUSR1")?)).map(drop)
    }
}

/// A panic in a thread of the worker itself, or in the runtime under it (a body closed its descriptors, say), would
/// leave attempts that nobody ever hears of: the process ends, which its supervisor sees as a crash. A panic of our own
/// code in the thread of a body ends that attempt alone, see [`guarded`].
fn die_of_panics() {
    let say = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        say(panic);
        let is_native = thread::current().name().is_some_and(|name| name.starts_with("lineshaft"));
        let is_ours = panic.location().is_some_and(|place| place.file().contains("crates/lineshaft"));
        if is_native || !is_ours {
            let _ = writeln!(io::stderr(), "{RUNTIME_FAILED}");
            std::process::abort();
        }
    }));
}

const RUNTIME_FAILED: &str = "lineshaft: the runtime of this worker process failed, so the process ends; a body that \
    closes descriptors which it did not open does that";

/// What `step` gives; a panic in it is an error too, so that it ends the attempt rather than leave it for ever.
pub(super) fn guarded<T>(step: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(PyRuntimeError::new_err(text.unwrap_or_else(|| "a panic without words".to_owned())))
    })
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
    pub(super) ticket: Ticket,
    #[pyo3(get)]
    number: u32,
    logged: Logged,
    profile: Mutex<ProfileState>,
    pub(super) shields: Shields,
    place: Place,
    /// Cancels the coroutine, which a shield holds back.
    held: Mutex<Option<Py<PyAny>>>,
    /// The last checkpoint.
    newest: Newest,
    /// The process that took the job; a copy made by a body's fork is another one.
    process: u32,
    /// Held for one look at it, and never while Python code can run.
    body: Mutex<Body>,
}

/// The body of an attempt, and what it leaves to be called when it is over: `_cleanup.py` keeps that here, so that it
/// goes with the attempt.
#[derive(Default)]
struct Body {
    has_begun: bool,
    is_async: bool,
    is_over: bool,
    /// Made when there is something to be called: most bodies leave nothing, and pay nothing.
    cleanups: Option<Py<PyAny>>,
}

/// The profile of an attempt.
#[derive(Default)]
enum ProfileState {
    #[default]
    None,
    Begun(Profiling),
    /// The body is over, and what it returned or raised is still there.
    Ended(Seen),
    /// The body is over: none begins.
    Over,
}

/// Where an attempt runs: who passes on what a shield held back.
pub(super) enum Place {
    Process(Py<Child>),
    Slots(Arc<Shop>),
}

impl RunningAttempt {
    pub(super) fn new(attempts: Arc<Attempts>, app: Py<PyAny>, job: &Job, place: Place) -> Self {
        let (shields, held, profile) = Default::default();
        let newest = Newest::new(job.checkpoint.clone());
        // The process that it was taken over by, or whose slots they are: a copy takes no jobs.
        let process = match &place {
            Place::Process(child) => child.get().process,
            Place::Slots(shop) => shop.process(),
        };
        let (ticket, number) = (job.ticket(), job.attempt);
        let logged = Logged::new(Arc::clone(&attempts), job);
        let body = Mutex::default();
        Self {
            attempts,
            app,
            job: job.id,
            ticket,
            number,
            logged,
            profile,
            shields,
            place,
            held,
            newest,
            process,
            body,
        }
    }

    pub(super) fn newest(&self) -> &Newest {
        &self.newest
    }

    fn body(&self) -> MutexGuard<'_, Body> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn registry<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Registry>> {
        let registry = self.app.bind(py).getattr("_types")?.getattr("registry")?;
        Ok(registry.cast_into::<Registry>()?)
    }

    /// From now on its body is profiled, as that of this version of its task, if there is room for that and it is not over.
    pub(super) fn begin_profile(
        &self,
        py: Python<'_>,
        (version, (why, looks)): (u32, Wanted),
        whom: Whom,
        package: &str,
    ) {
        if !self.attempts.is_running(self.ticket) {
            return;
        }
        // An attempt that cannot be profiled runs as others do.
        let whose = self.logged.whose(version, why);
        let begun = Profiling::begin(py, whose, whom, looks, package).ok().flatten();
        let Some(begun) = begun else { return };
        let mut state = lock(&self.profile);
        if matches!(*state, ProfileState::None) {
            *state = ProfileState::Begun(begun);
        } else {
            drop(state);
            begun.abandon(py);
        }
    }

    /// Its body is over, of which nothing is looked at any more.
    pub(super) fn end_profile(&self, py: Python<'_>) {
        let state = std::mem::replace(&mut *lock(&self.profile), ProfileState::Over);
        if let ProfileState::Begun(profiling) = state {
            match profiling.end(py) {
                Ok(seen) => *lock(&self.profile) = ProfileState::Ended(seen),
                Err(error) => error.write_unraisable(py, None),
            }
        }
    }

    /// What it returned or raised is gone, too: what was seen is kept, waiting for room up to `patience`.
    pub(super) fn keep_profile(&self, py: Python<'_>, patience: Duration) {
        let state = std::mem::replace(&mut *lock(&self.profile), ProfileState::Over);
        if let ProfileState::Ended(seen) = state {
            seen.keep(py, patience);
        }
    }

    /// What it has logged.
    pub(crate) fn logged(&self) -> &Logged {
        &self.logged
    }

    /// Keeps `cancel` until the outermost shield closes; false if none is open.
    pub(super) fn hold(&self, cancel: Py<PyAny>) -> bool {
        let is_held = self.shields.are_open();
        if is_held {
            *lock(&self.held) = Some(cancel);
        }
        is_held
    }

    /// The outermost shield closed.
    pub(super) fn catch_up(&self, py: Python<'_>) -> PyResult<()> {
        let held = lock(&self.held).take();
        match (held, &self.place) {
            (Some(cancel), _) => cancel.call0(py).map(drop),
            (None, Place::Process(child)) => child.get().catch_up(py, self.ticket),
            (None, Place::Slots(shop)) => shop.catch_up(py, self.ticket),
        }
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

    /// The interruption got into its body.
    fn heard(&self) {
        if let Place::Slots(shop) = &self.place {
            shop.heard(self.ticket);
        }
    }

    /// Its body started a process, which nobody has waited for yet.
    pub(super) fn note_process(&self, pid: u32) {
        self.attempts.note_process(self.ticket, pid);
    }

    /// Adds to its output, where it shares the process with others; false once it is over, and in a copy of the process.
    fn print(&self, py: Python<'_>, data: &[u8]) -> bool {
        py.detach(|| self.attempts.print(self.ticket, data))
    }

    /// Leaves word how far it is; nothing once it is over.
    fn report_progress(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        let payload = encode(&self.registry(py)?, value, "progress")?;
        let limit = worker::child::PROGRESS_BYTES_MAX;
        if payload.len() > limit {
            let message = format!("progress: {} bytes are too many, at most {limit} are kept", payload.len());
            return Err(raise(py, "SerializationError", &message, None));
        }
        self.attempts.report_progress(self.ticket, payload);
        Ok(())
    }

    /// Sends the value from which the next attempt goes on.
    fn checkpoint(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<Checkpoint> {
        let (py, this) = (slf.py(), slf.get());
        if std::process::id() != this.process {
            let message = "a copy of the process that the body forked cannot leave a checkpoint";
            return Err(PyRuntimeError::new_err(message));
        }
        let payload = encode(&this.registry(py)?, value, "checkpoint")?;
        let limit = worker::child::CHECKPOINT_BYTES_MAX;
        if payload.len() > limit {
            let message =
                format!("checkpoint: {} bytes are too many, at most {limit} are kept", payload.len());
            return Err(raise(py, "SerializationError", &message, None));
        }
        let value = payload.clone().into();
        let (number, reply) = this.newest.leave(|| this.attempts.checkpoint(this.ticket, payload));
        Ok(Checkpoint::new(slf.clone().unbind(), number, value, reply))
    }

    /// The last checkpoint of an earlier attempt or of this one, decoded anew.
    fn resume_from<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let payload = self.newest.value();
        if payload.is_empty() { Ok(None) } else { decode(&self.registry(py)?, &payload).map(Some) }
    }

    /// Whether it is the attempt's own body that begins, and not one that this one calls.
    fn begin_body(&self, is_async: bool) -> bool {
        let mut body = self.body();
        let is_own = !body.has_begun;
        if is_own {
            (body.has_begun, body.is_async) = (true, is_async);
        }
        is_own
    }

    /// Whether the body, which has ended, left nothing to be called. Nothing is taken from then on.
    fn end_body(&self) -> bool {
        let mut body = self.body();
        body.is_over |= body.cleanups.is_none();
        body.is_over
    }

    /// Whether the body has begun, and whether it is a coroutine.
    #[getter]
    fn body_state(&self) -> (bool, bool) {
        let body = self.body();
        (body.has_begun, body.is_async)
    }

    /// What the body left to be called, if it left something.
    #[getter]
    fn cleanups(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.body().cleanups.as_ref().map(|cleanups| cleanups.clone_ref(py))
    }

    /// What is left comes to `cleanups`, unless there are some already; gives those. None when the body is over.
    fn keep_cleanups(&self, py: Python<'_>, cleanups: Py<PyAny>) -> Option<Py<PyAny>> {
        let mut body = self.body();
        if body.is_over {
            drop(body);
            return None;
        }
        let kept = body.cleanups.get_or_insert_with(|| cleanups.clone_ref(py)).clone_ref(py);
        drop(body);
        Some(kept)
    }

    /// Its lease is somebody else's: raises the request to stop, in the thread of the body, unless that was done.
    fn stop_here(&self, py: Python<'_>) -> PyResult<()> {
        self.catch_up(py)
    }

    /// Whether a shield is open.
    fn is_shielded(&self) -> bool {
        self.shields.are_open()
    }
}

pub(super) fn failed(error: &worker::Error) -> PyErr {
    PyRuntimeError::new_err(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
