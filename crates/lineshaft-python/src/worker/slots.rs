//! Slots that are threads or coroutines of one process: in a worker's child, or in the program itself.
//!
//! `python/lineshaft/_slots.py` decides which thread or loop runs what; here are the steps of an attempt. The way a
//! request to stop gets into a body is in `bodies`.

use std::os::fd::IntoRawFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lineshaft::Target;
use lineshaft::worker::local::{self, Local};
use lineshaft::worker::{Attempts, Ending, Job, Kind, Next, StopReason, TaskEntry, Ticket};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PySet;

use super::bodies::Bodies;
use super::body::{Call, Runner, Task};
use super::child::{PROFILE_PATIENCE, Place, RunningAttempt, end_copy, failed, guarded};
use super::profiled::{Wanted, Whom};
use crate::logging::LogsOfAttempts;

/// How often an idle thread looks whether the process ends.
const IDLE: Duration = Duration::from_millis(500);

/// What all threads and coroutines share.
pub(super) struct Shop {
    attempts: Arc<Attempts>,
    runner: Runner,
    /// By the number that jobs name them by. In this very process a cell may declare one again at any time.
    tasks: Mutex<Vec<Arc<Task>>>,
    renews: bool,
    /// Those that run in threads.
    bodies: Bodies,
    process: u32,
}

/// The slots of this process.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Slots {
    shop: Arc<Shop>,
    /// The worker, where it is this very process.
    local: Mutex<Option<Local>>,
    /// Of this very process: until they are closed.
    logs: Mutex<Option<LogsOfAttempts>>,
}

impl Slots {
    pub(super) fn new(
        attempts: Arc<Attempts>,
        app: &Bound<'_, PyAny>,
        tasks: Vec<(String, Bound<'_, PyAny>)>,
        running: &Bound<'_, PyAny>,
        interruptions: [Py<PyAny>; 4],
    ) -> PyResult<Self> {
        let tasks = tasks_of(tasks, attempts.kind())?;
        let runner = Runner::new(app, running)?;
        let (tasks, bodies, process) = (Mutex::new(tasks), Bodies::new(interruptions), std::process::id());
        let shop = Arc::new(Shop { attempts, runner, tasks, renews: false, bodies, process });
        Ok(Self { shop, local: Mutex::new(None), logs: Mutex::new(None) })
    }

    pub(super) fn entries(&self) -> Vec<TaskEntry> {
        lock(&self.shop.tasks).iter().map(|task| task.entry()).collect()
    }
}

fn tasks_of(tasks: Vec<(String, Bound<'_, PyAny>)>, kind: Kind) -> PyResult<Vec<Arc<Task>>> {
    tasks.into_iter().map(|(name, task)| Task::new(name, &task, kind).map(Arc::new)).collect()
}

#[pymethods]
impl Slots {
    /// Slots in this very process, `count` of kind "thread" or "async", that serve the home at `url`.
    #[staticmethod]
    #[pyo3(signature = (url, app, tasks, running, interruptions, *, kind, count, grace, tee = true))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn local(
        url: std::ffi::OsString,
        app: &Bound<'_, PyAny>,
        tasks: Vec<(String, Bound<'_, PyAny>)>,
        running: &Bound<'_, PyAny>,
        interruptions: [Py<PyAny>; 4],
        kind: &str,
        count: u32,
        grace: f64,
        tee: bool,
    ) -> PyResult<Self> {
        let kind =
            Kind::named(kind).ok_or_else(|| PyValueError::new_err(format!("no kind is named {kind:?}")))?;
        let grace = Duration::from_secs_f64(grace.clamp(0.0, 604_800.0));
        let options =
            local::Options { slots: count, grace, tee, ..local::Options::new(Target::home(url), kind) };
        let tasks = tasks_of(tasks, kind)?;
        let (runner, logs) = (Runner::new(app, running)?, LogsOfAttempts::new(running)?);
        let local = Local::start(options, tasks.iter().map(|task| task.entry()).collect())
            .map_err(|error| failed(&error))?;
        let (attempts, process) = (Arc::clone(local.attempts()), std::process::id());
        let (tasks, bodies) = (Mutex::new(tasks), Bodies::new(interruptions));
        let shop = Arc::new(Shop { attempts, runner, tasks, renews: true, bodies, process });
        Ok(Self { shop, local: Mutex::new(Some(local)), logs: Mutex::new(Some(logs)) })
    }

    /// How many there are.
    #[getter]
    fn count(&self) -> u32 {
        self.shop.attempts.slots()
    }

    /// How many have an attempt.
    #[getter]
    fn busy(&self) -> u32 {
        self.shop.attempts.busy()
    }

    /// Whether no job will come any more.
    #[getter]
    fn is_drained(&self) -> bool {
        self.shop.attempts.is_drained()
    }

    /// Runs attempts in this thread until the worker stops.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            match py.detach(|| self.shop.attempts.next(IDLE)) {
                Next::Job(job) => self.shop.run(py, &job),
                Next::Drained => return self.shop.runner.rest(py),
                Next::TimedOut => py.check_signals()?,
            }
        }
    }

    /// The next job, if one is here and a slot is free.
    fn take(&self) -> Option<Work> {
        let job = self.shop.attempts.try_next()?;
        let (attempt, profiled, begun) = Default::default();
        Some(Work { shop: Arc::clone(&self.shop), job, attempt, profiled, begun })
    }

    /// A descriptor that is readable when `take` may have something; reading eight bytes empties it. Once.
    fn bell(&self) -> PyResult<i32> {
        let bell = self.shop.attempts.bell().map_err(|error| failed(&error))?;
        Ok(bell.into_raw_fd())
    }

    /// Waits up to `timeout` seconds for a request to stop. One into the body of a thread is raised there at once;
    /// one for a coroutine is given back: the fence of its attempt and what to tell it. Ends what bodies wait for that
    /// do not hear a request; so call it again and again.
    fn next_stop(&self, py: Python<'_>, timeout: f64) -> Option<((u64, u64), &'static str)> {
        let timeout = Duration::from_secs_f64(timeout.clamp(0.0, 3_600.0));
        let stop = py.detach(|| self.shop.attempts.next_stop(timeout));
        self.shop.free_the_deaf();
        let (attempt, reason) = stop?;
        let in_thread = self.shop.bodies.interrupt(attempt, reason);
        (!in_thread).then(|| (key(attempt), words(reason)))
    }

    /// Only of this very process: jobs that were asked to stop longer ago than the grace and go on, each with the
    /// seconds that its attempt has run.
    fn overdue(&self) -> Vec<(String, f64)> {
        let local = lock(&self.local);
        let overdue = local.iter().flat_map(Local::overdue);
        overdue.map(|(job, _, ran)| (job.to_string(), ran.as_secs_f64())).collect()
    }

    /// Only of this very process: no new work.
    fn drain(&self) {
        if let Some(local) = &*lock(&self.local) {
            local.drain();
        }
    }

    /// Only of this very process: no new work, running attempts are asked to stop after `patience` seconds; whether
    /// all ended and were confirmed within twice that time.
    fn close(&self, py: Python<'_>, patience: f64) -> bool {
        let Some(local) = lock(&self.local).take() else { return true };
        let patience = Duration::from_secs_f64(patience.clamp(0.0, 3_600.0));
        let logs = lock(&self.logs).take();
        py.detach(|| {
            // As long as attempts may log.
            let _logs = logs;
            local.drain();
            if !wait_for_idle(&local, patience) {
                local.stop_attempts();
                wait_for_idle(&local, patience);
            }
            local.close(patience)
        })
    }
}

