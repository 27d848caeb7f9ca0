//! What is known about a job, as clients, the command line and the archive see it.
//!
//! Times are Unix milliseconds of the engine's wall clock. Names are shared strings: a process holds one `Arc` per
//! queue, task and tag however many records name it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Fence, JobId};
use crate::measures::Measures;

/// Where a job stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum JobState {
    /// Waits for other jobs.
    Pending = 0,
    /// Waits for a time.
    Scheduled = 1,
    /// Ready to be leased.
    Available = 2,
    /// Leased to a worker.
    Running = 3,
    /// Waits to be tried again.
    Retryable = 4,
    /// Ended with a result.
    Completed = 5,
    /// Ended because someone cancelled it.
    Cancelled = 6,
    /// Gave up: a dead letter.
    Discarded = 7,
}

impl JobState {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Scheduled,
        Self::Available,
        Self::Running,
        Self::Retryable,
        Self::Completed,
        Self::Cancelled,
        Self::Discarded,
    ];

    /// The word used everywhere for this state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Available => "available",
            Self::Running => "running",
            Self::Retryable => "retryable",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Discarded => "discarded",
        }
    }

    /// Whether the job has ended and will never change again.
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Discarded)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words = Self::ALL.map(Self::as_str);
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a job state: expected one of {}", words.join(", ")))
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// The task returned.
    Succeeded = 0,
    /// The task raised.
    Errored = 1,
    /// The attempt ran longer than its timeout.
    TimedOut = 2,
    /// The process died under the attempt.
    Crashed = 3,
    /// The worker vanished and nobody can say how far it came.
    Lost = 4,
    /// Stopped on request.
    Cancelled = 5,
    /// Put off by the task itself.
    Snoozed = 6,
    /// Handed back before it began.
    Released = 7,
}

/// Every outcome, in the order of their numbers.
pub const OUTCOMES: [Outcome; 8] = [
    Outcome::Succeeded,
    Outcome::Errored,
    Outcome::TimedOut,
    Outcome::Crashed,
    Outcome::Lost,
    Outcome::Cancelled,
    Outcome::Snoozed,
    Outcome::Released,
];

impl Outcome {
    /// Whether the attempt went wrong: it raised, ran too long, died or vanished.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Errored | Self::TimedOut | Self::Crashed | Self::Lost)
    }

    /// The word used everywhere for this outcome.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Errored => "errored",
            Self::TimedOut => "timed_out",
            Self::Crashed => "crashed",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
            Self::Snoozed => "snoozed",
            Self::Released => "released",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What went wrong in an attempt, as data: classes are named, never rebuilt from this alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRecord {
    /// Canonical names of the exception's classes, most derived first (`["shop.mail.Bounced", "builtins.ValueError"]`).
    /// Empty for a timeout, a crash and a loss.
    pub types: Vec<String>,
    /// The exception's text, or what the engine says of a timeout, a crash or a loss. At most 16 KiB.
    pub message: String,
    /// The traceback as the worker printed it. At most 64 KiB, the middle left out.
    pub traceback: Option<String>,
    /// The signal that killed the process, if one did.
    pub signal: Option<i32>,
    /// Peak resident memory of a process that died, in bytes.
    pub rss_peak_bytes: Option<u64>,
    /// The exception's arguments as an encoded value list, where they could be encoded.
    #[serde(default, with = "serde_bytes")]
    pub arguments: Option<Vec<u8>>,
}

/// One execution of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// From 1, growing with each lease that began.
    pub number: u32,
    /// The attempt's token.
    pub fence: Fence,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// The worker's name, `host:pid/child`.
    pub worker: Arc<str>,
    /// When the body began, or the lease was given where it never began.
    pub started_at: u64,
    /// When it ended; `None` while it runs.
    pub finished_at: Option<u64>,
    /// What went wrong, if something did.
    pub error: Option<ErrorRecord>,
    /// What the attempt printed, bounded by the worker (64 KiB: head and tail kept).
    #[serde(with = "serde_bytes")]
    pub output: Vec<u8>,
    /// How long its job had been ready before it, milliseconds: since it was enqueued, since its time came, or since the
    /// attempt before it ended. `None` while it runs, and of attempts of versions before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
    /// What it took, as far as its worker measured that.
    #[serde(default, skip_serializing_if = "Measures::is_empty")]
    pub measures: Measures,
}

/// A job as a reader sees it; payloads travel beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// The job's id.
    pub id: JobId,
    /// Name of the task.
    pub task: Arc<str>,
    /// Name of the queue.
    pub queue: Arc<str>,
    /// Where it stands.
    pub state: JobState,
    /// Running, and asked to stop.
    pub cancelling: bool,
    /// 1 (first) to 9.
    pub priority: u8,
    /// Attempts that errored or timed out so far.
    pub attempt: u32,
    /// Errored and timed-out attempts after which it gives up (retries + 1).
    pub max_attempts: u32,
    /// Attempts that crashed so far.
    pub crashes: u32,
    /// When it was enqueued.
    pub created_at: u64,
    /// When it may run (next), if it waits for a time.
    pub scheduled_at: Option<u64>,
    /// When it must have begun, if it must.
    pub expires_at: Option<u64>,
    /// When it must have ended, if it must.
    pub deadline_at: Option<u64>,
    /// When the newest attempt was leased.
    pub attempted_at: Option<u64>,
    /// The worker of the newest attempt.
    pub attempted_by: Option<Arc<str>>,
    /// When it ended.
    pub finalized_at: Option<u64>,
    /// Why it was cancelled or discarded: `max_attempts`, `crashes`, `maybe_ran`, `at_most_once`, `never_retried`,
    /// `expired`, `deadline`, `arguments_undecodable`, `checkpoint_undecodable`, `result_unencodable`, `cancelled`, `purged` or the text the task gave (4 KiB of it).
    pub reason: Option<Arc<str>>,
    /// What a waiting job waits for, in words (`no worker knows shop.send`, `queue mail is paused`).
    pub waits_for: Option<String>,
    /// Free labels.
    pub tags: Vec<Arc<str>>,
    /// Free text for people and programs (JSON by convention), at most 4 KiB.
    pub metadata: Option<Arc<str>>,
    /// Fields of all that its attempts log, a JSON object of at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Arc<str>>,
    /// The job that this one repeats.
    pub retry_of: Option<JobId>,
    /// The job whose failure this one handles.
    #[serde(default)]
    pub failure_of: Option<JobId>,
    /// The job that handles this one's failure.
    #[serde(default)]
    pub handled_by: Option<JobId>,
    /// Newest attempts, oldest first, at most 32.
    pub attempts: Vec<AttemptRecord>,
    /// Size of the arguments as stored.
    pub arguments_bytes: u64,
    /// Size of the result as stored.
    pub result_bytes: u64,
    /// Size of the checkpoint as stored; 0 if there is none. One of a completed job is not kept.
    #[serde(default)]
    pub checkpoint_bytes: u64,
    /// When the checkpoint was left.
    #[serde(default)]
    pub checkpoint_at: Option<u64>,
}
