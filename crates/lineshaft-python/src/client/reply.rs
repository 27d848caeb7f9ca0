//! Answers on their way, for threads and for event loops.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lineshaft::client::looked_up;
use lineshaft_wire::message::{Message, Passed, Spread, TaskStatistics};
use lineshaft_wire::{JobState, LogRecord, task};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::record::{Shown, Status};
use crate::errors::to_python;

/// How long a blocking call may go without looking for signals.
pub(crate) const SIGNAL_INTERVAL: Duration = Duration::from_millis(50);

/// The answer to one request.
#[pyclass(frozen, generic, module = "lineshaft._native")]
pub(crate) struct Reply(Mutex<lineshaft::Reply>);

impl Reply {
    pub(super) fn new(reply: lineshaft::Reply) -> Self {
        Self(Mutex::new(reply))
    }
}

#[pymethods]
impl Reply {
    /// Blocks until the answer is there and gives it, once. The GIL is released, signals are looked at every 50 ms;
    /// an interrupted wait may be repeated.
    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        loop {
            let answer = py.detach(|| lock(&self.0).wait_timeout(SIGNAL_INTERVAL));
            if let Some(answer) = answer {
                let (message, payload) = answer.map_err(|error| to_python(py, &error))?;
                return convert(py, message, &payload);
            }
            py.check_signals()?;
        }
    }

    /// Puts `token` into `completions` once the answer is there.
    fn notify(&self, py: Python<'_>, completions: &Completions, token: u64) {
        let inner = completions.inner();
        py.detach(|| lock(&self.0).on_ready(move || inner.push(token)));
    }
}

fn convert<'py>(py: Python<'py>, message: Message, payload: &Bytes) -> PyResult<Bound<'py, PyAny>> {
    match message {
        Message::Enqueued(made) => {
            let made = (PyBytes::new(py, &made.ids), made.existing, made.completed);
            made.into_pyobject(py).map(Bound::into_any)
        }
        Message::Shown(shown) => Ok(Shown::new(py, shown)?.into_pyobject(py)?.into_any()),
        Message::Changed(changed) => {
            let state = changed.state.map(JobState::as_str);
            (state, changed.cancelling, changed.jobs).into_pyobject(py).map(Bound::into_any)
        }
        Message::StatusReport(report) => Ok(Status::new(report).into_pyobject(py)?.into_any()),
        Message::Fetched(_) => Ok(PyBytes::new(py, payload).into_any()),
        // Of a lock that was given back: whether it was held until then.
        Message::LocksLost(lost) => {
            lost.tokens.is_empty().into_pyobject(py).map(|it| it.to_owned().into_any()).map_err(Into::into)
        }
        Message::Passed(Passed { wait_ns, taken }) => {
            (wait_ns as f64 / 1e9, taken).into_pyobject(py).map(Bound::into_any)
        }
        Message::CacheFound(found) => {
            let found = looked_up(&found, payload.clone()).map_err(|error| to_python(py, &error))?;
            let values = found.values.into_iter().map(|value| {
                value.map(|(bytes, is_stale)| (PyBytes::new(py, &bytes), is_stale)).into_pyobject(py)
            });
            let values = values.collect::<PyResult<Vec<_>>>()?;
            (values, found.ticket).into_pyobject(py).map(Bound::into_any)
        }
        Message::Logs(logs) if logs.records.iter().any(|record| record.attachment.is_some()) => {
            let rows: Vec<_> = logs.records.iter().filter_map(|record| attachment_row(py, record)).collect();
            (rows, logs.next, logs.is_end).into_pyobject(py).map(Bound::into_any)
        }
        Message::Logs(logs) => {
            let records =
                logs.records.iter().map(|record| log_row(py, record)).collect::<PyResult<Vec<_>>>()?;
            (records, logs.next, logs.is_end).into_pyobject(py).map(Bound::into_any)
        }
        Message::Tasks(tasks) => {
            let rows = tasks.tasks.iter().map(|task| task_row(py, task)).collect::<PyResult<Vec<_>>>()?;
            rows.into_pyobject(py).map(Bound::into_any)
        }
        Message::Done(_) => Ok(py.None().into_bound(py)),
        other => Err(PyRuntimeError::new_err(format!("the server answered with {}", other.name()))),
    }
}