/// Of a worker that drains. Jobs that had come and begin nowhere go back before it disconnects, or they would be left to
/// their leases.
fn wait_for_idle(local: &Local, patience: Duration) -> bool {
    let start = std::time::Instant::now();
    while local.busy() > 0 || !local.is_drained() {
        if start.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A job that was taken up.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Work {
    shop: Arc<Shop>,
    job: Job,
    /// Of a coroutine that has begun.
    attempt: OnceLock<Py<RunningAttempt>>,
    /// Why and how that is to be profiled, if it is.
    profiled: OnceLock<Wanted>,
    /// The task of that.
    begun: OnceLock<Arc<Task>>,
}

#[pymethods]
impl Work {
    /// Whether its body is a coroutine.
    #[getter]
    fn is_async(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.shop.task(py, &self.job)?.is_some_and(|task| task.is_async))
    }

    /// The fence of its attempt, by which requests to stop name it.
    #[getter]
    fn key(&self) -> (u64, u64) {
        key(self.job.ticket())
    }

    /// Name of its task.
    #[getter]
    fn task(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.shop.task(py, &self.job)?.map_or_else(|| "?".to_owned(), |task| task.name().to_owned()))
    }

    /// The job's id.
    #[getter]
    fn id(&self) -> String {
        self.job.id.to_string()
    }

    /// Runs the attempt in this thread.
    fn run(&self, py: Python<'_>) {
        self.shop.run(py, &self.job);
    }

    /// Begins the attempt and gives its coroutine; from here on it runs in the current context. None if it could not
    /// begin, and has ended.
    fn begin<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some((task, call)) = self.shop.prepare(py, &self.job)? else { return Ok(None) };
        if let Some(wanted) = task.which.from_the_beginning(&self.job) {
            self.profiled.get_or_init(|| wanted);
        }
        self.begun.get_or_init(|| Arc::clone(&task));
        let attempt = self.shop.attempt(py, &self.job)?;
        self.shop.runner.enter(&attempt)?;
        self.attempt.get_or_init(|| attempt.unbind());
        self.shop.attempts.begin(&self.job);
        match call.make() {
            Ok(coroutine) => Ok(Some(coroutine)),
            Err(error) => {
                let ending = self.shop.ending_of(py, &self.job, Err(error));
                self.shop.attempts.finish_without_waiting(&self.job, ending);
                Ok(None)
            }
        }
    }

    /// Whether the coroutine that has begun is profiled, or may come to be.
    #[getter]
    fn is_followed(&self) -> bool {
        let may_be_long = || self.begun.get().is_some_and(|task| task.which.long_after().is_some());
        self.profiled.get().is_some() || may_be_long()
    }

    /// What this thread does in the tasks of a set, and what these await, is its profile, if there is one.
    fn follow(&self, py: Python<'_>, tasks: Py<PySet>) -> PyResult<()> {
        let (Some(task), Some(attempt)) = (self.begun.get(), self.attempt.get()) else { return Ok(()) };
        let thread = py.import("threading")?.call_method0("get_ident")?.extract()?;
        let whom = Whom { thread, tasks: Some(tasks) };
        self.shop.runner.follow(task, attempt.bind(py), self.profiled.get().copied(), whom);
        Ok(())
    }

    /// Whether a shield of the coroutine is open; `cancel` is then called when it closes.
    fn hold(&self, cancel: Py<PyAny>) -> bool {
        self.attempt.get().is_some_and(|attempt| attempt.get().hold(cancel))
    }

    /// Whether the coroutine was asked to stop and has left processes running.
    #[getter]
    fn has_leftovers(&self) -> bool {
        self.shop.attempts.has_leftovers(self.job.ticket())
    }

    /// Ends these, which may take two seconds.
    fn end_leftovers(&self, py: Python<'_>) {
        py.detach(|| self.shop.attempts.end_processes(self.job.ticket()));
    }

    /// In a copy of this process that its coroutine made by a fork: says so and ends the copy.
    fn end_copy(&self, py: Python<'_>) -> PyResult<()> {
        end_copy(py, &self.task(py)?)
    }

    /// The coroutine returned.
    fn returned(&self, py: Python<'_>, result: Bound<'_, PyAny>) {
        self.finish(py, Ok(result));
    }

    /// The worker could not carry the attempt out; nothing if it has ended.
    fn failed(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        self.end_profile(py);
        self.keep_profile(py);
        self.shop.fail(py, &self.job, &PyErr::from_value(error));
    }

    /// The coroutine raised.
    fn raised(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        self.finish(py, Err(PyErr::from_value(error)));
    }
}

