//! A handle to a job.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::SystemTime;

use lineshaft_insight::profile::Profile;
use lineshaft_wire::log_record::LogFilter;
use lineshaft_wire::message::{ListLogs, PROFILE_LOGGER, PayloadKind, RefusalCode, Shown};
use lineshaft_wire::value::Value;
use lineshaft_wire::{AttemptRecord, JobId, JobRecord, JobState, task};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Client;
use super::outcome::result_of;
use crate::{Context, Error, JobEnd};

/// Records that [`Job::logs`] gives.
#[cfg(feature = "log")]
const LOGS_MAX: u32 = 1_000;

/// A job whose task gives an `R`: an id, and what the last answer said about it. Jobs compare by id.
///
/// What is asked for by a plain method comes from that snapshot; the `async` ones ask the server.
///
/// To wait at most so long, put a timeout of your runtime around [`Job::result`] or [`Job::wait`]; what gives up is the
/// wait, and the job goes on:
///
/// ```no_run
/// # async fn example(job: lineshaft::Job<u8>) -> lineshaft::task::Result<()> {
/// use std::time::Duration;
///
/// match tokio::time::timeout(Duration::from_secs(5), job.result()).await {
///     Ok(result) => println!("{}", result?),
///     Err(_) => println!("not within five seconds"),
/// }
/// # Ok(()) }
/// ```
///
/// A job is a value, its id: a task may take one or give one. Where it is read, in a body or by this client, it is a job
/// of the same home. `Job` alone is one of any task.
pub struct Job<R = Value> {
    client: Client,
    id: JobId,
    snapshot: Option<Snapshot>,
    existing: bool,
    result: PhantomData<fn() -> R>,
}

#[derive(Clone, Debug)]
struct Snapshot {
    task: Arc<str>,
    state: Option<JobState>,
    as_of: SystemTime,
}

impl<R> Job<R> {
    pub(super) fn new(client: Client, id: JobId) -> Self {
        Self { client, id, snapshot: None, existing: false, result: PhantomData }
    }

    pub(super) fn made(client: Client, id: JobId, task: Arc<str>, existing: bool, completed: bool) -> Self {
        let state = completed.then_some(JobState::Completed);
        let snapshot = Some(Snapshot { task, state, as_of: SystemTime::now() });
        Self { snapshot, existing, ..Self::new(client, id) }
    }

    /// Its id, a UUID of version 7.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The name of its task, once an answer gave it.
    pub fn task(&self) -> Option<&str> {
        Some(task::name_of(&self.snapshot.as_ref()?.task))
    }

    /// The state that the last [`Job::refresh`] gave, or `enqueue` if it found the result in the cache.
    pub fn state(&self) -> Option<JobState> {
        self.snapshot.as_ref()?.state
    }

    /// When the last answer came.
    pub fn as_of(&self) -> Option<SystemTime> {
        Some(self.snapshot.as_ref()?.as_of)
    }

    /// Whether `enqueue` made no job but answered with this one, by its unique or idempotency key or from the cache.
    pub fn existing(&self) -> bool {
        self.existing
    }

    /// Asks the server for its record. [`Error::JobNotFound`] if there is no such job.
    pub async fn refresh(&mut self) -> Result<JobRecord, Error> {
        let record = self.show().await?.record;
        let task = Arc::clone(&record.task);
        self.snapshot = Some(Snapshot { task, state: Some(record.state), as_of: SystemTime::now() });
        Ok(record)
    }

    /// Waits until the job has ended, however it did. [`Error::JobNotFound`] if there is no such job.
    pub async fn wait(&self) -> Result<(), Error> {
        match self.end(false).await? {
            JobEnd::Missing { id } => Err(Error::JobNotFound { job: id }),
            JobEnd::Completed { .. } | JobEnd::Failed(_) => Ok(()),
        }
    }

    /// Cancels it: at once if it does not run, else its attempt is asked to stop. True if it is or will be cancelled,
    /// false if it had ended before.
    pub async fn cancel(&self) -> Result<bool, Error> {
        let changed = self.found(self.client.raw().cancel(self.id, None).await)?;
        Ok(changed.cancelling || changed.state == Some(JobState::Cancelled))
    }

    /// Runs a waiting job now and gives it back; of a finished one makes a new job with the same call.
    pub async fn retry(&self) -> Result<Self, Error> {
        let made = self.found(self.client.raw().retry(self.id, None).await)?;
        let id = made.ids.first().ok_or_else(|| Error::Protocol("Enqueued holds no id".into()))?;
        Ok(if *id == self.id { self.clone() } else { Self::new(self.client.clone(), *id) })
    }

    /// Its attempts, oldest first; the newest 32 are kept.
    pub async fn attempts(&self) -> Result<Vec<AttemptRecord>, Error> {
        Ok(self.show().await?.record.attempts)
    }

    /// What its newest attempt wrote to [`Context::output`](crate::Context::output), or printed where it ran in Python: at
    /// most 64 KiB, the beginning and the end. Empty while it runs.
    pub async fn output(&self) -> Result<String, Error> {
        let attempts = self.attempts().await?;
        let newest = attempts.last().map(|attempt| String::from_utf8_lossy(&attempt.output).into_owned());
        Ok(newest.unwrap_or_default())
    }

