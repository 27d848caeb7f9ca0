//! A job's place in memory: 64 bytes, and a box of rarer things for the jobs that need them.
//!
//! Slots stand in pages, and a page holds all that is durable of its slots: a snapshot writes the pages that changed.
//! What follows from the slots and changes without them, their links in lists, stands beside the pages.

use std::sync::Arc;

use lineshaft_structures::{PagedVec, TimerId, TrackedVec};
use lineshaft_wire::message::{Rules, Unique};
use lineshaft_wire::{Fence, JobId, JobState, Outcome};
use serde::{Deserialize, Serialize};

use crate::change::{Place, RunAt};
use crate::list::NIL;

/// One job, or a free place that remembers its generation.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) created_ms: u64,
    /// Place in line: lower goes first among jobs of one priority. For a finished job its finish number, for a free
    /// place how many jobs were archived when it became free: the lowest is used next.
    pub(crate) order: u64,
    pub(crate) arguments: Place,
    pub(crate) generation: u32,
    pub(crate) task: u32,
    pub(crate) queue: u32,
    pub(crate) rules: u32,
    /// Attempts that errored or timed out.
    pub(crate) failures: u16,
    pub(crate) crashes: u8,
    pub(crate) priority: u8,
    pub(crate) state: SlotState,
    pub(crate) cancelling: bool,
    pub(crate) extra: Option<Box<Extra>>,
}

/// Reason of a job that was not begun in time.
pub(crate) const EXPIRED: &str = "expired";
/// Reason of a job that did not end in time.
pub(crate) const DEADLINE: &str = "deadline";

/// A job's state, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotState {
    Free,
    Job(JobState),
}

/// What most queued jobs do without.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Extra {
    pub(crate) run_at: Option<RunAt>,
    #[serde(skip)]
    pub(crate) timer: Option<TimerId>,
    /// When it must have begun, and when it must have ended, Unix milliseconds.
    pub(crate) expires_ms: Option<u64>,
    pub(crate) deadline_ms: Option<u64>,
    #[serde(skip)]
    pub(crate) limit_timer: Option<TimerId>,
    pub(crate) parked: Option<Box<Parked>>,
    pub(crate) tags: Box<[u32]>,
    pub(crate) metadata: Option<Arc<str>>,
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
}

impl Extra {
    pub(crate) fn failure_mut(&mut self) -> &mut Failure {
        self.failure.get_or_insert_default()
    }
}

impl Slot {
    pub(crate) fn free(generation: u32) -> Self {
        Self {
            created_ms: 0,
            order: 0,
            arguments: Place::EMPTY,
            generation,
            task: 0,
            queue: 0,
            rules: 0,
            failures: 0,
            crashes: 0,
            priority: 0,
            state: SlotState::Free,
            cancelling: false,
            extra: None,
        }
    }

    pub(crate) fn job_state(&self) -> JobState {
        match self.state {
            SlotState::Job(state) => state,
            SlotState::Free => unreachable!("a free slot has no state"),
        }
    }

    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.extra.as_ref()?.failure.as_deref().copied()
    }

    /// Number of the newest attempt that ended, 0 if none did.
    pub(crate) fn attempts(&self) -> u32 {
        self.last_attempt().map_or(0, |attempt| attempt.number)
    }

    pub(crate) fn last_attempt(&self) -> Option<&Attempt> {
        self.extra.as_ref()?.history.last()
    }

    /// When the job is discarded unless it runs or has ended by then, Unix milliseconds, and why.
    pub(crate) fn limit(&self) -> Option<(u64, &'static str)> {
        let extra = self.extra.as_ref()?;
        let expires = extra.expires_ms.filter(|_| extra.history.is_empty()).map(|at| (at, EXPIRED));
        let deadline = extra.deadline_ms.map(|at| (at, DEADLINE));
        expires.into_iter().chain(deadline).min_by_key(|(at, _)| *at)
    }

    /// Why the job is out of its lane, if it is.
    pub(crate) fn parked(&self) -> Option<&Parked> {
        let is_available = self.state == SlotState::Job(JobState::Available);
        self.extra.as_ref()?.parked.as_deref().filter(|_| is_available)
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        self.extra.as_ref()?.checkpoint.as_deref().copied()
    }

    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.extra.as_ref()?.deadline_ms
    }

    /// Whether another attempt follows if the next one, or the one that runs, errors or times out.
    pub(crate) fn has_retry(&self, rules: &Rules) -> bool {
        !rules.at_most_once && u32::from(self.failures) + 1 < rules.max_attempts
    }

    /// Every stored payload of the job.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let extra = self.extra.iter().flat_map(|extra| {
            let attempts = extra.history.iter().flat_map(|attempt| [attempt.error, attempt.output]);
            attempts.chain([extra.result])
        });
        let checkpoint = self.checkpoint().map(|checkpoint| checkpoint.value);
        extra.chain([self.arguments]).chain(checkpoint)
    }

    /// The same, to be changed.
    pub(crate) fn places_mut(&mut self) -> Vec<&mut Place> {
        let mut places = vec![&mut self.arguments];
        let Some(extra) = &mut self.extra else { return places };
        places.push(&mut extra.result);
        places.extend(extra.history.iter_mut().flat_map(|it| [&mut it.error, &mut it.output]));
        places.extend(extra.checkpoint.iter_mut().map(|checkpoint| &mut checkpoint.value));
        places
    }
}

/// The neighbours of a slot in the list that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) prev: u32,
    pub(crate) next: u32,
}

impl Links {
    pub(crate) const NONE: Self = Self { prev: NIL, next: NIL };
}

/// All slots by number, in the pages that snapshots write, and their links.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    pub(crate) pages: TrackedVec<Slot>,
    links: PagedVec<Links>,
}

impl Slots {
    pub(crate) fn len(&self) -> u32 {
        self.pages.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.pages.iter()
    }

    pub(crate) fn push(&mut self, slot: Slot) -> u32 {
        self.links.push(Links::NONE);
        self.pages.push(slot)
    }

    /// Appends a page from a snapshot. It must follow full ones.
    pub(crate) fn push_page(&mut self, page: Vec<Slot>) {
        self.links.extend(std::iter::repeat_n(Links::NONE, page.len()));
        self.pages.push_kept_page(page);
    }

    /// The slot with a number that came from the state itself.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> &Slot {
        self.pages.get(index).expect("slot numbers in the state exist")
    }

    /// The same for changing it: the next snapshot writes its page.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> &mut Slot {
        self.pages.get_mut(index).expect("slot numbers in the state exist")
    }

    pub(crate) fn links(&self, index: u32) -> Links {
        self.links[index]
    }

    pub(crate) fn links_mut(&mut self, index: u32) -> &mut Links {
        &mut self.links[index]
    }

    /// The slot of a job, if the job is in memory.
    pub(crate) fn find(&self, job: JobId, shard: u16) -> Option<u32> {
        let (index, generation) = job.slot()?;
        let slot = self.pages.get(index)?;
        let same = slot.state != SlotState::Free
            && slot.generation == generation
            && JobId::direct(slot.created_ms, shard, index, generation) == job;
        same.then_some(index)
    }
}