/// What is counted of a task: (name, version, since, until, attempts by outcome), (ran, waited, CPU time), (CPU time of
/// processes, collecting, memory, cache hits, bytes in, bytes out), (had the GIL, ran where that is known), (calls, repeated
/// ones).
fn task_row<'py>(py: Python<'py>, of: &TaskStatistics) -> PyResult<Bound<'py, PyAny>> {
    let spread = |of: Spread| [of.count, of.total_us, of.p50_us, of.p90_us, of.p99_us, of.max_us];
    let (name, version) = task::split(&of.task);
    let row = (
        (name, version, of.since, of.until, of.outcomes),
        [of.ran, of.waited, of.cpu].map(spread),
        (
            of.children_cpu_us,
            of.collected_us,
            of.peak_growth_bytes_max,
            of.cache_hits,
            of.bytes_in,
            of.bytes_out,
        ),
        (of.gil_us, of.gil_ran_us),
        (of.calls, of.repeated),
    );
    row.into_pyobject(py).map(Bound::into_any)
}

/// A record that an attempt logged: (time in microseconds, level, logger, message, fields as JSON, attempt, task, worker,
/// (file, line, function) or None, exception or None).
fn log_row<'py>(py: Python<'py>, record: &LogRecord) -> PyResult<Bound<'py, PyAny>> {
    let fields: Vec<(&str, &str)> = record.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let place = record.place.as_ref().map(|place| (&*place.file, place.line, &*place.function));
    let row = (
        record.time_us,
        record.level,
        &*record.logger,
        &*record.message,
        fields,
        record.attempt,
        &*record.task,
        &*record.worker,
        place,
        record.exception.as_deref(),
    );
    row.into_pyobject(py).map(Bound::into_any)
}

/// What is kept with a record: (job, attempt, bytes).
fn attachment_row<'py>(
    py: Python<'py>,
    record: &LogRecord,
) -> Option<(Bound<'py, PyBytes>, u32, Bound<'py, PyBytes>)> {
    let attachment = record.attachment.as_ref()?;
    Some((PyBytes::new(py, &record.job.to_bytes()), record.attempt, PyBytes::new(py, attachment)))
}

/// Runs `work` on a thread of its own while this one looks for signals; an interrupted `work` ends unheard.
pub(super) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = sync_channel(1);
    // Behind a lock only because detaching wants what other threads may share.
    let receiver = Mutex::new(receiver);
    let thread = std::thread::Builder::new().name("lineshaft-call".into());
    thread.spawn(move || drop(sender.send(work())))?;
    loop {
        match py.detach(|| lock(&receiver).recv_timeout(SIGNAL_INTERVAL)) {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err("the call panicked")),
        }
    }
}

/// What makes an `OutcomeUnknown` resendable.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Resend(lineshaft::OutcomeUnknown);

impl Resend {
    pub(crate) fn new(outcome: lineshaft::OutcomeUnknown) -> Self {
        Self(outcome)
    }
}

#[pymethods]
impl Resend {
    /// Sends the same request under the same sequence again.
    fn resend(&self) -> Reply {
        Reply::new(self.0.resend(None))
    }
}

/// Tokens of what is ready, and a socket that an event loop watches: the I/O thread never takes the GIL.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Completions(Arc<Inner>);

/// Where the I/O thread leaves tokens. Bounded by the waits of the loop: each leaves its token once.
pub(crate) struct Inner {
    tokens: Mutex<Vec<u64>>,
    wake: UnixStream,
    woken: UnixStream,
}

impl Inner {
    pub(crate) fn push(&self, token: u64) {
        lock(&self.tokens).push(token);
        // It fails only when the socket is full, and then the reader is awake already.
        let _ = (&self.wake).write(&[1]);
    }
}

impl Completions {
    pub(crate) fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.0)
    }
}

#[pymethods]
impl Completions {
    #[new]
    fn new() -> PyResult<Self> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Self(Arc::new(Inner { tokens: Mutex::new(Vec::new()), wake, woken })))
    }

    /// The descriptor to watch for reading.
    fn fileno(&self) -> RawFd {
        self.0.woken.as_raw_fd()
    }

    /// Takes what is ready.
    fn drain(&self) -> Vec<u64> {
        while (&self.0.woken).read(&mut [0; 256]).is_ok_and(|count| count > 0) {}
        std::mem::take(&mut *lock(&self.0.tokens))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
