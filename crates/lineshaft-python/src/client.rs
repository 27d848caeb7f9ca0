//! The Rust client as Python uses it: every request gives a [`Reply`] at once, which a thread waits for or an event
//! loop is told of.
//!
//! Nothing here knows what a job means; `python/lineshaft` shapes what comes back.

mod batch;
mod lock;
mod record;
mod reply;
mod template;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lineshaft::client::{Client as RustClient, LockRequest};
use lineshaft::{ClientOptions, ServerCommand, Target};
use lineshaft_wire::message::{
    CacheGet, CacheInvalidate, CacheSet, Cancel, Delete, Enqueue, Invalidate, JobGroup, LOG_PAGE_MAX,
    ListLogs, ListTasks, LockKind, Message, NewEntry, PROFILE_LOGGER, Pass, Retry, Show, Status,
};
use lineshaft_wire::{JobId, LogFilter};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use self::batch::Batch;
pub(crate) use self::lock::Lock;
pub(crate) use self::record::{AttemptRecord, ErrorRecord, JobRecord, Shown, Status as EngineStatus};
pub(crate) use self::reply::{Completions, Inner as Wakes, Reply, Resend, SIGNAL_INTERVAL, lock};
pub(crate) use self::template::{Call, OnFailure, Packed, Rules, Template};
pub(crate) use self::waiting::{End, Waiting};
use crate::errors::{option_error, to_python};
use crate::options::job_id;
use crate::values::Registry;

/// Profiles of one answer, each of which may have 128 KiB.
const PROFILES_OF_PAGE: u32 = 100;

/// The connection of an app to the server of its home.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Client(RustClient);

/// Connects to the server of `home`; starts one by `command` if none answers. Gives the client and, where a server was
/// started on a home that will not last, a warning. `deadline` are the seconds that a request may take.
#[pyfunction]
#[pyo3(signature = (home, command, *, deadline=60.0))]
pub(crate) fn connect(
    py: Python<'_>,
    home: &str,
    command: Vec<String>,
    deadline: f64,
) -> PyResult<(Client, Option<String>)> {
    let mut command = command.into_iter();
    let Some(program) = command.next() else {
        return Err(option_error(py, "the server's command is empty", "a program and its arguments"));
    };
    let server = ServerCommand { program: program.into(), args: command.map(Into::into).collect() };
    let target = Target::on_demand(home, server);
    let options = ClientOptions { deadline: Duration::from_secs_f64(deadline), ..ClientOptions::default() };
    let client = reply::interruptible(py, move || RustClient::connect(target, options))?
        .map_err(|error| to_python(py, &error))?;
    let warning = client.take_warning();
    Ok((Client(client), warning))
}

#[pymethods]
impl Client {
    /// Makes jobs of `calls`, or of as many from the first on as fit one request; gives the reply and their number.
    ///
    /// The reply is the new ids, 16 bytes each, the positions of those that were there already, and the positions of those
    /// among them that are completed.
    fn enqueue(&self, registry: &Bound<'_, Registry>, calls: &Bound<'_, PyList>) -> PyResult<(Reply, usize)> {
        let mut batch = Batch::default();
        for call in calls {
            if batch.is_full() || !batch.push(registry, &call)? {
                break;
            }
        }
        let Batch { groups, payloads, count, .. } = batch.finish();
        Ok((self.send(groups, payloads), count))
    }

