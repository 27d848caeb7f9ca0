//! Leases and their ends.

use std::sync::Arc;

use lineshaft_wire::message::{Unique, UniqueWhile};
use lineshaft_wire::{Fence, JobState, Outcome};

use super::Cursor;
use crate::account::Account;
use crate::change::{Lease, Next, Place, RunAt, Success};
use crate::command::Event;
use crate::extra::Attempt;
use crate::list::{List, NIL};
use crate::state::State;
use crate::statistics::Ended;

/// Attempts kept of one job: the newest.
const HISTORY_MAX: usize = 32;

impl State {
    pub(super) fn lease(&mut self, child: u32, slots: &[u32]) {
        let counter = self.fence_counter + 1;
        for &index in slots {
            self.unlink(index);
            self.clear_limit(index);
            self.fence_counter += 1;
            let fence = Fence { epoch: self.epoch, counter: self.fence_counter };
            self.leases.insert(index, Lease { fence, child, leased_ms: self.wall_ms });
            self.set_state(index, JobState::Running);
            self.child_mut(child).push_back(index);
            if self.unique_while(index) == Some(UniqueWhile::Queued) {
                self.drop_unique(index);
            }
        }
        if let Some(lane) = slots.first().map(|slot| self.lane_of(*slot)) {
            self.lanes.refresh(lane, &self.slots);
        }
        self.events.push(Event::Leased { child, slots: slots.to_vec(), counter });
    }

    pub(super) fn release(&mut self, index: u32) {
        self.end_lease(index);
        self.make_available(index);
        self.regain_unique(index);
    }

    /// A job handed back before its body was called waits for a while, and says why.
    pub(super) fn put_off(&mut self, index: u32, until_ms: u64, reason: &Arc<str>) {
        self.end_lease(index);
        self.unpark(index);
        self.slots.extra_mut(index).reason = Some(Arc::clone(reason));
        self.wait(index, JobState::Scheduled, RunAt::Logical(until_ms));
        self.regain_unique(index);
    }

    /// A job handed back before it ever ran keeps its equals out again, unless one of them came in meanwhile.
    pub(super) fn regain_unique(&mut self, index: u32) {
        let Some(extra) = self.slots.extra(index).filter(|extra| extra.history.is_empty()) else { return };
        let Some(Unique { key, .. }) = &extra.unique else { return };
        if *self.unique.entry(Arc::clone(key)).or_insert(index) != index {
            self.slots.extra_mut(index).unique = None;
        }
    }

    pub(super) fn succeed(&mut self, end: &Success, cursor: &mut Cursor) {
        let (result, output) = (cursor.take(end.result), cursor.take(end.output));
        let times = (end.started_ms, end.started_ms + end.took_ms);
        self.end_attempt(end.slot, Outcome::Succeeded, times, Place::EMPTY, output);
        self.keep(result);
        self.drop_checkpoint(end.slot);
        self.slots.extra_mut(end.slot).result = result;
        self.finish(end.slot, JobState::Completed, None);
    }

    pub(super) fn end_attempt(
        &mut self,
        index: u32,
        outcome: Outcome,
        times: (u64, u64),
        error: Place,
        output: Place,
    ) {
        let lease = self.end_lease(index);
        self.unpark(index);
        let worker = self.children.get(&lease.child).map(|child| Arc::clone(&child.name)).unwrap_or_default();
        self.keep(error);
        self.keep(output);
        let number = self.slots.job(index).attempts() + 1;
        let (fence, (started_ms, finished_ms)) = (lease.fence, times);
        let extra = self.slots.extra_mut(index);
        // Why it was put off before.
        extra.reason = None;
        let history = &mut extra.history;
        // Most jobs have one attempt, and a vector's own first step would make room for four.
        history.reserve_exact(1);
        let account = None;
        history.push(Attempt {
            number,
            fence,
            outcome,
            worker,
            started_ms,
            finished_ms,
            error,
            output,
            account,
        });
        if history.len() > HISTORY_MAX {
            let oldest = history.remove(0);
            self.unkeep(oldest.error);
            self.unkeep(oldest.output);
        }
    }

    /// What the newest attempt of a job took, which has just ended.
    pub(super) fn measured(&mut self, index: u32, account: &Account) {
        let (task, bytes_in) = (self.slots.at(index).task, self.slots.at(index).arguments.length);
        let extra = self.slots.extra_mut(index);
        let result = extra.result.length;
        let Some(attempt) = extra.history.last_mut() else { return };
        attempt.account = Some(account.clone());
        let Attempt { outcome, finished_ms, output, .. } = *attempt;
        let result = if outcome == Outcome::Succeeded { result } else { 0 };
        let ended = Ended {
            outcome,
            finished_ms,
            waited_ms: account.waited_ms,
            measures: account.measures(),
            bytes_in: u64::from(bytes_in),
            bytes_out: u64::from(result) + u64::from(output.length),
        };
        self.statistics.count(self.names.at(task), &ended);
    }

    pub(super) fn go_on(&mut self, index: u32, outcome: Outcome, next: &Next) {
        let slot = self.slots.at_mut(index);
        match outcome {
            Outcome::Errored | Outcome::TimedOut => slot.failures = slot.failures.saturating_add(1),
            Outcome::Crashed => slot.crashes = slot.crashes.saturating_add(1),
            _ => {}
        }
        match next {
            Next::Available => self.make_available(index),
            Next::Retry(at) => self.wait(index, JobState::Retryable, RunAt::Logical(*at)),
            Next::Snooze(at) => self.wait(index, JobState::Scheduled, RunAt::Logical(*at)),
            Next::Cancel(reason) => self.finish(index, JobState::Cancelled, Some(reason)),
            Next::Discard(reason) => self.finish(index, JobState::Discarded, Some(reason)),
        }
    }

    /// Takes the lease away; the slot is in no list afterwards.
    pub(super) fn end_lease(&mut self, index: u32) -> Lease {
        let lease = self.leases.remove(&index).expect("only leased jobs end a lease");
        if let Some(child) = self.children.get_mut(&lease.child) {
            child.leases.remove(&mut self.slots, index);
        }
        lease
    }

    pub(super) fn mark_cancel(&mut self, index: u32) {
        self.slots.at_mut(index).set_cancelling(true);
        let lease = self.leases[&index];
        self.events.push(Event::Stop { child: lease.child, fence: lease.fence });
    }

    fn child_mut(&mut self, child: u32) -> ChildLeases<'_> {
        let leases = &mut self.children.get_mut(&child).expect("leases go to known children").leases;
        ChildLeases { leases, slots: &mut self.slots }
    }
}

struct ChildLeases<'a> {
    leases: &'a mut List,
    slots: &'a mut crate::slots::Slots,
}

impl ChildLeases<'_> {
    fn push_back(&mut self, index: u32) {
        debug_assert_eq!(self.slots.links(index).next, NIL, "a leased slot comes from no list");
        self.leases.push_back(self.slots, index);
    }
}
