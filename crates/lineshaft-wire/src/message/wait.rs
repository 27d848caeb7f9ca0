//! Being told when jobs end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::JobId;
use crate::record::{ErrorRecord, JobState, Outcome};

/// Asks to be told when jobs end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// 16 bytes per job.
    pub ids: ByteBuf,
    /// Whether results come along.
    pub results: bool,
}

/// Some of the jobs waited for have ended; results follow in the order of `completed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Id and length of the result; a length of `u64::MAX` says that the result is no longer kept (or never was).
    pub completed: Vec<(JobId, u64)>,
    /// Those that ended without a result.
    pub failed: Vec<EndedJob>,
    /// Ids that nobody knows.
    pub missing: Vec<JobId>,
    /// Whether all have been answered now.
    pub last: bool,
}

/// [`Ended::completed`] length of a result that is no longer kept.
pub const RESULT_EXPIRED: u64 = u64::MAX;

/// A job that ended without a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedJob {
    /// The job.
    pub id: JobId,
    /// Its task.
    pub task: Arc<str>,
    /// `cancelled` or `discarded`.
    pub state: JobState,
    /// Why, as in [`JobRecord::reason`](crate::record::JobRecord::reason).
    pub reason: Option<Arc<str>>,
    /// Number of the last attempt, 0 if none began.
    pub attempt: u32,
    /// How the last attempt ended.
    pub outcome: Option<Outcome>,
    /// What went wrong in it.
    pub error: Option<ErrorRecord>,
    /// The end of what it printed, at most 4 KiB; only of crashed and timed-out attempts.
    #[serde(with = "serde_bytes")]
    pub output: Vec<u8>,
}

/// Gives up the [`Wait`] with this request id.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unwait {
    /// Request id of the wait.
    pub request: u64,
}
