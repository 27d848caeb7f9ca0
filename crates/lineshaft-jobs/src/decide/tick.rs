//! What time brings: jobs that come due, leases, sessions and keys that run out, purges that go on.

use std::sync::Arc;

use crate::change::{Change, RunAt};
use crate::command::{Entry, Now};
use crate::slot::SlotState;
use crate::state::{State, Timer};

/// Jobs touched by one bulk step, so that no commit grows without bound.
const STEP: usize = 4096;

impl State {
    /// Changes that are due at `now`, at most one bulk step of each kind. Call again while [`State::is_due`].
    ///
    /// The entries must be applied: the timers behind them are gone.
    pub fn tick(&mut self, now: Now) -> Vec<Entry> {
        let mut slots = self.due_slots(now);
        let mut entries = Vec::new();
        self.logical_due(now, &mut slots, &mut entries);
        slots.retain(|slot| self.is_waiting_until(*slot, now));
        if !slots.is_empty() {
            entries.push(Change::Promoted { slots }.into());
        }
        entries.extend(self.expired_keys(now));
        entries.extend(self.purge_step());
        entries
    }

    /// Whether [`State::tick`] has more to do at `now`.
    pub fn is_due(&self, now: Now) -> bool {
        let (wall, logical) = self.next_due();
        wall.is_some_and(|at| at <= now.wall_ms) || logical.is_some_and(|at| at <= now.logical_ms)
    }

    /// When [`State::tick`] has something to do next: on the wall clock, on the logical clock. 0 is at once.
    pub fn next_due(&self) -> (Option<u64>, Option<u64>) {
        if self.queues.values().any(|queue| queue.purge_before.is_some()) {
            return (None, Some(0));
        }
        let keys = self.keys_by_age.front().map(|(expires, _)| *expires);
        let logical = self.logical_timers.next_at().into_iter().chain(keys).min();
        (self.wall_timers.next_at(), logical)
    }

    fn due_slots(&mut self, now: Now) -> Vec<u32> {
        let mut slots = Vec::new();
        self.wall_timers.expired(now.wall_ms, STEP, &mut slots);
        slots
    }

    fn logical_due(&mut self, now: Now, slots: &mut Vec<u32>, entries: &mut Vec<Entry>) {
        let mut due = Vec::new();
        self.logical_timers.expired(now.logical_ms, STEP, &mut due);
        for timer in due {
            match timer {
                Timer::Slot(slot) => slots.push(slot),
                Timer::Child(child) => self.child_due(child, now, entries),
                Timer::Session(session) => self.session_due(session, now, entries),
            }
        }
    }

    /// A timer may outlive its reason, so the job is asked.
    fn is_waiting_until(&self, slot: u32, now: Now) -> bool {
        let entry = self.slots.at(slot);
        let run_at = entry.extra.as_ref().and_then(|extra| extra.run_at);
        let due = match run_at {
            Some(RunAt::Wall(at)) => at <= now.wall_ms,
            Some(RunAt::Logical(at)) => at <= now.logical_ms,
            None => false,
        };
        due && entry.state != SlotState::Free
    }

    fn child_due(&mut self, child: u32, now: Now, entries: &mut Vec<Entry>) {
        let Some(entry) = self.children.get(&child) else { return };
        if entry.lease_ends > now.logical_ms {
            self.logical_timers.insert(entry.lease_ends, Timer::Child(child));
            return;
        }
        entries.extend(self.lose_leases(child, now, "its lease ended: the worker did not renew it in time"));
        if self.connected.contains_key(&child) {
            let next = now.logical_ms + self.limits.lease_ms;
            self.logical_timers.insert(next, Timer::Child(child));
        } else {
            entries.push(Change::ChildGone { child }.into());
        }
    }

    fn session_due(&mut self, session: u64, now: Now, entries: &mut Vec<Entry>) {
        let Some(entry) = self.sessions.get(&session) else { return };
        let ends = entry.used_ms + self.limits.session_ms;
        if ends > now.logical_ms {
            self.logical_timers.insert(ends, Timer::Session(session));
        } else {
            entries.push(Change::SessionClosed { session }.into());
        }
    }

    /// A session's client is there, though it asks for nothing.
    pub fn touch_session(&mut self, session: u64, logical_ms: u64) {
        if let Some(entry) = self.sessions.get_mut(&session) {
            entry.used_ms = logical_ms;
        }
    }

    fn expired_keys(&self, now: Now) -> Option<Entry> {
        let expired = self.keys_by_age.iter().take(STEP).take_while(|(expires, _)| *expires <= now.logical_ms);
        let keys: Vec<Arc<str>> = expired.map(|(_, key)| Arc::clone(key)).collect();
        (!keys.is_empty()).then(|| Change::KeysExpired { keys }.into())
    }

    fn purge_step(&self) -> Option<Entry> {
        let mut purging: Vec<_> = self.queues.iter().filter_map(|(queue, entry)| Some((*queue, entry.purge_before?))).collect();
        purging.sort_unstable();
        let (queue, before) = *purging.first()?;
        let slots = self.purgeable_slots(queue, before);
        if slots.is_empty() {
            return Some(Change::PurgeEnded { queue }.into());
        }
        Some(Change::Cancelled { slots, reason: "purged".into() }.into())
    }

    /// The next jobs of a purge. Every list is in order, so the look at each ends with the first job that came later.
    fn purgeable_slots(&self, queue: u32, before: u64) -> Vec<u32> {
        let lanes = self.queues[&queue].lanes.iter().map(|lane| self.lanes.at(*lane));
        let lists = lanes.flat_map(|lane| lane.available.iter().chain([&lane.waiting]));
        let jobs = lists.flat_map(|list| {
            list.iter(&self.slots).take_while(|slot| self.slots.at(*slot).order <= before)
        });
        jobs.take(STEP).collect()
    }
}