impl Work {
    fn finish(&self, py: Python<'_>, returned: PyResult<Bound<'_, PyAny>>) {
        self.end_profile(py);
        let ending = self.shop.ending_of(py, &self.job, returned);
        self.keep_profile(py);
        let took = self.shop.attempts.finish_without_waiting(&self.job, ending);
        if let Some(task) = self.begun.get() {
            task.which.record(took);
        }
    }

    fn end_profile(&self, py: Python<'_>) {
        if let (Some(task), Some(attempt)) = (self.begun.get(), self.attempt.get()) {
            self.shop.runner.end_profile(task, attempt.bind(py));
        }
    }

    /// In the thread of the loop, which cannot wait for room.
    fn keep_profile(&self, py: Python<'_>) {
        if let Some(attempt) = self.attempt.get() {
            attempt.get().keep_profile(py, Duration::ZERO);
        }
    }
}

impl Shop {
    /// One attempt, in this thread.
    fn run(self: &Arc<Self>, py: Python<'_>, job: &Job) {
        if let Err(error) = guarded(|| self.attempt_here(py, job)) {
            self.bodies.forget(job.ticket());
            self.fail(py, job, &error);
        }
    }

    /// Ends an attempt that the worker itself cannot carry out: its lease would be renewed for ever.
    fn fail(&self, py: Python<'_>, job: &Job, error: &PyErr) {
        let ending = self.runner.failed(py, error);
        self.attempts.finish_without_waiting(job, ending);
    }

