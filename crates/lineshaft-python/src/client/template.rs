//! What calls are made of on the Python side: rules, templates of jobs, and calls.

use std::sync::Arc;

use crate::once::intern;
use bytes::Bytes;
use lineshaft_wire::message::{self, JobGroup, RunAfter, Unique, UniqueWhile};
use lineshaft_wire::task;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::batch;
use crate::logging::{LogFields, context_block};
use crate::values::Registry;

/// The rules by which jobs are run; equal rules are shared by whoever holds this.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Rules(Arc<message::Rules>);

#[pymethods]
impl Rules {
    #[new]
    #[pyo3(signature = (*, max_attempts, max_crashes, timeout_ms, backoff_first_ms, backoff_max_ms, retry_on,
        retry_never, at_most_once, keep_result, on_failure = None))]
    #[expect(clippy::too_many_arguments, reason = "all are keywords in Python")]
    fn new(
        max_attempts: u32,
        max_crashes: u32,
        timeout_ms: Option<u64>,
        backoff_first_ms: u64,
        backoff_max_ms: u64,
        retry_on: Vec<String>,
        retry_never: Vec<String>,
        at_most_once: bool,
        keep_result: bool,
        on_failure: Option<&OnFailure>,
    ) -> Self {
        Self(Arc::new(message::Rules {
            max_attempts,
            max_crashes,
            timeout_ms,
            backoff_first_ms,
            backoff_max_ms,
            retry_on,
            retry_never,
            at_most_once,
            keep_result,
            on_failure: on_failure.map(|handler| Arc::clone(&handler.0)),
            ..message::Rules::default()
        }))
    }
}

/// The job that is made when one gives up.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct OnFailure(Arc<message::OnFailure>);

#[pymethods]
impl OnFailure {
    #[new]
    #[pyo3(signature = (*, task, queue, priority, expires_ms, deadline_ms, tags, rules, version))]
    #[expect(clippy::too_many_arguments, reason = "all are keywords in Python")]
    fn new(
        task: &str,
        queue: &str,
        priority: u8,
        expires_ms: Option<u64>,
        deadline_ms: Option<u64>,
        tags: Vec<String>,
        rules: &Rules,
        version: u32,
    ) -> Self {
        Self(Arc::new(message::OnFailure {
            task: task.into(),
            queue: queue.into(),
            priority,
            expires_ms,
            deadline_ms,
            tags: tags.into_iter().map(Into::into).collect(),
            rules: Arc::clone(&rules.0),
            version,
        }))
    }
}

impl OnFailure {
    /// As the wire has it.
    pub(crate) fn shared(&self) -> Arc<message::OnFailure> {
        Arc::clone(&self.0)
    }
}

/// Everything about a job but its arguments.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Template {
    group: JobGroup,
    unique_while: Option<UniqueWhile>,
    unique_period_ms: Option<u64>,
    version: u32,
}

#[pymethods]
impl Template {
    #[new]
    #[pyo3(signature = (*, task, version, queue, priority, rules, run_after, expires, deadline, unique_while, unique_period_ms,
        anew, idempotency_key, tags, metadata))]
    #[expect(clippy::too_many_arguments, reason = "all are keywords in Python")]
    fn new(
        task: &str,
        version: u32,
        queue: &str,
        priority: u8,
        rules: &Rules,
        run_after: Option<(String, u64)>,
        expires: Option<(String, u64)>,
        deadline: Option<(String, u64)>,
        unique_while: Option<&str>,
        unique_period_ms: Option<u64>,
        anew: bool,
        idempotency_key: Option<&str>,
        tags: Vec<String>,
        metadata: Option<&str>,
    ) -> PyResult<Self> {
        let group = JobGroup {
            task: task::versioned(task, version),
            queue: queue.into(),
            priority,
            rules: Arc::clone(&rules.0),
            run_after: run_after.map(read_time).transpose()?,
            expires: expires.map(read_time).transpose()?,
            deadline: deadline.map(read_time).transpose()?,
            unique: None,
            anew,
            idempotency_key: idempotency_key.map(Into::into),
            tags: tags.into_iter().map(Into::into).collect(),
            metadata: metadata.map(Into::into),
            context: None,
            lengths: Vec::new(),
        };
        let unique_while = unique_while.map(read_unique_while).transpose()?;
        Ok(Self { group, unique_while, unique_period_ms, version })
    }
}

impl Template {
    /// Whether every call needs a group of its own, because of its unique or idempotency key.
    pub(super) fn is_single(&self) -> bool {
        self.unique_while.is_some() || self.group.idempotency_key.is_some()
    }

    /// The version of the task that its jobs are made for.
    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// Whether a unique key has to be computed for every call.
    pub(super) fn is_unique(&self) -> bool {
        self.unique_while.is_some()
    }

