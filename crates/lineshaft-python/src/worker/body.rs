//! One attempt: decode the call, run the body in a context of its own, encode the result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::once::intern;
use bytes::Bytes;
use lineshaft::worker::profiles::{Followed, SlowWatch, Which, Why};
use lineshaft::worker::{Attempts, End, Ending, Job, Kind, TaskEntry};
use lineshaft_wire::Looks;
use lineshaft_wire::message::Declared;
use pyo3::exceptions::{PyBaseException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::child::{Place, RunningAttempt};
use super::control::{Control, rejected, unencodable};
use super::profiled::{Wanted, Whom};
use crate::client::OnFailure;
use crate::values::{Registry, decode, decode_call, encode, encode_exception};

const UNDECODABLE: &str = "arguments_undecodable";
const CHECKPOINT_UNDECODABLE: &str = "checkpoint_undecodable";
const UNENCODABLE: &str = "result_unencodable";

/// A task as the loop needs it.
pub(super) struct Task {
    name: String,
    declared: Py<PyAny>,
    /// What is called: the function itself, what opens its resources around it, or what runs a coroutine.
    body: Py<PyAny>,
    binder: Py<PyAny>,
    /// The first and the last version whose jobs it runs; others are for other workers.
    versions: (u32, u32),
    /// Numbers of positional arguments that need no closer look.
    positional: (usize, usize),
    pub(super) at_most_once: bool,
    /// Bytes of memory that its process may have.
    memory: Option<u64>,
    /// What it says of its jobs, for those who know it by its name alone.
    described: Option<Declared>,
    /// The `Retry` whose `after` says when a failed attempt is tried again.
    retry: Option<Py<PyAny>>,
    /// Classes of errors that are ordinary outcomes.
    expected: Option<Py<PyAny>>,
    /// Which of its attempts are profiled.
    pub(super) which: Arc<Which>,
    /// Its body is a coroutine, to be run in a loop that others share.
    pub(super) is_async: bool,
    /// Its types are registered.
    learnt: AtomicBool,
    /// Its last attempt was over soon.
    pub(super) is_quick: AtomicBool,
}

impl Task {
    pub(super) fn new(name: String, task: &Bound<'_, PyAny>, kind: Kind) -> PyResult<Self> {
        let py = task.py();
        let plain = py.import("lineshaft._task")?.getattr("Task")?;
        let is_async: bool = task.getattr("is_async")?.extract()?;
        // Where a slot is the process, a coroutine is run to its end there and then.
        let has_loop = kind != Kind::Process && is_async;
        let body = if task.get_type().is(&plain) || has_loop { "entry" } else { "body" };
        let binder = task.getattr("binder")?;
        let positional = (binder.getattr("least")?.extract()?, binder.getattr("most")?.extract()?);
        let options = task.getattr("options")?;
        let delivery = options.call_method1("get", ("delivery",))?;
        let at_most_once = delivery.extract::<String>().is_ok_and(|delivery| delivery == "at_most_once");
        Ok(Self {
            described: described(&name, task)?,
            name,
            declared: task.clone().unbind(),
            body: task.getattr(body)?.unbind(),
            binder: binder.unbind(),
            versions: (task.getattr("from_version")?.extract()?, task.getattr("version")?.extract()?),
            positional,
            at_most_once,
            memory: task.getattr("memory")?.extract()?,
            expected: Some(options.call_method1("get", ("expected",))?.unbind())
                .filter(|one| !one.is_none(py)),
            retry: if at_most_once { None } else { retry_with_after(&options)? },
            which: Arc::new(which(task)?),
            is_async: has_loop,
            learnt: AtomicBool::new(false),
            is_quick: AtomicBool::new(false),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The version whose code this is.
    pub(super) fn version(&self) -> u32 {
        self.versions.1
    }

    pub(super) fn entry(&self) -> TaskEntry {
        TaskEntry {
            name: self.name.as_str().into(),
            versions: self.versions,
            at_most_once: self.at_most_once,
            memory: self.memory,
            declared: self.described.clone(),
        }
    }

    /// Whether `error` is an ordinary outcome.
    fn expects(&self, py: Python<'_>, error: &PyErr) -> bool {
        let value = error.value(py);
        self.expected.as_ref().is_some_and(|expected| value.is_instance(expected.bind(py)).unwrap_or(false))
    }

    /// Seconds until the next attempt after `error`, where a function of the task says them, or one that the body gave
    /// when it asked for it.
    fn delay_after(&self, error: &Bound<'_, PyBaseException>, asked: bool, job: &Job) -> Option<f64> {
        if self.retry.is_none() && !asked {
            return None;
        }
        if job.is_last {
            // Nobody is asked for nothing. What the body raised to be tried again stays that.
            return asked.then_some(0.0);
        }
        let py = error.py();
        let asked = (self.retry.as_ref(), job.attempt, error, &self.name, job.id.to_string());
        let delay =
            py.import(intern!(py, "lineshaft._retrying")).ok()?.call_method1(intern!(py, "delay_of"), asked);
        delay.ok()?.extract().ok()
    }
}

/// Which of its attempts are profiled, and how.
fn which(task: &Bound<'_, PyAny>) -> PyResult<Which> {
    let (share, words): (Option<f64>, Vec<String>) = task.getattr("_profiled")?.extract()?;
    let looks = words.iter().filter_map(|word| Looks::named(word)).fold(Looks::NONE, |all, one| all | one);
    Ok(Which::new(share).looking(looks))
}

/// What a task of this name says of its jobs; `None` where that depends on the call.
fn described(name: &str, task: &Bound<'_, PyAny>) -> PyResult<Option<Declared>> {
    let said = task.call_method1("_described_as", (name,))?;
    let Some((job, is_unique)): Option<(Bound<'_, OnFailure>, bool)> = said.extract()? else {
        return Ok(None);
    };
    Ok(Some(Declared { job: job.get().shared(), is_unique }))
}

/// The `retries` of a task, if a function of it says the delays.
fn retry_with_after(options: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
    let retry = options.call_method1("get", ("retries",))?;
    let is_asked = !retry.is_none() && !retry.getattr("after")?.is_none();
    Ok(is_asked.then(|| retry.unbind()))
}

/// What every attempt of a child shares.
pub(super) struct Runner {
    registry: Py<Registry>,
    types: Py<PyAny>,
    app: Py<PyAny>,
    /// Where the files of this package are, with a separator at the end.
    package: Arc<str>,
    slow: SlowWatch<Run>,
    /// The thread that runs bodies, where there is one.
    thread: u64,
    /// Sets the context variable that says which attempt runs.
    set_running: Py<PyAny>,
    copy_context: Py<PyAny>,
    flushes: [Py<PyAny>; 2],
    control: Control,
}

/// An attempt that may come to run for long.
struct Run {
    attempt: Py<RunningAttempt>,
    /// The version of its task.
    version: u32,
    whom: Whom,
    package: Arc<str>,
}

/// A call that is ready to be made.
pub(super) struct Call<'py> {
    body: Bound<'py, PyAny>,
    positional: Bound<'py, PyTuple>,
    keywords: Bound<'py, PyDict>,
}

impl Runner {
    pub(super) fn new(app: &Bound<'_, PyAny>, running: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = app.py();
        let types = app.getattr("_types")?;
        let sys = py.import("sys")?;
        let flush = |stream: &str| sys.getattr(stream)?.getattr("flush").map(Bound::unbind);
        Ok(Self {
            registry: types.getattr("registry")?.cast_into()?.unbind(),
            types: types.unbind(),
            app: app.clone().unbind(),
            package: package_of(py)?.into(),
            slow: SlowWatch::new(profile_long),
            thread: py.import("threading")?.call_method0("get_ident")?.extract()?,
            set_running: running.getattr("set")?.unbind(),
            copy_context: py.import("contextvars")?.getattr("copy_context")?.unbind(),
            flushes: [flush("stdout")?, flush("stderr")?],
            control: Control::load(py)?,
        })
    }

    /// The thread that has made it, which runs bodies where there is one slot, and the loop where they are coroutines.
    pub(super) fn thread(&self) -> u64 {
        self.thread
    }

    /// An attempt begins: it is profiled from now on, if there is a reason, or once it has run for long.
    pub(super) fn follow(
        &self,
        task: &Task,
        attempt: &Bound<'_, RunningAttempt>,
        wanted: Option<Wanted>,
        whom: Whom,
    ) {
        let version = task.version();
        if let Some(wanted) = wanted {
            attempt.get().begin_profile(attempt.py(), (version, wanted), whom, &self.package);
        } else if let Some(long) = task.which.long_after() {
            let (which, package) = (Arc::clone(&task.which), Arc::clone(&self.package));
            let (ticket, long_at) = (attempt.get().ticket, Instant::now() + long);
            let what = Run { attempt: attempt.clone().unbind(), version, whom, package };
            self.slow.follow(Followed { ticket, which, long_at, what });
        }
    }

    /// Its body is over: nothing of it is looked at any more.
    pub(super) fn end_profile(&self, task: &Task, attempt: &Bound<'_, RunningAttempt>) {
        if task.which.long_after().is_some() {
            self.slow.forget(attempt.get().ticket);
        }
        attempt.get().end_profile(attempt.py());
    }

    /// The task that was declared in place of `task` since, if there is one.
    pub(super) fn declared_anew<'py>(
        &self,
        py: Python<'py>,
        task: &Task,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let url = self.app.bind(py).getattr(intern!(py, "url"))?;
        let local = py.import(intern!(py, "lineshaft._local"))?;
        let now = local.call_method1(intern!(py, "newest"), (url, task.name()))?;
        Ok((!now.is_none() && !now.is(&task.declared)).then_some(now))
    }

    /// Decodes and binds the arguments; the end of the attempt if they do not fit, or its checkpoint does not read.
    pub(super) fn prepare<'py>(
        &self,
        py: Python<'py>,
        task: &Task,
        job: &Job,
    ) -> Result<Call<'py>, Box<Ending>> {
        let call =
            self.try_prepare(py, task, job).map_err(|error| self.unreadable(py, UNDECODABLE, &error))?;
        if !job.checkpoint.is_empty() {
            let checkpoint = decode(self.registry.bind(py), &job.checkpoint);
            checkpoint.map_err(|error| self.unreadable(py, CHECKPOINT_UNDECODABLE, &error))?;
        }
        Ok(call)
    }

    /// The end of an attempt that cannot begin: another worker may know what this one lacks.
    fn unreadable(&self, py: Python<'_>, reason: &'static str, error: &PyErr) -> Box<Ending> {
        if let Some(missing) = missing(py, error) {
            return Box::new(Ending::Other(End::Parked { missing: missing.into() }));
        }
        let record = encode_exception(self.registry.bind(py), error.value(py));
        Box::new(rejected(reason, record))
    }

    fn try_prepare<'py>(&self, py: Python<'py>, task: &Task, job: &Job) -> PyResult<Call<'py>> {
        if !task.learnt.load(Ordering::Relaxed) {
            self.types.bind(py).call_method1(intern!(py, "learn"), (&task.declared,))?;
            task.learnt.store(true, Ordering::Relaxed);
        }
        let here = Some((&*task.name, task.versions.1));
        let (mut positional, mut keywords) = decode_call(self.registry.bind(py), &job.arguments, here)?;
        let (least, most) = task.positional;
        if !keywords.is_empty() || !(least..=most).contains(&positional.len()) {
            let binder = task.binder.bind(py);
            (positional, keywords) =
                binder.call_method1(intern!(py, "fit"), (&positional, &keywords))?.extract()?;
        }
        Ok(Call { body: task.body.bind(py).clone(), positional, keywords })
    }

    /// Runs the body in a copy of the context, so that no attempt sees what another one set.
    pub(super) fn call<'py>(
        &self,
        call: &Call<'py>,
        attempt: &Bound<'py, RunningAttempt>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = attempt.py();
        self.enter(attempt)?;
        let context = self.copy_context.bind(py).call0()?;
        let mut items = Vec::with_capacity(call.positional.len() + 1);
        items.push(call.body.clone());
        items.extend(call.positional.iter());
        let positional = PyTuple::new(py, items)?;
        let keywords = (!call.keywords.is_empty()).then_some(&call.keywords);
        context.getattr(intern!(py, "run"))?.call(positional, keywords)
    }

    /// The end of an attempt whose body returned or raised. What was asked to stop is not asked when to go on.
    pub(super) fn ending(
        &self,
        py: Python<'_>,
        task: Option<&Task>,
        job: &Job,
        stopping: bool,
        returned: PyResult<Bound<'_, PyAny>>,
    ) -> Ending {
        let registry = self.registry.bind(py);
        let result = match returned {
            Ok(result) if job.keep_result => result,
            Ok(_) => return Ending::Returned(Bytes::new()),
            Err(error) => {
                let is_expected = task.is_some_and(|task| task.expects(py, &error));
                let asked = task.filter(|_| !stopping);
                let ending = self
                    .control
                    .ending(registry, error, |error, wanted| asked?.delay_after(error, wanted, job));
                return if is_expected { without_traceback(ending) } else { ending };
            }
        };
        match encode(registry, &result, "result") {
            Ok(payload) => Ending::Returned(payload.into()),
            Err(error) => rejected(UNENCODABLE, unencodable(registry, &result, &error)),
        }
    }

    /// The end of an attempt that the worker itself could not carry out; it counts as one that raised.
    pub(super) fn failed(&self, py: Python<'_>, error: &PyErr) -> Ending {
        let mut error = encode_exception(self.registry.bind(py), error.value(py));
        error.message = format!("the worker could not carry the attempt out: {}", error.message);
        Ending::Other(End::Errored { error, retry_after_ms: None })
    }

    /// A job of a task that this child never advertised.
    pub(super) fn unknown_task(&self, py: Python<'_>, job: &Job) -> Ending {
        let error = PyTypeError::new_err(format!("this worker declares no task number {}", job.task));
        rejected(UNDECODABLE, encode_exception(self.registry.bind(py), error.value(py)))
    }

    /// Moves what bodies printed from Python's buffers into the pipe.
    pub(super) fn flush(&self, py: Python<'_>) {
        for flush in &self.flushes {
            if let Err(error) = flush.bind(py).call0() {
                // A body closed the stream; whoever prints next hears of it.
                drop(error);
            }
        }
    }

    pub(super) fn attempt<'py>(
        &self,
        py: Python<'py>,
        attempts: &Arc<Attempts>,
        job: &Job,
        place: Place,
    ) -> PyResult<Bound<'py, RunningAttempt>> {
        let app = self.app.clone_ref(py);
        Bound::new(py, RunningAttempt::new(Arc::clone(attempts), app, job, place))
    }

    /// From here on this attempt runs in the current context.
    pub(super) fn enter(&self, attempt: &Bound<'_, RunningAttempt>) -> PyResult<()> {
        self.set_running.bind(attempt.py()).call1((attempt,)).map(drop)
    }

    /// No attempt runs.
    pub(super) fn rest(&self, py: Python<'_>) -> PyResult<()> {
        self.set_running.bind(py).call1((py.None(),)).map(drop)
    }
}

