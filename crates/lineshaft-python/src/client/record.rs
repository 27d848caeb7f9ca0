//! Records of jobs and of the engine, as Python reads them. Times stay Unix milliseconds; the face shapes them.

use std::sync::Arc;

use lineshaft_wire::measures::MEASURES;
use lineshaft_wire::message;
use lineshaft_wire::record;
use lineshaft_wire::task;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Answer to `show`.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Shown {
    #[pyo3(get)]
    record: Py<JobRecord>,
    progress: Option<Vec<u8>>,
}

impl Shown {
    pub(super) fn new(py: Python<'_>, shown: message::Shown) -> PyResult<Self> {
        let record = Py::new(py, JobRecord(shown.record))?;
        Ok(Self { record, progress: shown.progress.map(serde_bytes::ByteBuf::into_vec) })
    }
}

#[pymethods]
impl Shown {
    /// The newest progress of a running attempt, encoded.
    #[getter]
    fn progress<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.progress.as_ref().map(|bytes| PyBytes::new(py, bytes))
    }
}

/// All that is known of a job. Times are Unix milliseconds.
#[pyclass(frozen, module = "lineshaft")]
pub(crate) struct JobRecord(record::JobRecord);

#[pymethods]
impl JobRecord {
    /// Its id, a UUID of version 7.
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    /// Name of the task.
    #[getter]
    fn task(&self) -> &str {
        task::name_of(&self.0.task)
    }

    /// The version of the task that it was made for.
    #[getter]
    fn version(&self) -> u32 {
        task::split(&self.0.task).1
    }

    /// Name of the queue.
    #[getter]
    fn queue(&self) -> &str {
        &self.0.queue
    }

    /// pending, scheduled, available, running, retryable, completed, cancelled or discarded.
    #[getter]
    fn state(&self) -> &'static str {
        self.0.state.as_str()
    }

    /// Whether it runs and was asked to stop.
    #[getter]
    fn cancelling(&self) -> bool {
        self.0.cancelling
    }

    /// 1 (first) to 9.
    #[getter]
    fn priority(&self) -> u8 {
        self.0.priority
    }

    /// Attempts that errored or timed out so far.
    #[getter]
    fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Errored and timed-out attempts after which it gives up: retries + 1.
    #[getter]
    fn max_attempts(&self) -> u32 {
        self.0.max_attempts
    }

    /// Attempts that crashed so far.
    #[getter]
    fn crashes(&self) -> u32 {
        self.0.crashes
    }

    /// When it was enqueued, Unix milliseconds.
    #[getter]
    fn created_at(&self) -> u64 {
        self.0.created_at
    }

    /// When it may run (next), Unix milliseconds; None if it does not wait for a time.
    #[getter]
    fn scheduled_at(&self) -> Option<u64> {
        self.0.scheduled_at
    }

    /// When it expires unless it has begun, Unix milliseconds; None if it does not.
    #[getter]
    fn expires_at(&self) -> Option<u64> {
        self.0.expires_at
    }

    /// When it has to have ended, Unix milliseconds; None without a deadline.
    #[getter]
    fn deadline_at(&self) -> Option<u64> {
        self.0.deadline_at
    }

    /// When the newest attempt began, Unix milliseconds; None before the first.
    #[getter]
    fn attempted_at(&self) -> Option<u64> {
        self.0.attempted_at
    }

    /// The worker of the newest attempt, `host:pid/child`; None before the first.
    #[getter]
    fn attempted_by(&self) -> Option<&str> {
        self.0.attempted_by.as_deref()
    }

    /// When it ended, Unix milliseconds; None before that.
    #[getter]
    fn finalized_at(&self) -> Option<u64> {
        self.0.finalized_at
    }

    /// Why it was cancelled or discarded: `max_attempts`, `maybe_ran`, ... or the text that the task gave.
    #[getter]
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// What a waiting job waits for, in words; None if it does not wait.
    #[getter]
    fn waits_for(&self) -> Option<&str> {
        self.0.waits_for.as_deref()
    }

    /// Its labels.
    #[getter]
    fn tags(&self) -> Vec<&str> {
        self.0.tags.iter().map(AsRef::as_ref).collect()
    }

    /// Free text of at most 4 KiB; None if none was given.
    #[getter]
    fn metadata(&self) -> Option<&str> {
        self.0.metadata.as_deref()
    }

    /// Fields of all that its attempts log.
    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        crate::logging::context_to_python(py, self.0.context.as_deref())
    }

    /// The id of the job that this one repeats; None if it was enqueued.
    #[getter]
    fn retry_of(&self) -> Option<String> {
        self.0.retry_of.map(|id| id.to_string())
    }

    /// The id of the job whose failure this one handles; None if it handles none.
    #[getter]
    fn failure_of(&self) -> Option<String> {
        self.0.failure_of.map(|id| id.to_string())
    }

    /// The id of the job that handles this one's failure; None if it did not fail, or has no `on_failure`.
    #[getter]
    fn handled_by(&self) -> Option<String> {
        self.0.handled_by.map(|id| id.to_string())
    }

    /// Its newest attempts, oldest first, at most 32.
    #[getter]
    fn attempts(&self) -> Vec<AttemptRecord> {
        self.0.attempts.iter().cloned().map(AttemptRecord).collect()
    }

    /// Size of the arguments as stored.
    #[getter]
    fn arguments_bytes(&self) -> u64 {
        self.0.arguments_bytes
    }

    /// Size of the result as stored, 0 without one.
    #[getter]
    fn result_bytes(&self) -> u64 {
        self.0.result_bytes
    }

    /// Size of the checkpoint as stored, 0 without one.
    #[getter]
    fn checkpoint_bytes(&self) -> u64 {
        self.0.checkpoint_bytes
    }

    /// When the checkpoint was left, Unix milliseconds; None without one.
    #[getter]
    fn checkpoint_at(&self) -> Option<u64> {
        self.0.checkpoint_at
    }

    fn __repr__(&self) -> String {
        format!("<JobRecord {} {} {}>", self.0.id, self.0.task, self.0.state)
    }
}

