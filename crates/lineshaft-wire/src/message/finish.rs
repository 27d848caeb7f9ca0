//! How attempts ended.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Fence, JobId};
use crate::measures::Measures;
use crate::record::ErrorRecord;

/// Attempts that ended; for each in the order of `succeeded`, then `others`, its result and its output follow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    /// Those that returned.
    pub succeeded: Vec<Succeeded>,
    /// Those that did not.
    pub others: Vec<OtherEnd>,
    /// What those that returned took, in the order of `succeeded`; nothing for those behind the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<Measures>,
}

/// An attempt that returned: an array, since there is one per job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "SucceededRow", into = "SucceededRow")]
pub struct Succeeded {
    /// The job.
    pub job: JobId,
    /// The attempt's fence.
    pub fence: Fence,
    /// When the body began, Unix milliseconds.
    pub started_at: u64,
    /// When it returned.
    pub finished_at: u64,
    /// Length of the result.
    pub result_length: u64,
    /// Length of what it printed.
    pub output_length: u32,
}

type SucceededRow = (JobId, u64, u64, u64, u64, u64, u32);

impl From<SucceededRow> for Succeeded {
    fn from(
        (job, epoch, counter, started_at, finished_at, result_length, output_length): SucceededRow,
    ) -> Self {
        Self { job, fence: Fence { epoch, counter }, started_at, finished_at, result_length, output_length }
    }
}

impl From<Succeeded> for SucceededRow {
    fn from(end: Succeeded) -> Self {
        let Fence { epoch, counter } = end.fence;
        (end.job, epoch, counter, end.started_at, end.finished_at, end.result_length, end.output_length)
    }
}

/// How an attempt ended that did not return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It raised; `retry_after_ms` if the task said when to try again.
    Errored {
        /// What it raised.
        error: ErrorRecord,
        /// The delay that the task asked for; overrides backoff, not `max_attempts`.
        retry_after_ms: Option<u64>,
    },
    /// It must not be tried again whatever the rules say: its arguments or checkpoint do not bind or decode, its result
    /// does not encode, its app does not import.
    Rejected {
        /// The discard reason: `arguments_undecodable`, `checkpoint_undecodable`, `result_unencodable`.
        reason: Arc<str>,
        /// What was wrong.
        error: ErrorRecord,
    },
    /// The task put itself off.
    Snoozed {
        /// For how long.
        delay_ms: u64,
    },
    /// The task cancelled itself.
    CancelledItself {
        /// Why.
        reason: Arc<str>,
    },
    /// It never began: its arguments name something that this worker does not know. Counts against nothing; the job
    /// waits for another worker.
    Parked {
        /// What is missing, in words: `type shop.Order`.
        missing: Arc<str>,
    },
    /// It was stopped because it ran too long.
    TimedOut {
        /// What it said while unwinding.
        error: ErrorRecord,
    },
    /// It was stopped because the job was cancelled.
    Cancelled,
    /// The process died under it.
    Crashed {
        /// Signal or exit status, peak memory.
        error: ErrorRecord,
    },
    /// The worker gave it back though it had begun: its process was ended for the sake of another attempt, or the
    /// worker stopped before it returned. It counts against nothing.
    Released,
    /// The worker had to give it up, because its lease could not be renewed or it may not begin again. It counts against
    /// nothing.
    Lost {
        /// What happened.
        error: ErrorRecord,
    },
    /// Its body was not called: something that it needs is missing in this worker for now. No attempt is used; the job
    /// waits for a while, and expires meanwhile if it has to.
    PutOff {
        /// For how long.
        delay_ms: u64,
        /// What is missing, in words.
        reason: Arc<str>,
    },
}

impl End {
    /// The error that it comes with.
    pub fn error(&self) -> Option<&ErrorRecord> {
        match self {
            Self::Errored { error, .. }
            | Self::Rejected { error, .. }
            | Self::TimedOut { error }
            | Self::Crashed { error }
            | Self::Lost { error } => Some(error),
            Self::Snoozed { .. }
            | Self::CancelledItself { .. }
            | Self::Cancelled
            | Self::Released
            | Self::Parked { .. }
            | Self::PutOff { .. } => None,
        }
    }
}

/// An attempt that did not return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherEnd {
    /// The job.
    pub job: JobId,
    /// The attempt's fence.
    pub fence: Fence,
    /// When the body began, Unix milliseconds.
    pub started_at: u64,
    /// When it ended.
    pub finished_at: u64,
    /// How.
    pub end: End,
    /// Length of what it printed (it has no result).
    pub output_length: u32,
    /// What it took.
    #[serde(default, skip_serializing_if = "Measures::is_empty")]
    pub measures: Measures,
}

/// The ends, or the checkpoint, are durable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Those refused because the lease was no longer the child's.
    pub refused: Vec<(JobId, Fence)>,
}

/// A child of this worker is dead, and its process group empty. The outputs of the begun attempts follow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChildEnded {
    /// Number of the child within the worker.
    pub child: u32,
    /// The attempts that were running, and how they ended.
    pub begun: Vec<OtherEnd>,
    /// The newest lease that the child had taken up. Later ones never began and are handed back. Of the earlier ones
    /// the child ran all but `unbegun`, though nobody may have heard how they ended: those are lost.
    pub newest: Option<Fence>,
    /// Leases taken up that never began: handed back too.
    pub unbegun: Vec<Fence>,
    /// Why there is, or will be, another child in its place, in words; `None` if there is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Arc<str>>,
}
