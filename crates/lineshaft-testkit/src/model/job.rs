//! A job as the model keeps it, with everything that is known about it in one place.

use std::sync::Arc;

use bytes::Bytes;
use lineshaft_jobs::Payloads;
use lineshaft_wire::message::{Rules, Unique};
use lineshaft_wire::{ErrorRecord, Fence, JobId, JobState, Measures, Outcome};

/// Attempts that a job shows: the newest.
pub(super) const ATTEMPTS_SHOWN: usize = 32;

/// A time on one of the two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Unix milliseconds.
    Wall(u64),
    /// Logical milliseconds.
    Logical(u64),
    /// Logical milliseconds that chance picks, both ends included: a backoff before the machine has said which.
    Between(u64, u64),
}

/// Bytes that came with a command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// The bytes.
    pub bytes: Bytes,
    /// The blob that holds them, if one does.
    pub blob: Option<u64>,
    /// The commit that holds them, if one does: they may have been moved.
    pub lsn: Option<u64>,
}

/// An attempt that ended.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// Its token.
    pub fence: Fence,
    /// How it ended.
    pub outcome: Outcome,
    /// Who ran it.
    pub worker: Arc<str>,
    /// When it began.
    pub started_ms: u64,
    /// When it ended.
    pub finished_ms: u64,
    /// What went wrong.
    pub error: Option<ErrorRecord>,
    /// The commit that holds the error, unless it was moved.
    pub lsn: Option<u64>,
    /// What it printed.
    pub output: Payload,
    /// How long the job had been ready before it, milliseconds.
    pub waited_ms: u64,
    /// What it took.
    pub measures: Measures,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) child: u32,
    pub(super) fence: Fence,
    pub(super) leased_ms: u64,
}

/// Workers that did not know what a job names, and the last one's complaint.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    pub(super) missing: Arc<str>,
    pub(super) worker: String,
    pub(super) nonces: Vec<u64>,
}

/// A job in memory.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Its state.
    pub state: JobState,
    /// What it was called with.
    pub arguments: Payload,
    /// What it returned.
    pub result: Payload,
    /// From where its next attempt goes on, and when that was said, Unix milliseconds.
    pub checkpoint: Option<(Payload, u64)>,
    /// Every attempt that ended.
    pub attempts: Vec<Attempt>,
    /// Its rules.
    pub rules: Arc<Rules>,
    /// The task.
    pub task: Arc<str>,
    /// The queue.
    pub queue: Arc<str>,
    /// 1 to 9.
    pub priority: u8,
    /// Labels.
    pub tags: Vec<Arc<str>>,
    /// Free text.
    pub metadata: Option<Arc<str>>,
    /// Its context.
    pub context: Option<Arc<str>>,
    /// When it ended.
    pub finalized_ms: Option<u64>,
    /// When it may run, while it waits for a time.
    pub run_at: Option<When>,
    /// When it must have begun, Unix milliseconds.
    pub expires_ms: Option<u64>,
    /// When it must have ended, Unix milliseconds.
    pub deadline_ms: Option<u64>,
    /// When it was last made ready because a time came, or somebody asked for it.
    pub ready_ms: u64,
    /// Why it waits for another worker.
    pub(super) parked: Option<Parked>,
    /// Why a worker put it off.
    pub(super) put_off: Option<Arc<str>>,
    pub(super) place: u32,
    pub(super) in_line: u64,
    pub(super) created_ms: u64,
    /// The job whose failure this one handles.
    pub failure_of: Option<JobId>,
    pub(super) retry_of: Option<JobId>,
    pub(super) handled_by: Option<JobId>,
    pub(super) unique: Option<Unique>,
    /// Whether it keeps others with its unique key out.
    pub(super) keeps_out: bool,
    pub(super) failures: u32,
    pub(super) crashes: u32,
    pub(super) lease: Option<Lease>,
    pub(super) cancelling: bool,
    pub(super) reason: Option<Arc<str>>,
    /// Number among the finished ones.
    pub(super) finish_number: u64,
}

impl Job {
    /// Whether it waits for a time.
    pub(super) fn waits(&self) -> bool {
        matches!(self.state, JobState::Scheduled | JobState::Retryable)
    }

    /// Whether it neither runs nor is finished.
    pub(super) fn is_queued(&self) -> bool {
        self.waits() || self.state == JobState::Available
    }

    /// Why it must be discarded at this time, if it does not run.
    pub(super) fn overdue(&self, wall_ms: u64) -> Option<&'static str> {
        let passed = |limit: Option<u64>| limit.filter(|limit| *limit <= wall_ms && self.is_queued());
        let expired = passed(self.expires_ms).filter(|_| self.attempts.is_empty());
        match (expired, passed(self.deadline_ms)) {
            (Some(expired), Some(deadline)) if deadline < expired => Some("deadline"),
            (Some(_), _) => Some("expired"),
            (None, Some(_)) => Some("deadline"),
            (None, None) => None,
        }
    }

    /// When the first of its limits that still count is reached, if it does not run.
    pub(super) fn limit_ms(&self) -> Option<u64> {
        let expires = self.expires_ms.filter(|_| self.attempts.is_empty());
        let limits = expires.into_iter().chain(self.deadline_ms);
        limits.min().filter(|_| self.is_queued())
    }

    /// Whether it is available, and its next worker has to know more than the last one did.
    pub(super) fn is_parked(&self) -> bool {
        self.state == JobState::Available && self.parked.is_some()
    }

    pub(super) fn holds(&self, child: u32, fence: Fence) -> bool {
        self.lease.is_some_and(|lease| lease.child == child && lease.fence == fence)
    }

    /// The attempts that it shows.
    pub fn shown(&self) -> &[Attempt] {
        &self.attempts[self.attempts.len().saturating_sub(ATTEMPTS_SHOWN)..]
    }

    /// Every payload of it that is still kept.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &Payload> {
        let checkpoint = self.checkpoint.iter().map(|(payload, _)| payload);
        let outputs = self.shown().iter().map(|attempt| &attempt.output);
        outputs.chain([&self.result, &self.arguments]).chain(checkpoint)
    }

    /// Numbers of the commits that it needs.
    pub(super) fn needed_lsns(&self) -> impl Iterator<Item = u64> {
        let errors = self.shown().iter().filter(|attempt| attempt.error.is_some());
        let errors = errors.filter_map(|attempt| attempt.lsn);
        errors.chain(self.payloads().filter_map(|payload| payload.lsn))
    }
}

/// The payloads of a command, one by one.
pub(super) fn cut(payloads: &Payloads, lengths: &[u64], lsn: u64) -> Vec<Payload> {
    let mut at = 0;
    let mut parts = Vec::new();
    for (index, length) in lengths.iter().enumerate() {
        let bytes = payloads.bytes.slice(at..at + *length as usize);
        at += *length as usize;
        let blob = payloads.blobs.iter().find(|(number, _)| *number as usize == index).map(|(_, id)| *id);
        let lsn = (blob.is_none() && !bytes.is_empty()).then_some(lsn);
        parts.push(Payload { bytes, blob, lsn });
    }
    parts
}