    /// Makes one job of `bound`, whose template is given; the reply is as for `enqueue`.
    fn enqueue_one<'py>(
        &self,
        registry: &Bound<'py, Registry>,
        template: &Bound<'py, Template>,
        bound: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
    ) -> PyResult<Reply> {
        let (group, arguments) = batch::one(registry, template.get(), bound, args, kwargs)?;
        Ok(self.send(vec![group], vec![arguments.into()]))
    }

    /// Makes jobs of all `calls` in one request; the reply is as for `enqueue`.
    fn enqueue_packed(&self, py: Python<'_>, calls: Vec<Py<Packed>>) -> Reply {
        let mut batch = Batch::default();
        for call in &calls {
            batch.push_packed(py, call.get());
        }
        let Batch { groups, payloads, .. } = batch.finish();
        self.send(groups, payloads)
    }

    /// Asks for a job's record; `aside` as in `status`.
    #[pyo3(signature = (key, aside = None))]
    fn show(&self, py: Python<'_>, key: &[u8], aside: Option<f64>) -> PyResult<Reply> {
        let job = job_id(py, key)?;
        Ok(self.ask(Show { job }, aside))
    }

    /// Cancels a job; the reply is its state, whether it is being cancelled, and a count.
    fn cancel(&self, py: Python<'_>, key: &[u8]) -> PyResult<Reply> {
        let job = job_id(py, key)?;
        Ok(Reply::new(self.0.mutate(|sequence| Cancel { sequence, job }.into(), Vec::new(), None)))
    }

    /// Runs a waiting job now, or makes a new one of a finished one; the reply is as for `enqueue`.
    fn retry(&self, py: Python<'_>, key: &[u8]) -> PyResult<Reply> {
        let job = job_id(py, key)?;
        Ok(Reply::new(self.0.mutate(|sequence| Retry { sequence, job }.into(), Vec::new(), None)))
    }

    /// Forgets a finished job; the reply is as for `cancel`.
    fn delete(&self, py: Python<'_>, key: &[u8]) -> PyResult<Reply> {
        let job = job_id(py, key)?;
        Ok(Reply::new(self.0.mutate(|sequence| Delete { sequence, job }.into(), Vec::new(), None)))
    }

    /// Lets go of cached results: those of these keys, and some of those whose keys begin with `prefix`; the reply is as for
    /// `cancel`, and its count that of the keys.
    fn invalidate(&self, keys: Vec<String>, prefix: Option<&str>) -> Reply {
        let keys: Vec<Arc<str>> = keys.into_iter().map(Into::into).collect();
        let prefix = prefix.map(Arc::from);
        Reply::new(self.0.mutate(|sequence| Invalidate { sequence, keys, prefix }.into(), Vec::new(), None))
    }

    /// Asks for the state of the engine. With `aside` it is a question on the side with so many seconds for its answer,
    /// which starts no server.
    #[pyo3(signature = (aside = None))]
    fn status(&self, aside: Option<f64>) -> Reply {
        self.ask(Status {}, aside)
    }

    /// Asks for a lock of this kind, for this thread or coroutine. It is renewed until it is given back or dropped.
    #[expect(clippy::too_many_arguments, reason = "what a request for a lock says")]
    fn acquire(
        &self,
        py: Python<'_>,
        kind: &str,
        key: &str,
        permits: u32,
        party: u64,
        ttl: f64,
        wait: bool,
        program: &str,
    ) -> PyResult<Lock> {
        let Some(kind) = LockKind::ALL.into_iter().find(|known| known.as_str() == kind) else {
            return Err(option_error(py, &format!("no lock is a {kind}"), "one that `App` has"));
        };
        let ttl = Duration::try_from_secs_f64(ttl).unwrap_or_default();
        let request =
            LockRequest { kind, key: key.into(), permits, party, ttl, wait, program: program.into() };
        Ok(Lock::new(self.0.acquire(request)))
    }

    /// Takes the next turn at a limiter whose turns are `interval` seconds apart, unless it is more than `longest` seconds
    /// away. The answer is how many seconds away it is, and whether it was taken.
    fn take_turn(&self, key: &str, interval: f64, burst: u32, longest: f64) -> Reply {
        // Numbers beyond a range become its ends.
        let (interval_ns, patience_ms) = ((interval * 1e9) as u64, (longest * 1e3) as u64);
        self.ask(Pass { key: key.into(), interval_ns, burst, patience_ms }, None)
    }

    /// Looks keys of the cache up. The answer is for each of them the value and whether its time is over, or None; and a
    /// ticket for what is computed now.
    fn cache_get(&self, keys: Vec<String>, peek: bool, deadline: f64) -> Reply {
        let keys = keys.into_iter().map(Into::into).collect();
        Reply::new(self.0.call(CacheGet { keys, peek }, Vec::new(), Some(seconds(deadline))))
    }

    /// Stores a value in the cache; the reply is as for `cancel`, and its count 0 if it is untrue already.
    #[pyo3(signature = (key, value, *, ttl_ms, idle_ms, stale_ms, tags, sources, ticket, deadline))]
    #[expect(clippy::too_many_arguments, reason = "each has its name where it is called")]
    fn cache_set(
        &self,
        key: &str,
        value: &[u8],
        ttl_ms: Option<u64>,
        idle_ms: Option<u64>,
        stale_ms: u64,
        tags: Vec<String>,
        sources: Vec<String>,
        ticket: Option<u64>,
        deadline: f64,
    ) -> Reply {
        let texts = |texts: Vec<String>| texts.into_iter().map(Arc::from).collect();
        let (tags, sources) = (texts(tags), texts(sources));
        // A longer one than can be announced is refused as too large.
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        let key = key.into();
        let entries = vec![NewEntry { key, length, ttl_ms, idle_ms, stale_ms, tags, ticket, sources }];
        let values = vec![Bytes::copy_from_slice(value)];
        let deadline = Some(seconds(deadline));
        Reply::new(self.0.mutate(|sequence| CacheSet { sequence, entries }.into(), values, deadline))
    }

    /// What the attempts of a task came to and took, or those of all tasks; the reply has a row for each version.
    #[pyo3(signature = (task))]
    fn tasks(&self, task: Option<&str>) -> Reply {
        self.ask(ListTasks { task: task.map(Arc::from) }, None)
    }

    /// A page of what the attempts of a job logged, the oldest first; `attempt` for one of them. The reply is (rows, where
    /// the next page goes on, whether all was looked at).
    #[pyo3(signature = (key, attempt, after))]
    fn logs(&self, py: Python<'_>, key: &[u8], attempt: Option<u32>, after: Option<u64>) -> PyResult<Reply> {
        let filter = LogFilter { job: Some(job_id(py, key)?), attempt, ..LogFilter::default() };
        let list = ListLogs { filter, after, count: LOG_PAGE_MAX, newest_first: false };
        Ok(self.ask(list, None))
    }

    /// A page of profiles of attempts, the newest first: of a job or of a task. The reply is (rows, where the next page goes
    /// on if there is one, whether all was looked at); a row is (job, attempt, profile).
    #[pyo3(signature = (key, attempt, task, version, since_us, before))]
    #[expect(clippy::too_many_arguments, reason = "arguments of Python")]
    fn profiles(
        &self,
        py: Python<'_>,
        key: Option<&[u8]>,
        attempt: Option<u32>,
        task: Option<&str>,
        version: Option<u32>,
        since_us: Option<u64>,
        before: Option<u64>,
    ) -> PyResult<Reply> {
        let version = version.map(|version| ("version".into(), version.to_string().into()));
        let filter = LogFilter {
            job: key.map(|key| job_id(py, key)).transpose()?,
            attempt,
            task: task.map(Into::into),
            logger: Some(PROFILE_LOGGER.into()),
            since_us,
            fields: version.into_iter().collect(),
            attached: true,
            ..LogFilter::default()
        };
        let list = ListLogs { filter, after: before, count: PROFILES_OF_PAGE, newest_first: true };
        Ok(self.ask(list, None))
    }

    /// Makes entries of the cache untrue; the reply is as for `cancel`, and its count that of the keys.
    fn cache_invalidate(&self, keys: Vec<String>, tags: Vec<String>, everything: bool) -> Reply {
        let texts = |texts: Vec<String>| texts.into_iter().map(Arc::from).collect();
        let (keys, tags) = (texts(keys), texts(tags));
        let invalidate = |sequence| CacheInvalidate { sequence, keys, tags, all: everything }.into();
        Reply::new(self.0.mutate(invalidate, Vec::new(), None))
    }

    /// Follows the jobs of `keys`, 16 bytes each, until they end; with `results`, results come along.
    fn wait(&self, py: Python<'_>, keys: &[u8], results: bool) -> PyResult<Waiting> {
        let ids: PyResult<Vec<JobId>> = keys.chunks(16).map(|key| job_id(py, key)).collect();
        Ok(Waiting::new(self.0.wait(&ids?, results)))
    }
}

impl Client {
    fn send(&self, groups: Vec<JobGroup>, payloads: Vec<Bytes>) -> Reply {
        Reply::new(self.0.mutate(|sequence| Enqueue { sequence, groups }.into(), payloads, None))
    }

    fn ask(&self, question: impl Into<Message>, aside: Option<f64>) -> Reply {
        Reply::new(match aside {
            None => self.0.call(question, Vec::new(), None),
            Some(seconds) => self.0.call_aside(question, Duration::from_secs_f64(seconds.clamp(0.0, 300.0))),
        })
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