impl<'py> Call<'py> {
    /// Calls the body here, in the current context.
    pub(super) fn make(&self) -> PyResult<Bound<'py, PyAny>> {
        self.body.call(&self.positional, (!self.keywords.is_empty()).then_some(&self.keywords))
    }
}

/// Profiles those whose turn it is from now on; false once Python has ended.
fn profile_long(long: Vec<Followed<Run>>) -> bool {
    let profiled = Python::try_attach(|py| {
        for Followed { what, .. } in long.into_iter().filter(Followed::take_turn) {
            let Run { attempt, version, whom, package } = what;
            attempt.get().begin_profile(py, (version, (Why::Slow, Looks::PLAIN)), whom, &package);
        }
    });
    profiled.is_some()
}

fn package_of(py: Python<'_>) -> PyResult<String> {
    let file: String = py.import("lineshaft")?.getattr("__file__")?.extract()?;
    let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
    Ok(format!("{directory}/"))
}

/// Nobody looks for the place in the code where an ordinary outcome came about.
fn without_traceback(mut ending: Ending) -> Ending {
    if let Ending::Other(End::Errored { error, .. }) = &mut ending {
        error.traceback = None;
    }
    ending
}

/// What this process lacks to read arguments that are well-formed, if that is what is wrong with them.
fn missing(py: Python<'_>, error: &PyErr) -> Option<String> {
    error.value(py).getattr_opt(intern!(py, "missing")).ok()??.extract().ok()
}
