//! The client of a Rust program.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::JobGroup;
use lineshaft_wire::value::typed;
use serde::de::DeserializeOwned;

use super::cache::Pause;
use super::{Completed, Job};
use crate::client::{self, NewJobs};
use crate::task::{Call, Prepared, Task, cached_prefix};
use crate::{ClientOptions, Error, OutcomeUnknown, Target};

/// Calls of one request.
const BATCH_JOBS: usize = 1_000;
/// Bytes of arguments of one request, where it has more than one call.
const BATCH_BYTES: usize = 8 << 20;

/// A handle to a home: makes jobs and follows them. Cheap to clone; every clone shares one connection.
///
/// It works under any runtime, since its connection lives on a thread of its own. Nothing is lost with that connection:
/// requests are sent again until their deadline of 60 s, and a job is made once.
#[derive(Clone, Debug)]
pub struct Client {
    raw: client::Client,
    pub(super) cache_pause: Arc<Pause>,
}

impl Client {
    /// Connects to the home at a path, or to another [`Target`]. A home that nobody serves gets a server on demand if
    /// the `lineshaft` command is found beside this program or on the `PATH`.
    ///
    /// [`Error::NoServer`] if nobody answers.
    pub async fn connect(target: impl Into<Target>) -> Result<Self, Error> {
        let raw = client::Client::connect_async(target.into(), ClientOptions::default()).await?;
        Ok(raw.into())
    }

    /// The verbs below this face, in bytes instead of types.
    pub fn raw(&self) -> &client::Client {
        &self.raw
    }

    /// Whom this client talks to.
    pub fn target(&self) -> &Target {
        self.raw.target()
    }

    /// Makes a job; durable when this returns.
    pub async fn enqueue<R>(&self, call: Call<R>) -> Result<Job<R>, Error> {
        let Prepared { group, arguments } = call.prepare()?;
        let task = Arc::clone(&group.task);
        let made = self.raw.enqueue(vec![group], vec![arguments], None).await?;
        let existing = !made.existing.is_empty();
        let id = made.ids.first().ok_or_else(|| Error::Protocol("Enqueued holds no id".into()))?;
        Ok(Job::made(self.clone(), *id, task, existing, !made.completed.is_empty()))
    }

    /// Makes a job of every call, in order, in requests of up to 1,000, each of them one commit: whole or not at all.
    /// Where one fails, those before it stay.
    pub async fn enqueue_many<R>(
        &self,
        calls: impl IntoIterator<Item = Call<R>>,
    ) -> Result<Vec<Job<R>>, Error> {
        let mut jobs = Vec::new();
        let mut calls = calls.into_iter().peekable();
        let mut spare = None;
        while spare.is_some() || calls.peek().is_some() {
            let mut batch = Batch::default();
            while let Some(call) = spare.take().map(Ok).or_else(|| calls.next().map(Call::prepare)) {
                spare = batch.push(call?);
                if spare.is_some() {
                    break;
                }
            }
            jobs.extend(batch.send(self).await?);
        }
        Ok(jobs)
    }

    /// Repeats an [`enqueue`](Self::enqueue) or one request of an [`enqueue_many`](Self::enqueue_many) that failed with
    /// [`Error::OutcomeUnknown`], and gives its jobs: those that it made then, if it made them. Never a second one; works
    /// for ten minutes.
    pub async fn resend<R>(&self, unknown: &OutcomeUnknown) -> Result<Vec<Job<R>>, Error> {
        let made = unknown.resend(None).into_new_jobs().await?;
        Ok(made.ids.into_iter().map(|id| self.job(id)).collect())
    }

    /// Lets go of the cached result of calls that are equal to this one: the next one computes anew, and what is computed
    /// meanwhile is not kept. True if there was one.
    pub async fn invalidate<R>(&self, call: Call<R>) -> Result<bool, Error> {
        let keys = vec![call.cached_key()?];
        Ok(self.raw.invalidate(keys, None, None).await?.jobs > 0)
    }

    /// Lets go of all cached results of this version of a task; gives how many there were.
    pub async fn clear_cache(&self, task: &Task) -> Result<u64, Error> {
        let prefix: Arc<str> = cached_prefix(task.name(), task.version()).into();
        let mut cleared = 0;
        loop {
            let changed = self.raw.invalidate(Vec::new(), Some(Arc::clone(&prefix)), None).await?;
            cleared += changed.jobs;
            if changed.jobs == 0 {
                return Ok(cleared);
            }
        }
    }

