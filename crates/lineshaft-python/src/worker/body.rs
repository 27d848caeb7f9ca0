//! One attempt: decode the call, run the body in a context of its own, encode the result.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use lineshaft::worker::{End, Ending, Job};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::child::RunningAttempt;
use super::control::{Control, rejected, unencodable};
use crate::values::{Registry, decode_call, encode, encode_exception};

const UNDECODABLE: &str = "arguments_undecodable";
const UNENCODABLE: &str = "result_unencodable";

/// A task as the loop needs it.
pub(super) struct Task {
    name: String,
    declared: Py<PyAny>,
    /// What is called: the function itself, what opens its resources around it, or what runs a coroutine.
    body: Py<PyAny>,
    binder: Py<PyAny>,
    /// Numbers of positional arguments that need no closer look.
    positional: (usize, usize),
    pub(super) at_most_once: bool,
    /// Its types are registered.
    learnt: AtomicBool,
}

impl Task {
    pub(super) fn new(name: String, task: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = task.py();
        let plain = py.import("lineshaft._task")?.getattr("Task")?;
        let body = if task.get_type().is(&plain) { "entry" } else { "body" };
        let binder = task.getattr("binder")?;
        let positional = (binder.getattr("least")?.extract()?, binder.getattr("most")?.extract()?);
        let delivery = task.getattr("options")?.call_method1("get", ("delivery",))?;
        Ok(Self {
            name,
            declared: task.clone().unbind(),
            body: task.getattr(body)?.unbind(),
            binder: binder.unbind(),
            positional,
            at_most_once: delivery.extract::<String>().is_ok_and(|delivery| delivery == "at_most_once"),
            learnt: AtomicBool::new(false),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// What every attempt of a child shares.
pub(super) struct Runner<'py> {
    pub(super) py: Python<'py>,
    pub(super) registry: Bound<'py, Registry>,
    types: Bound<'py, PyAny>,
    app: Bound<'py, PyAny>,
    /// Sets the context variable that says which attempt runs.
    set_running: Bound<'py, PyAny>,
    copy_context: Bound<'py, PyAny>,
    flushes: [Bound<'py, PyAny>; 2],
    control: Control,
}

/// A call that is ready to be made.
pub(super) struct Call<'py> {
    body: Bound<'py, PyAny>,
    positional: Bound<'py, PyTuple>,
    keywords: Bound<'py, PyDict>,
}

impl<'py> Runner<'py> {
    pub(super) fn new(app: &Bound<'py, PyAny>, running: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = app.py();
        let types = app.getattr("_types")?;
        let sys = py.import("sys")?;
        let flush = |stream: &str| sys.getattr(stream)?.getattr("flush");
        Ok(Self {
            py,
            registry: types.getattr("registry")?.cast_into()?,
            types,
            app: app.clone(),
            set_running: running.getattr("set")?,
            copy_context: py.import("contextvars")?.getattr("copy_context")?,
            flushes: [flush("stdout")?, flush("stderr")?],
            control: Control::load(py)?,
        })
    }

    /// Decodes and binds the arguments; the end of the attempt if they do not fit.
    pub(super) fn prepare(&self, task: &Task, job: &Job) -> Result<Call<'py>, Box<Ending>> {
        self.try_prepare(task, job).map_err(|error| {
            if let Some(missing) = missing(self.py, &error) {
                return Box::new(Ending::Other(End::Parked { missing: missing.into() }));
            }
            let record = encode_exception(&self.registry, error.value(self.py));
            Box::new(rejected(UNDECODABLE, record))
        })
    }

    fn try_prepare(&self, task: &Task, job: &Job) -> PyResult<Call<'py>> {
        if !task.learnt.load(Ordering::Relaxed) {
            self.types.call_method1(intern!(self.py, "learn"), (&task.declared,))?;
            task.learnt.store(true, Ordering::Relaxed);
        }
        let (mut positional, mut keywords) = decode_call(&self.registry, &job.arguments)?;
        let (least, most) = task.positional;
        if !keywords.is_empty() || !(least..=most).contains(&positional.len()) {
            let binder = task.binder.bind(self.py);
            (positional, keywords) =
                binder.call_method1(intern!(self.py, "fit"), (&positional, &keywords))?.extract()?;
        }
        Ok(Call { body: task.body.bind(self.py).clone(), positional, keywords })
    }

    /// Runs the body in a copy of the context, so that no attempt sees what another one set.
    pub(super) fn call(
        &self,
        call: &Call<'py>,
        attempt: &Bound<'py, RunningAttempt>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.set_running.call1((attempt,))?;
        let context = self.copy_context.call0()?;
        let mut items = Vec::with_capacity(call.positional.len() + 1);
        items.push(call.body.clone());
        items.extend(call.positional.iter());
        let positional = PyTuple::new(self.py, items)?;
        let keywords = (!call.keywords.is_empty()).then_some(&call.keywords);
        context.getattr(intern!(self.py, "run"))?.call(positional, keywords)
    }

    /// The end of an attempt whose body returned or raised.
    pub(super) fn ending(&self, job: &Job, returned: PyResult<Bound<'py, PyAny>>) -> Ending {
        let result = match returned {
            Ok(result) if job.keep_result => result,
            Ok(_) => return Ending::Returned(Bytes::new()),
            Err(error) => return self.control.ending(&self.registry, error),
        };
        match encode(&self.registry, &result, "result") {
            Ok(payload) => Ending::Returned(payload.into()),
            Err(error) => rejected(UNENCODABLE, unencodable(&self.registry, &result, &error)),
        }
    }

    /// A job of a task that this child never advertised.
    pub(super) fn unknown_task(&self, job: &Job) -> Ending {
        let error = PyTypeError::new_err(format!("this worker declares no task number {}", job.task));
        rejected(UNDECODABLE, encode_exception(&self.registry, error.value(self.py)))
    }

    /// Moves what bodies printed from Python's buffers into the pipe.
    pub(super) fn flush(&self) {
        for flush in &self.flushes {
            if let Err(error) = flush.call0() {
                // A body closed the stream; whoever prints next hears of it.
                drop(error);
            }
        }
    }

    pub(super) fn attempt(
        &self,
        child: &Py<super::child::Child>,
        job: &Job,
    ) -> PyResult<Bound<'py, RunningAttempt>> {
        let app = self.app.clone().unbind();
        Bound::new(self.py, RunningAttempt::new(child.clone_ref(self.py), app, job))
    }

    /// No attempt runs.
    pub(super) fn rest(&self) -> PyResult<()> {
        self.set_running.call1((self.py.None(),)).map(drop)
    }
}

/// What this process lacks to read arguments that are well-formed, if that is what is wrong with them.
fn missing(py: Python<'_>, error: &PyErr) -> Option<String> {
    error.value(py).getattr_opt(intern!(py, "missing")).ok()??.extract().ok()
}