    /// What its running attempt last gave to [`Context::progress`](crate::Context::progress); `None` if it gave nothing
    /// or does not run.
    pub async fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let progress = self.show().await?.progress;
        let value = progress.map(|payload| self.client.decode(&payload)).transpose();
        value.map_err(|source| Error::Undecodable { job: self.id, source })
    }

    /// What its attempts have logged, oldest first: the newest 1,000 records. Those of tasks in Rust are kept where
    /// [`log::tracing_layer`](crate::log::tracing_layer) is in force.
    #[cfg(feature = "log")]
    pub async fn logs(&self) -> Result<Vec<lineshaft_wire::LogRecord>, Error> {
        let filter = LogFilter { job: Some(self.id), ..LogFilter::default() };
        let mut list = ListLogs { filter, after: None, count: LOGS_MAX, newest_first: true };
        let mut found = Vec::new();
        loop {
            let page = self.client.raw().logs(list.clone(), None).await?;
            found.extend(page.records);
            list.after = page.next;
            list.count = LOGS_MAX.saturating_sub(found.len() as u32);
            if list.after.is_none() || list.count == 0 {
                found.reverse();
                return Ok(found);
            }
        }
    }

    /// Where the time of its newest attempt that was profiled went; `None` if none was. Profiles are kept as long as logs.
    ///
    /// Attempts are profiled by [`Call::profile`](crate::Call::profile), the option `profile` of their task, `lineshaft
    /// profile --next` and, where they run for long, by themselves.
    pub async fn profile(&self) -> Result<Option<Profile>, Error> {
        let logger = Some(PROFILE_LOGGER.into());
        let filter = LogFilter { job: Some(self.id), logger, attached: true, ..LogFilter::default() };
        let mut list = ListLogs { filter, after: None, count: 1, newest_first: true };
        loop {
            let page = self.client.raw().logs(list.clone(), None).await?;
            if let Some(bytes) = page.records.into_iter().find_map(|record| record.attachment) {
                let profile = Profile::from_bytes(&bytes);
                return profile.map(Some).map_err(|error| Error::Protocol(error.to_string()));
            }
            list.after = page.next;
            if list.after.is_none() {
                return Ok(None);
            }
        }
    }

    /// Its arguments as a value that can be shown.
    pub async fn arguments(&self) -> Result<lineshaft_wire::value::Call, Error> {
        let payload = self.found(self.client.raw().fetch(self.id, PayloadKind::Arguments, None).await)?;
        let call = lineshaft_wire::value::decode_call(&payload);
        call.map_err(|source| Error::Undecodable { job: self.id, source: source.into() })
    }

    async fn show(&self) -> Result<Shown, Error> {
        self.found(self.client.raw().show(self.id, None).await)
    }

    async fn end(&self, results: bool) -> Result<JobEnd, Error> {
        let mut waiting = self.client.raw().wait(&[self.id], results);
        let ends = waiting.next().await.unwrap_or(Err(Error::Closed))?;
        ends.into_iter().next().ok_or(Error::Closed)
    }

    fn found<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        answer.map_err(|error| match error {
            Error::Refused { code: RefusalCode::JobNotFound, .. } => Error::JobNotFound { job: self.id },
            other => other,
        })
    }
}

impl<R: DeserializeOwned> Job<R> {
    /// Waits until the job has ended and gives what the task returned.
    ///
    /// [`Error::TaskFailed`], [`Error::TaskCrashed`], [`Error::TaskTimeout`] or [`Error::TaskCancelled`] if it returned
    /// nothing; [`Error::ResultExpired`] if its result is not kept.
    pub async fn result(&self) -> Result<R, Error> {
        result_of(&self.client, self.end(true).await?)
    }
}

impl<R> Clone for Job<R> {
    fn clone(&self) -> Self {
        let (client, snapshot) = (self.client.clone(), self.snapshot.clone());
        Self { client, snapshot, ..*self }
    }
}

impl<R> PartialEq for Job<R> {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<R> Eq for Job<R> {}

impl<R> Hash for Job<R> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.id.hash(hasher);
    }
}

impl<R> Serialize for Job<R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Value::Job(self.id).serialize(serializer)
    }
}

impl<'de, R> Deserialize<'de> for Job<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = match Value::deserialize(deserializer)? {
            Value::Job(id) => id,
            Value::Str(text) => text.parse().map_err(D::Error::custom)?,
            other => return Err(D::Error::custom(format!("expected a job, found {}", other.summary(60)))),
        };
        let client = Client::reading().or_else(|| Context::current()?.client().cloned());
        let client = client.ok_or_else(|| {
            D::Error::custom(
                "a job is read in the body of a task, and in what a client gets; elsewhere read a `JobId`",
            )
        })?;
        Ok(Self::new(client, id))
    }
}

impl<R> fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).field("task", &self.task()).finish_non_exhaustive()
    }
}
