//! Changing what is there already: a job or a whole queue.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::session::Sequence;
use crate::id::JobId;
use crate::record::JobState;

/// Cancels a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancel {
    /// Place in the session.
    pub sequence: Sequence,
    /// The job.
    pub job: JobId,
}

/// Runs a `retryable` or `scheduled` job now; makes a new job of a finished one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Place in the session.
    pub sequence: Sequence,
    /// The job.
    pub job: JobId,
}

/// Forgets a finished job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delete {
    /// Place in the session.
    pub sequence: Sequence,
    /// The job.
    pub job: JobId,
}

/// What a change came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// The job's state after it, for changes of a job.
    pub state: Option<JobState>,
    /// Running, and asked to stop.
    pub cancelling: bool,
    /// Jobs touched, for changes of a queue (a purge goes on in the background).
    pub jobs: u64,
}

/// What to do with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueVerb {
    /// Lease none of its jobs.
    Pause,
    /// Lease them again.
    Resume,
    /// Cancel all of its jobs that do not run.
    Purge,
}

/// Pauses, resumes or purges a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeQueue {
    /// Place in the session.
    pub sequence: Sequence,
    /// Name of the queue.
    pub queue: Arc<str>,
    /// What to do.
    pub verb: QueueVerb,
}