/// One execution of a job.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct AttemptRecord(record::AttemptRecord);

#[pymethods]
impl AttemptRecord {
    #[getter]
    fn number(&self) -> u32 {
        self.0.number
    }

    #[getter]
    fn outcome(&self) -> Option<&'static str> {
        self.0.outcome.map(record::Outcome::as_str)
    }

    #[getter]
    fn worker(&self) -> &str {
        &self.0.worker
    }

    #[getter]
    fn started_at(&self) -> u64 {
        self.0.started_at
    }

    #[getter]
    fn finished_at(&self) -> Option<u64> {
        self.0.finished_at
    }

    #[getter]
    fn error(&self) -> Option<ErrorRecord> {
        self.0.error.clone().map(ErrorRecord)
    }

    #[getter]
    fn output<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.output)
    }

    /// Milliseconds for which its job had been ready.
    #[getter]
    fn waited(&self) -> Option<u64> {
        self.0.waited_ms
    }

    /// What it took: microseconds of its body, of CPU time, of CPU time in processes that it started, and in the garbage
    /// collector; bytes of growth of its memory's peak; hits of caches; microseconds for which it had the GIL.
    #[getter]
    fn measures(&self) -> [Option<u64>; MEASURES] {
        self.0.measures.into()
    }
}

/// What went wrong in an attempt.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct ErrorRecord(pub(super) record::ErrorRecord);

#[pymethods]
impl ErrorRecord {
    #[getter]
    fn types(&self) -> &[String] {
        &self.0.types
    }

    #[getter]
    fn message(&self) -> &str {
        &self.0.message
    }

    #[getter]
    fn traceback(&self) -> Option<&str> {
        self.0.traceback.as_deref()
    }

    #[getter]
    fn signal(&self) -> Option<i32> {
        self.0.signal
    }

    #[getter]
    fn rss_peak_bytes(&self) -> Option<u64> {
        self.0.rss_peak_bytes
    }

    /// The exception's arguments as an encoded list.
    #[getter]
    fn arguments<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.0.arguments.as_ref().map(|bytes| PyBytes::new(py, bytes))
    }
}

/// The state of the engine.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Status(message::StatusReport);

impl Status {
    pub(super) fn new(report: message::StatusReport) -> Self {
        Self(report)
    }
}

#[pymethods]
impl Status {
    #[getter]
    fn pid(&self) -> u32 {
        self.0.pid
    }

    /// Jobs that wait for a worker, for a time or to be tried again: available, scheduled, retryable.
    #[getter]
    fn waiting(&self) -> (u64, u64, u64) {
        let sum = |count: fn(&message::QueueReport) -> u64| self.0.queues.iter().map(count).sum();
        (sum(|queue| queue.available), sum(|queue| queue.scheduled), sum(|queue| queue.retryable))
    }

    /// Pid, tasks and queues (empty is all) of every worker that has children.
    #[getter]
    fn workers(&self) -> Vec<(u32, Vec<&str>, Vec<&str>)> {
        let with_children = self.0.workers.iter().filter(|worker| worker.children > 0);
        with_children.map(|worker| (worker.pid, texts(&worker.tasks), texts(&worker.queues))).collect()
    }

    /// Of the cache: entries, their bytes, most bytes, hits, misses, and entries that went for room.
    #[getter]
    fn cache(&self) -> [u64; 6] {
        let of = self.0.cache;
        [of.entries, of.bytes, of.bytes_max, of.hits, of.misses, of.evicted]
    }

    /// Tasks with available jobs that no connected worker knows.
    #[getter]
    fn unknown_tasks(&self) -> Vec<&str> {
        texts(&self.0.unknown_tasks)
    }
}

fn texts(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(AsRef::as_ref).collect()
}