    /// An empty group of such jobs.
    pub(super) fn group(&self, unique_key: Option<String>, context: Option<Arc<str>>) -> JobGroup {
        let mut group = self.group.clone();
        group.context = context;
        let period_ms = self.unique_period_ms;
        let unique = |(key, while_): (String, _)| Unique { key: key.into(), while_, period_ms };
        group.unique = unique_key.zip(self.unique_while).map(unique);
        group
    }
}

fn read_time((kind, milliseconds): (String, u64)) -> PyResult<RunAfter> {
    match kind.as_str() {
        "at" => Ok(RunAfter::At(milliseconds)),
        "in" => Ok(RunAfter::In(milliseconds)),
        _ => Err(PyValueError::new_err("a time is (\"at\" or \"in\", milliseconds)")),
    }
}

fn read_unique_while(word: &str) -> PyResult<UniqueWhile> {
    match word {
        "unfinished" => Ok(UniqueWhile::Unfinished),
        "queued" => Ok(UniqueWhile::Queued),
        "cached" => Ok(UniqueWhile::Cached),
        _ => Err(PyValueError::new_err("unique_while is \"unfinished\", \"queued\" or \"cached\"")),
    }
}

/// A call whose arguments are encoded already, so that what is done to them later changes nothing.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Packed {
    pub(super) template: Py<Template>,
    /// As the wire has it, with its keys and without the length of its arguments.
    pub(super) group: JobGroup,
    pub(super) arguments: Bytes,
}

#[pymethods]
impl Packed {
    #[new]
    fn new<'py>(
        registry: &Bound<'py, Registry>,
        template: &Bound<'py, Template>,
        bound: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Self> {
        let (mut group, arguments) = batch::one(registry, template.get(), bound, args, kwargs)?;
        group.lengths.clear();
        Ok(Self { template: template.clone().unbind(), group, arguments: arguments.into() })
    }

    /// How large its arguments are.
    #[getter]
    fn bytes(&self) -> usize {
        self.arguments.len()
    }

    /// Whether its job is made though there is one with its unique key.
    #[getter]
    fn anew(&self) -> bool {
        self.group.anew
    }

    /// Its idempotency key and its unique key.
    #[getter]
    fn keys(&self) -> (Option<&str>, Option<&str>) {
        let unique = self.group.unique.as_ref().map(|unique| &*unique.key);
        (self.group.idempotency_key.as_deref(), unique)
    }
}

/// A complete call of a task: `task.si(...)`. Immutable; may be enqueued more than once.
#[pyclass(frozen, generic, module = "lineshaft")]
pub(crate) struct Call {
    /// The task, with options or without.
    #[pyo3(get)]
    pub(super) bound: Py<PyAny>,
    /// Positional arguments.
    #[pyo3(get)]
    pub(super) args: Py<PyTuple>,
    pub(super) kwargs: Option<Py<PyDict>>,
    /// The fields of the blocks in which it was made.
    pub(super) made_in: Option<Py<LogFields>>,
}

#[pymethods]
impl Call {
    #[new]
    fn new(bound: Py<PyAny>, args: Py<PyTuple>, kwargs: Bound<'_, PyDict>) -> PyResult<Self> {
        let made_in = context_block(kwargs.py())?;
        let kwargs = (!kwargs.is_empty()).then(|| kwargs.unbind());
        Ok(Self { bound, args, kwargs, made_in })
    }

    /// Name of the task that is called; `bound` is the task itself, or the task with options.
    #[getter]
    fn task(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.bound.getattr(py, intern!(py, "task"))?.getattr(py, intern!(py, "name"))
    }

    /// Keyword arguments.
    #[getter]
    fn kwargs<'py>(&self, py: Python<'py>) -> Bound<'py, PyDict> {
        self.kwargs.as_ref().map_or_else(|| PyDict::new(py), |kwargs| kwargs.bind(py).clone())
    }

    /// The same call with these options, as of `task.using()`.
    #[pyo3(signature = (**options))]
    fn using(&self, py: Python<'_>, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let bound = self.bound.bind(py).call_method("using", (), options)?.unbind();
        let kwargs = self.kwargs.as_ref().map(|kwargs| kwargs.clone_ref(py));
        let made_in = self.made_in.as_ref().map(|block| block.clone_ref(py));
        Ok(Self { bound, args: self.args.clone_ref(py), kwargs, made_in })
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let name: String = self.task(py)?.extract(py)?;
        let mut parts: Vec<String> = Vec::new();
        for argument in self.args.bind(py) {
            parts.push(argument.repr()?.to_string());
        }
        for (keyword, argument) in self.kwargs(py) {
            parts.push(format!("{keyword}={}", argument.repr()?));
        }
        Ok(format!("{name}.si({})", parts.join(", ")))
    }
}
