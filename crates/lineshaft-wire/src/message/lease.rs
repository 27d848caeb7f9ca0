//! Leases: asked for, given, renewed, handed back, ended from outside; and what a running attempt says of itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::{Fence, JobId};
use crate::looks::Looks;

/// This child may hold `leases` more leases than it has been given so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credit {
    /// How many more.
    pub leases: u32,
    /// Takes unused credit back first, so that `leases` is all there is.
    pub reset: bool,
}

/// Jobs leased to this child; their arguments follow, then the checkpoints of those that have one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leases {
    /// Epoch of their fences.
    pub epoch: u64,
    /// The jobs.
    pub jobs: Vec<Lease>,
    /// Position in `jobs` of each that an earlier attempt left a checkpoint for, ascending, and its length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<(u32, u32)>,
    /// Position in `jobs` of each that has a retry left: an attempt that errors or times out is not its last one.
    /// Ascending; `None` if the server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<Vec<u32>>,
    /// Position in `jobs` of each whose attempt is to be profiled, ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiled: Vec<u32>,
    /// Position in `jobs` of each of these of which more than the time is to be found out, ascending, and what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks: Vec<(u32, Looks)>,
    /// Position in `jobs` of each that has a [context](super::JobGroup::context), ascending, and that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contexts: Vec<(u32, Arc<str>)>,
}

/// One leased job: an array, since there is one per job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "LeaseRow", into = "LeaseRow")]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Counter of its fence.
    pub counter: u64,
    /// Position of its task in [`AttachChild::tasks`](super::AttachChild::tasks).
    pub task: u32,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// Milliseconds it may take; 0 is no limit.
    pub timeout_ms: u64,
    /// Whether its result is kept.
    pub keep_result: bool,
    /// Length of its arguments.
    pub length: u64,
}

type LeaseRow = (JobId, u64, u32, u32, u64, bool, u64);

impl From<LeaseRow> for Lease {
    fn from((job, counter, task, attempt, timeout_ms, keep_result, length): LeaseRow) -> Self {
        Self { job, counter, task, attempt, timeout_ms, keep_result, length }
    }
}

impl From<Lease> for LeaseRow {
    fn from(lease: Lease) -> Self {
        let Lease { job, counter, task, attempt, timeout_ms, keep_result, length } = lease;
        (job, counter, task, attempt, timeout_ms, keep_result, length)
    }
}

/// Attempts that never began, handed back: they count against nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The leases.
    pub leases: Vec<(JobId, Fence)>,
}

/// The leases of this connection's child live on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Renew {}

/// Why an attempt must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The job was cancelled.
    Cancelled,
    /// The lease is somebody else's by now: stop, report nothing.
    Stale,
}

/// An attempt must stop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// Number of the child within the worker.
    pub child: u32,
    /// The attempt.
    pub fence: Fence,
    /// Why.
    pub reason: StopReason,
}

/// How far a running attempt is; kept in memory only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The job.
    pub job: JobId,
    /// The attempt's fence.
    pub fence: Fence,
    /// An encoded value, at most 4 KiB.
    pub value: ByteBuf,
}

/// From where later attempts of the job go on: replaces the checkpoint before. The encoded value follows, 1 byte to
/// [`CHECKPOINT_BYTES_MAX`](super::CHECKPOINT_BYTES_MAX).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The job.
    pub job: JobId,
    /// The attempt's fence.
    pub fence: Fence,
    /// Length of the value.
    pub length: u32,
}
