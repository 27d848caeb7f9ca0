//! Jobs that gave up, and the jobs that handle it.
//!
//! A handler takes the place of the job that gave up: the caps of the tables do not stop it, and yet the number of jobs
//! that are not finished never grows by it.

use std::sync::Arc;

use lineshaft_wire::message::OnFailure;
use lineshaft_wire::task;
use lineshaft_wire::value::encode_failure_call;

use crate::change::{Change, NewJobs, Next, Stored};
use crate::command::{Entry, Now};
use crate::notes::Notes;
use crate::state::State;

impl State {
    /// The entries, and after them the handlers of the jobs that give up by them: what ends a job goes into one commit
    /// with what handles it.
    pub(super) fn with_handlers(&self, mut entries: Vec<Entry>, now: Now) -> Vec<Entry> {
        let failed = entries.iter().flat_map(|entry| discarded(&entry.change));
        let failed: Vec<u32> = failed.copied().filter(|slot| self.handler(*slot).is_some()).collect();
        let rules = |slot: &u32| self.slots.at(*slot).rules;
        let spawned = failed.chunk_by(|one, next| rules(one) == rules(next));
        entries.extend(spawned.filter_map(|slots| Some(self.spawned(self.handler(slots[0])?, slots, now))));
        entries
    }

    fn handler(&self, slot: u32) -> Option<&Arc<OnFailure>> {
        self.rules.at(self.slots.at(slot).rules).on_failure.as_ref()
    }

    fn spawned(&self, handler: &OnFailure, failed: &[u32], now: Now) -> Entry {
        let calls = failed.iter().map(|slot| encode_failure_call(self.job_id(*slot), handler.version).into());
        let payload: Vec<bytes::Bytes> = calls.collect();
        let jobs = NewJobs {
            task: self.name(&task::versioned(&handler.task, handler.version)),
            queue: self.name(&handler.queue),
            rules: self.rules_ref(&handler.rules),
            priority: handler.priority,
            run_at: None,
            expires_ms: handler.expires_ms.map(|delay| now.wall_ms.saturating_add(delay)),
            deadline_ms: handler.deadline_ms.map(|delay| now.wall_ms.saturating_add(delay)),
            unique: None,
            idempotency_key: None,
            tags: handler.tags.iter().map(|tag| self.name(tag)).collect(),
            notes: Notes::None,
            retry_of: None,
            arguments: payload.iter().map(|call| Stored::Inline(call.len() as u32)).collect(),
        };
        Entry { change: Change::Spawned { jobs, failed: failed.to_vec() }, payload }
    }
}

/// Slots of the jobs that give up by a change.
fn discarded(change: &Change) -> &[u32] {
    match change {
        Change::Ended { slot, next: Next::Discard(_), .. } => std::slice::from_ref(slot),
        Change::Discarded { slots, .. } => slots,
        _ => &[],
    }
}