    /// A handle to a job by its id, without asking anybody. `R` has to be what its task gives.
    pub fn job<R>(&self, id: JobId) -> Job<R> {
        Job::new(self.clone(), id)
    }

    /// Follows jobs and gives each once, in the order in which they end.
    pub fn as_completed<R>(&self, jobs: impl IntoIterator<Item = Job<R>>) -> Completed<R> {
        Completed::new(self, jobs)
    }
}

thread_local! {
    /// The client for which a value is read here.
    static READING: RefCell<Option<Client>> = const { RefCell::new(None) };
}

impl Client {
    /// The value in a payload; jobs in it are this client's.
    pub(super) fn decode<T: DeserializeOwned>(&self, payload: &[u8]) -> Result<T, typed::Error> {
        let _reading = Reading { before: READING.replace(Some(self.clone())) };
        typed::from_payload(payload)
    }

    /// The client for which a value is read on this thread.
    pub(super) fn reading() -> Option<Self> {
        READING.with_borrow(Clone::clone)
    }
}

/// Until dropped a client reads.
struct Reading {
    before: Option<Client>,
}

impl Drop for Reading {
    fn drop(&mut self) {
        READING.set(self.before.take());
    }
}

impl From<client::Client> for Client {
    fn from(raw: client::Client) -> Self {
        Self { raw, cache_pause: Arc::default() }
    }
}

/// One request in the making.
#[derive(Default)]
struct Batch {
    groups: Vec<JobGroup>,
    tasks: Vec<Arc<str>>,
    payloads: Vec<Bytes>,
    bytes: usize,
    keys: HashSet<Arc<str>>,
}

impl Batch {
    /// Takes a call, or gives it back for the next request: this one is full, or has a job of its key already.
    fn push(&mut self, call: Prepared) -> Option<Prepared> {
        let is_first = self.tasks.is_empty();
        let is_full = self.tasks.len() == BATCH_JOBS || self.bytes + call.arguments.len() > BATCH_BYTES;
        if (is_full && !is_first) || !self.take_keys(&call.group) {
            return Some(call);
        }
        let Prepared { group, arguments } = call;
        self.tasks.push(Arc::clone(&group.task));
        self.bytes += arguments.len();
        self.payloads.push(arguments);
        match self.groups.last_mut() {
            Some(last) if is_alike(last, &group) => last.lengths.extend(group.lengths),
            _ => self.groups.push(group),
        }
        None
    }

    /// False if another call of this request has one of the keys.
    fn take_keys(&mut self, group: &JobGroup) -> bool {
        let unique = group.unique.as_ref().map(|unique| &unique.key);
        let keys = [unique, group.idempotency_key.as_ref()];
        let are_new = keys.iter().flatten().all(|key| !self.keys.contains(*key));
        if are_new {
            self.keys.extend(keys.into_iter().flatten().cloned());
        }
        are_new
    }

    async fn send<R>(self, client: &Client) -> Result<Vec<Job<R>>, Error> {
        let Self { groups, tasks, payloads, .. } = self;
        let NewJobs { ids, existing, completed } = client.raw.enqueue(groups, payloads, None).await?;
        if ids.len() != tasks.len() {
            return Err(Error::Protocol("Enqueued holds another number of ids".into()));
        }
        let set = |positions: Vec<u32>| positions.into_iter().collect::<HashSet<u32>>();
        let (existing, completed) = (set(existing), set(completed));
        let made = (0..).zip(ids.into_iter().zip(tasks));
        let job = |(position, (id, task))| {
            Job::made(client.clone(), id, task, existing.contains(&position), completed.contains(&position))
        };
        Ok(made.map(job).collect())
    }
}

/// Whether jobs of both differ in nothing but their arguments.
fn is_alike(one: &JobGroup, other: &JobGroup) -> bool {
    let has_key = |group: &JobGroup| group.unique.is_some() || group.idempotency_key.is_some();
    let without_lengths = |group: &JobGroup| JobGroup { lengths: Vec::new(), ..group.clone() };
    !has_key(one) && !has_key(other) && without_lengths(one) == without_lengths(other)
}
