//! Who waits for which job, and what they are told when it ends.

use std::collections::BTreeMap;

use lineshaft_jobs::{EndView, Place, State};
use lineshaft_wire::message::EndedJob;
use lineshaft_wire::{JobId, JobState, Outcome};
use rustc_hash::FxHashMap;

use crate::handle::ConnectionId;

type Key = (ConnectionId, u64);

/// Waits that are not answered in full, by job and by request.
#[derive(Default)]
pub(crate) struct Waits {
    by_slot: FxHashMap<u32, Vec<Key>>,
    open: BTreeMap<Key, Wait>,
    drafts: BTreeMap<Key, Draft>,
}

struct Wait {
    /// Jobs not answered yet.
    remaining: usize,
    results: bool,
    /// Where it stands in `by_slot`, answered ones included.
    slots: Vec<u32>,
}

/// Part of an answer: what one commit has to tell one wait. Errors and outputs are still in the journal.
#[derive(Default)]
pub struct Draft {
    /// Jobs with a result: where it lies, or `None` if it is not kept.
    pub(crate) completed: Vec<(JobId, Option<Place>)>,
    pub(crate) failed: Vec<Failed>,
    pub(crate) missing: Vec<JobId>,
    pub(crate) results: bool,
    pub(crate) last: bool,
}

/// A job that ended without a result, and where its last attempt's error and output lie.
pub(crate) struct Failed {
    pub(crate) job: EndedJob,
    pub(crate) error: Place,
    pub(crate) output: Place,
}

impl Waits {
    /// Begins a wait for `jobs` jobs.
    pub(crate) fn open(&mut self, connection: ConnectionId, request_id: u64, jobs: usize, results: bool) {
        self.open.insert((connection, request_id), Wait { remaining: jobs, results, slots: Vec::new() });
        if jobs == 0 {
            self.answered(connection, request_id, 0);
        }
    }

    /// The wait waits for the job in `slot`, which is not finished.
    pub(crate) fn add(&mut self, connection: ConnectionId, request_id: u64, slot: u32) {
        let key = (connection, request_id);
        let Some(wait) = self.open.get_mut(&key) else { return };
        wait.slots.push(slot);
        self.by_slot.entry(slot).or_default().push(key);
    }

    /// A job finished: everyone who waits for it is told with the next commit.
    pub(crate) fn finished(&mut self, state: &State, slot: u32) {
        for key in self.by_slot.remove(&slot).unwrap_or_default() {
            self.tell(key, state, slot);
        }
    }

    /// Tells a wait of a finished job.
    pub(crate) fn tell(&mut self, key: Key, state: &State, slot: u32) {
        let Some(wait) = self.open.get(&key) else { return };
        let draft = self.drafts.entry(key).or_default();
        draft.results = wait.results;
        draft.add(&state.end_view(slot), state.clock().0);
        self.answered(key.0, key.1, 1);
    }

    /// `jobs` jobs of a wait were answered; the last one ends it.
    pub(crate) fn answered(&mut self, connection: ConnectionId, request_id: u64, jobs: usize) {
        let key = (connection, request_id);
        let Some(wait) = self.open.get_mut(&key) else { return };
        wait.remaining = wait.remaining.saturating_sub(jobs);
        if wait.remaining == 0 {
            let draft = self.drafts.entry(key).or_default();
            (draft.results, draft.last) = (wait.results, true);
            self.open.remove(&key);
        }
    }

    /// A wait is given up.
    pub(crate) fn close(&mut self, connection: ConnectionId, request_id: u64) {
        let key = (connection, request_id);
        for slot in self.open.remove(&key).into_iter().flat_map(|wait| wait.slots) {
            let Some(keys) = self.by_slot.get_mut(&slot) else { continue };
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_slot.remove(&slot);
            }
        }
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        let keys: Vec<Key> =
            self.open.range((connection, 0)..=(connection, u64::MAX)).map(|(key, _)| *key).collect();
        for key in keys {
            self.close(key.0, key.1);
        }
        self.drafts.retain(|key, _| key.0 != connection);
    }

    pub(crate) fn take_drafts(&mut self) -> impl Iterator<Item = (ConnectionId, u64, Draft)> + use<> {
        std::mem::take(&mut self.drafts)
            .into_iter()
            .map(|((connection, request), draft)| (connection, request, draft))
    }
}

impl Draft {
    fn add(&mut self, end: &EndView<'_>, now_ms: u64) {
        if end.state == JobState::Completed {
            let expired = now_ms >= end.finalized_ms.saturating_add(end.rules.result_ttl_ms);
            let kept = end.rules.keep_result && !expired;
            self.completed.push((end.job, kept.then_some(end.result)));
        } else {
            self.failed.push(failed(end));
        }
    }
}

fn failed(end: &EndView<'_>) -> Failed {
    let job = EndedJob {
        id: end.job,
        task: end.task.clone(),
        state: end.state,
        reason: end.reason.cloned(),
        attempt: end.last.map_or(0, |last| last.0),
        outcome: end.last.map(|last| last.1),
        error: None,
        output: Vec::new(),
    };
    let places = end.last.map(|last| last.2);
    let shows_output = matches!(job.outcome, Some(Outcome::Crashed | Outcome::TimedOut | Outcome::Lost));
    Failed {
        job,
        error: places.map_or(Place::EMPTY, |places| places.error),
        output: places.filter(|_| shows_output).map_or(Place::EMPTY, |places| places.output),
    }
}
