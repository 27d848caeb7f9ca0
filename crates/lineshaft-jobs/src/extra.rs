//! What most queued jobs do without.

use std::sync::Arc;

use lineshaft_wire::message::Unique;
use lineshaft_wire::{Fence, JobId, Outcome};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::change::Place;
use crate::notes::Notes;

/// The rarer things of a job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Extra {
    pub(crate) parked: Option<Box<Parked>>,
    pub(crate) tags: Box<[u32]>,
    pub(crate) notes: Notes,
    pub(crate) unique: Option<Unique>,
    pub(crate) retry_of: Option<JobId>,
    pub(crate) history: Vec<Attempt>,
    pub(crate) result: Place,
    pub(crate) reason: Option<Arc<str>>,
    pub(crate) finalized_ms: u64,
    /// In a snapshot's tail: those of earlier versions end before it.
    #[serde(skip)]
    pub(crate) failure: Option<Box<Failure>>,
    #[serde(skip)]
    pub(crate) checkpoint: Option<Box<Checkpoint>>,
}

/// What ties a job that gave up to the one that handles this; a handler that gave up too has both.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The job whose failure this one handles.
    pub(crate) of: Option<JobId>,
    /// The job that handles this one's failure.
    pub(crate) handled_by: Option<JobId>,
}

/// From where the next attempt goes on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) value: Place,
    /// When it was left, Unix milliseconds.
    pub(crate) left_ms: u64,
}

/// Why a job is out of its lane though it is available, until an attempt of it begins.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Parked {
    /// What the worker asked last did not know.
    pub(crate) missing: Arc<str>,
    /// The worker asked last.
    pub(crate) worker: Arc<str>,
    /// Nonces of the workers asked that were still known at the last time.
    pub(crate) tried: Vec<u64>,
}

/// Workers that one parked job is offered to: then it waits until somebody retries it.
pub(crate) const TRIED_MAX: usize = 64;

/// An attempt that began and ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) fence: Fence,
    pub(crate) outcome: Outcome,
    pub(crate) worker: Arc<str>,
    pub(crate) started_ms: u64,
    pub(crate) finished_ms: u64,
    pub(crate) error: Place,
    pub(crate) output: Place,
    /// `None` of those that ended before accounts were kept. In a snapshot's tail.
    #[serde(skip)]
    pub(crate) account: Option<Account>,
}

impl Extra {
    pub(crate) fn failure_mut(&mut self) -> &mut Failure {
        self.failure.get_or_insert_default()
    }

    /// As new, but with the memory of its history.
    pub(crate) fn clear(&mut self) {
        let mut history = std::mem::take(&mut self.history);
        history.clear();
        *self = Self { history, ..Self::default() };
    }

    /// Whether a job is the same without it.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { parked, tags, notes, unique, retry_of, history, .. } = self;
        let Self { result, reason, finalized_ms, failure, checkpoint, .. } = self;
        let has_options = !tags.is_empty() || !notes.is_none() || unique.is_some() || retry_of.is_some();
        let has_run = parked.is_some() || !history.is_empty() || checkpoint.is_some();
        let has_ended = *finalized_ms > 0 || reason.is_some() || failure.is_some() || result.length > 0;
        !has_options && !has_run && !has_ended
    }
}
