//! Jobs that are followed until they end.

use std::sync::Mutex;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft::JobEnd;
use lineshaft_wire::JobId;
use lineshaft_wire::message::EndedJob;
use lineshaft_wire::task;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::record::ErrorRecord;
use super::reply::{Completions, SIGNAL_INTERVAL, lock};
use crate::errors::to_python;
use crate::values::{self, Registry};

type Ends = Option<Result<Vec<JobEnd>, lineshaft::Error>>;

/// The longest single wait; whoever means for ever asks again.
const WAIT_S_MAX: f64 = 3_600.0;

/// Jobs that are followed until they end.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Waiting(Mutex<Option<lineshaft::Waiting>>);

impl Waiting {
    pub(super) fn new(waiting: lineshaft::Waiting) -> Self {
        Self(Mutex::new(Some(waiting)))
    }

    /// What ended within `timeout`; an interruption by a signal gives `Pending` early.
    fn poll(&self, timeout: Duration) -> Poll<Ends> {
        match lock(&self.0).as_mut() {
            Some(waiting) => waiting.next_timeout(timeout),
            None => Poll::Ready(None),
        }
    }
}

#[pymethods]
impl Waiting {
    /// Blocks until some have ended, at most `timeout` seconds, and gives them; `None` after the timeout, an empty list
    /// when all have been given. The GIL is released, signals are looked at every 50 ms.
    fn next(&self, py: Python<'_>, timeout: f64) -> PyResult<Option<Vec<End>>> {
        let deadline = Instant::now() + Duration::from_secs_f64(timeout.clamp(0.0, WAIT_S_MAX));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match py.detach(|| self.poll(left.min(SIGNAL_INTERVAL))) {
                Poll::Ready(None) => return Ok(Some(Vec::new())),
                Poll::Ready(Some(Ok(ends))) => return Ok(Some(ends.into_iter().map(End::from).collect())),
                Poll::Ready(Some(Err(error))) => return Err(to_python(py, &error)),
                Poll::Pending if left.is_zero() => return Ok(None),
                Poll::Pending => py.check_signals()?,
            }
        }
    }

    /// Puts `token` into `completions` once there is something to take.
    fn notify(&self, py: Python<'_>, completions: &Completions, token: u64) {
        let inner = completions.inner();
        py.detach(|| match lock(&self.0).as_ref() {
            Some(waiting) => waiting.on_ready(move || inner.push(token)),
            None => inner.push(token),
        });
    }

    /// Gives up.
    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(lock(&self.0).take()));
    }
}

/// How a job ended.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct End {
    id: JobId,
    result: Option<Bytes>,
    state: &'static str,
    failed: Option<Box<EndedJob>>,
}

impl From<JobEnd> for End {
    fn from(end: JobEnd) -> Self {
        match end {
            JobEnd::Completed { id, result } => Self { id, result, state: "completed", failed: None },
            JobEnd::Failed(ended) => {
                Self { id: ended.id, result: None, state: ended.state.as_str(), failed: Some(ended) }
            }
            JobEnd::Missing { id } => Self { id, result: None, state: "missing", failed: None },
        }
    }
}

#[pymethods]
impl End {
    /// The job's 16 bytes.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.id.to_bytes())
    }

    /// `completed`, `cancelled`, `discarded` or `missing`.
    #[getter]
    fn state(&self) -> &'static str {
        self.state
    }

    /// Whether the result came along.
    #[getter]
    fn has_result(&self) -> bool {
        self.result.is_some()
    }

    /// The decoded result; `None` stands for `None` and for a result that did not come along.
    fn decode<'py>(&self, registry: &Bound<'py, Registry>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.result.as_ref().map(|bytes| values::decode(registry, bytes)).transpose()
    }

    /// The decoded result, instances of classes as `lineshaft.Record`s.
    fn decode_raw<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.result.as_ref().map(|bytes| values::decode_raw(py, bytes)).transpose()
    }

    /// Name of the task; `None` of a completed or missing job.
    #[getter]
    fn task(&self) -> Option<&str> {
        self.failed.as_ref().map(|ended| task::name_of(&ended.task))
    }

    #[getter]
    fn reason(&self) -> Option<&str> {
        self.failed.as_ref().and_then(|ended| ended.reason.as_deref())
    }

    #[getter]
    fn attempt(&self) -> u32 {
        self.failed.as_ref().map_or(0, |ended| ended.attempt)
    }

    #[getter]
    fn outcome(&self) -> Option<&'static str> {
        self.failed.as_ref()?.outcome.map(lineshaft_wire::Outcome::as_str)
    }

    #[getter]
    fn error(&self) -> Option<ErrorRecord> {
        self.failed.as_ref()?.error.clone().map(ErrorRecord)
    }

    /// The end of what the last attempt printed.
    #[getter]
    fn output<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.failed.as_ref().map_or(&[], |ended| &ended.output))
    }
}