    fn attempt_here(self: &Arc<Self>, py: Python<'_>, job: &Job) -> PyResult<()> {
        let Some((task, call)) = self.prepare(py, job)? else { return Ok(()) };
        let attempt = self.attempt(py, job)?;
        let thread = py.import("threading")?.call_method0("get_ident")?.extract()?;
        self.attempts.begin(job);
        let returned = match self.attempts.stop_requested(job.ticket()) {
            // Asked before it began, when there was no body to interrupt.
            Some(reason) => Err(self.bodies.interruption(py, reason)?),
            None => {
                let whom = Whom { thread: thread as u64, tasks: None };
                self.runner.follow(&task, &attempt, task.which.from_the_beginning(job), whom);
                let place = (thread, attempt.get().shields.clone());
                self.bodies.run(py, job.ticket(), place, || self.runner.call(&call, &attempt))
            }
        };
        if std::process::id() != self.process {
            return end_copy(py, task.name());
        }
        self.runner.end_profile(&task, &attempt);
        let ending = self.ending(py, Some(&task), job, returned);
        attempt.get().keep_profile(py, PROFILE_PATIENCE);
        task.which.record(py.detach(|| self.attempts.finish(job, ending)));
        Ok(())
    }

    fn attempt<'py>(self: &Arc<Self>, py: Python<'py>, job: &Job) -> PyResult<Bound<'py, RunningAttempt>> {
        self.runner.attempt(py, &self.attempts, job, Place::Slots(Arc::clone(self)))
    }

    /// The process whose slots they are.
    pub(super) fn process(&self) -> u32 {
        self.process
    }

    /// The interruption of an attempt got into its body.
    pub(super) fn heard(&self, attempt: Ticket) {
        self.bodies.heard(attempt);
    }

    /// A body that does not hear most likely waits for a process that it started: ends that, so that the body goes on
    /// and its neighbours need not die with it.
    fn free_the_deaf(&self) {
        for attempt in self.bodies.deaf() {
            if self.attempts.has_leftovers(attempt) {
                let attempts = Arc::clone(&self.attempts);
                let end = move || attempts.end_processes(attempt);
                // Without a thread the grace has to do.
                let _ = std::thread::Builder::new().name("lineshaft-ending".into()).spawn(end);
            }
        }
    }

    /// The outermost shield of an attempt closed: what came meanwhile is raised now, in the thread of its body.
    pub(super) fn catch_up(&self, py: Python<'_>, attempt: Ticket) -> PyResult<()> {
        let Some(reason) = self.attempts.stop_requested(attempt) else { return Ok(()) };
        let here = py.import("threading")?.call_method0("get_ident")?.extract()?;
        if self.bodies.catch_up(attempt, reason, here) {
            return Err(self.bodies.interruption(py, reason)?);
        }
        Ok(())
    }

    /// The task of a job, as it is declared now.
    fn task(&self, py: Python<'_>, job: &Job) -> PyResult<Option<Arc<Task>>> {
        let number = job.task as usize;
        let Some(task) = lock(&self.tasks).get(number).cloned() else { return Ok(None) };
        let newer = if self.renews { self.runner.declared_anew(py, &task)? } else { None };
        let Some(newer) = newer else { return Ok(Some(task)) };
        let task = Arc::new(Task::new(task.name().to_owned(), &newer, self.attempts.kind())?);
        lock(&self.tasks)[number] = Arc::clone(&task);
        Ok(Some(task))
    }

    /// Task and call of a job; None if there is none, and then the attempt has ended.
    fn prepare<'py>(&self, py: Python<'py>, job: &Job) -> PyResult<Option<(Arc<Task>, Call<'py>)>> {
        let Some(task) = self.task(py, job)? else {
            self.attempts.finish_without_waiting(job, self.runner.unknown_task(py, job));
            return Ok(None);
        };
        match self.runner.prepare(py, &task, job) {
            Ok(call) => Ok(Some((task, call))),
            Err(ending) => {
                self.attempts.finish_without_waiting(job, *ending);
                Ok(None)
            }
        }
    }

    fn ending(
        &self,
        py: Python<'_>,
        task: Option<&Task>,
        job: &Job,
        returned: PyResult<Bound<'_, PyAny>>,
    ) -> Ending {
        let stopping = self.attempts.stop_requested(job.ticket()).is_some();
        self.runner.ending(py, task, job, stopping, returned)
    }

    /// How an attempt in an event loop ended.
    fn ending_of(&self, py: Python<'_>, job: &Job, returned: PyResult<Bound<'_, PyAny>>) -> Ending {
        let task = if returned.is_err() { self.task(py, job).ok().flatten() } else { None };
        self.ending(py, task.as_deref(), job, returned)
    }
}

fn key(attempt: Ticket) -> (u64, u64) {
    (attempt.fence.epoch, attempt.fence.counter)
}

fn words(reason: StopReason) -> &'static str {
    super::child::words(reason).0
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
