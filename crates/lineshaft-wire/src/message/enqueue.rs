//! Making jobs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::rules::Rules;
use super::session::Sequence;

/// A time for a job: when it may first run, must have begun, must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunAfter {
    /// Unix milliseconds.
    At(u64),
    /// Milliseconds from when the engine reads it.
    In(u64),
}

/// How long a unique key keeps others out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniqueWhile {
    /// Until the job is finished.
    Unfinished,
    /// Until the job first runs.
    Queued,
    /// Until the job is finished, and if it is completed for [`Unique::period_ms`] after that: its result is cached.
    Cached,
}

/// At most one job with this key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unique {
    /// The key; the client computes it from task and arguments.
    pub key: Arc<str>,
    /// How long.
    pub while_: UniqueWhile,
    /// Milliseconds from the enqueue for which the key keeps others out in any case, even if the job has ended. With
    /// [`UniqueWhile::Cached`] those from the end of a completed job, at most [`Rules::result_ttl_ms`]; whoever asks is
    /// answered with a job that ended no longer ago than he says himself.
    pub period_ms: Option<u64>,
}

/// Jobs that differ in nothing but their arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobGroup {
    /// Name of the task.
    pub task: Arc<str>,
    /// Name of the queue.
    pub queue: Arc<str>,
    /// 1 (first) to 9.
    pub priority: u8,
    /// How they are run.
    pub rules: Arc<Rules>,
    /// When they may first run.
    pub run_after: Option<RunAfter>,
    /// When they must have begun: one whose first attempt has not is discarded.
    pub expires: Option<RunAfter>,
    /// When they must have ended, retries included: no attempt goes on after it.
    pub deadline: Option<RunAfter>,
    /// Keeps equal jobs out; only with one job.
    pub unique: Option<Unique>,
    /// With [`UniqueWhile::Cached`]: a job is made although there is one with this key, and takes its place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
    /// The same key answers with the same job, for 24 hours; only with one job.
    pub idempotency_key: Option<Arc<str>>,
    /// Free labels.
    pub tags: Vec<Arc<str>>,
    /// Free text.
    pub metadata: Option<Arc<str>>,
    /// Fields of all that their attempts log and of the jobs that those make, a JSON object of at most
    /// [`CONTEXT_BYTES_MAX`](super::CONTEXT_BYTES_MAX).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Arc<str>>,
    /// Length of each job's arguments.
    pub lengths: Vec<u32>,
}

impl JobGroup {
    /// Jobs of `task` with arguments of these lengths, as they are where nothing is said: in the queue `default` with
    /// priority 5, by [`Rules::default`], and with no times, keys or labels.
    pub fn new(task: impl Into<Arc<str>>, lengths: Vec<u32>) -> Self {
        Self {
            task: task.into(),
            queue: "default".into(),
            priority: 5,
            rules: Arc::default(),
            run_after: None,
            expires: None,
            deadline: None,
            unique: None,
            anew: false,
            idempotency_key: None,
            tags: Vec::new(),
            metadata: None,
            context: None,
            lengths,
        }
    }
}

/// Makes jobs, all or none; their arguments follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enqueue {
    /// Place in the session.
    pub sequence: Sequence,
    /// The jobs.
    pub groups: Vec<JobGroup>,
}

/// The jobs made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Enqueued {
    /// 16 bytes per job, in the order of the request.
    pub ids: ByteBuf,
    /// Positions of those that were there already (unique or idempotency key).
    pub existing: Vec<u32>,
    /// Positions of those among them that are completed, with a result that is cached. An answer that is asked for once
    /// more leaves them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub completed: Vec<u32>,
}

/// Results that are cached are not answered with any more: those of these keys, or of all keys that begin so. What is being
/// computed is not kept. Answered by [`Changed`](super::Changed) with the number of keys; of a prefix some thousands at a
/// time, until there are none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invalidate {
    /// Place in the session.
    pub sequence: Sequence,
    /// At most [`KEYS_MAX`](super::KEYS_MAX).
    pub keys: Vec<Arc<str>>,
    /// How keys begin.
    pub prefix: Option<Arc<str>>,
}
