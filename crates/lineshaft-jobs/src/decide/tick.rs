//! What time brings: jobs that come due, leases, sessions and keys that run out, purges that go on.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::change::{Change, RunAt};
use crate::command::{Entry, Now};
use crate::state::{State, Timer};

impl State {
    /// Changes that are due at `now`, at most one bulk step of each kind. Call again while [`State::is_due`].
    ///
    /// The entries must be applied: the timers behind them are gone.
    pub fn tick(&mut self, now: Now) -> Vec<Entry> {
        let mut slots = self.wall_due(now);
        let overdue = self.overdue(now);
        let mut entries = self.logical_due(now, &mut slots);
        let has_ends = !entries.is_empty() || !overdue.is_empty();
        slots.retain(|slot| !self.is_being_purged(*slot) && !overdue.contains(slot));
        slots.sort_unstable_by_key(|slot| (self.run_at(*slot), self.slots.at(*slot).order));
        if !slots.is_empty() {
            entries.push(Change::Readied { slots }.into());
        }
        entries.extend(self.give_up(overdue));
        entries.extend(self.expired_keys(now));
        entries.extend(self.ended_periods(now));
        entries.extend(self.ended_entries(now));
        // A job whose lease is lost above, or that is overdue, may be one that the purge has to come to: it looks again next
        // time. An overdue one must not be left to it, since it may be leased before the purge comes to it.
        if !has_ends {
            entries.extend(self.purge_step());
        }
        self.with_handlers(entries, now)
    }

    /// Whether [`State::tick`] has more to do at `now`.
    pub fn is_due(&self, now: Now) -> bool {
        let (wall, logical) = self.next_due();
        wall.is_some_and(|at| at <= now.wall_ms) || logical.is_some_and(|at| at <= now.logical_ms)
    }

    /// When [`State::tick`] has something to do next: on the wall clock, on the logical clock. 0 is at once.
    pub fn next_due(&self) -> (Option<u64>, Option<u64>) {
        if !self.purging.is_empty() {
            return (None, Some(0));
        }
        let keys = self.keys_by_age.iter().next().map(|key| key.expires_ms);
        let logical = self.logical_timers.next_at().into_iter().chain(keys).min();
        let wall = self.wall_timers.next_at().into_iter().chain(self.limit_timers.next_at()).min();
        let wall = wall.map(|at| at.saturating_sub(self.wall_set_back_ms));
        let period = self.periods_by_end.first().map(|(until_ms, _)| *until_ms);
        (wall.into_iter().chain(period).chain(self.cache.next_end_ms()).min(), logical)
    }

    /// Whether there may be jobs in line that must not begin any more, because there were too many for one step: until
    /// they were looked at, nothing is leased.
    pub fn has_overdue(&self) -> bool {
        self.limit_timers.next_at().is_some_and(|at| at <= self.limits_asked_ms)
    }

    /// Jobs whose wall time has come.
    fn wall_due(&mut self, now: Now) -> Vec<u32> {
        self.note_set_back(now.wall_ms);
        let mut slots = Vec::new();
        self.wall_timers.expired(now.wall_ms + self.wall_set_back_ms, self.limits.step, &mut slots);
        // The clock was set back after some of these timers were set, so they came out early: once more.
        let (due, early) =
            slots.into_iter().partition(|slot| self.run_at(*slot) <= Some(RunAt::Wall(now.wall_ms)));
        for slot in early {
            self.start_timer(slot, self.run_at(slot).expect("a job with a timer waits for a time"));
        }
        due
    }

    /// Jobs that did not begin or end in time.
    fn overdue(&mut self, now: Now) -> FxHashSet<u32> {
        let mut slots = Vec::new();
        self.limits_asked_ms = now.wall_ms + self.wall_set_back_ms;
        self.limit_timers.expired(self.limits_asked_ms, self.limits.step, &mut slots);
        let limit = |slot: &u32| self.slots.job(*slot).limit().map_or(u64::MAX, |(at, _)| at);
        let (due, early): (Vec<u32>, Vec<u32>) =
            slots.into_iter().partition(|slot| limit(slot) <= now.wall_ms);
        early.into_iter().for_each(|slot| self.set_limit(slot));
        due.into_iter().collect()
    }

    /// Discards jobs that are overdue, those that were due first before the others.
    fn give_up(&self, overdue: FxHashSet<u32>) -> Vec<Entry> {
        let mut due: Vec<_> = overdue
            .into_iter()
            .filter_map(|slot| {
                let (at, reason) = self.slots.job(slot).limit()?;
                Some((reason, at, self.slots.at(slot).order, slot))
            })
            .collect();
        due.sort_unstable();
        let same_reason = due.chunk_by(|one, next| one.0 == next.0);
        let discarded = |jobs: &[(&str, u64, u64, u32)]| Change::Discarded {
            slots: jobs.iter().map(|job| job.3).collect(),
            reason: jobs[0].0.into(),
        };
        same_reason.map(|jobs| discarded(jobs).into()).collect()
    }

    /// The wall clock is here: if that is before the wheels' present, it was set back.
    pub(crate) fn note_set_back(&mut self, wall_ms: u64) {
        let present_ms = self.wall_timers.present_ms().max(self.limit_timers.present_ms());
        let set_back_ms = present_ms.saturating_sub(wall_ms);
        self.wall_set_back_ms = self.wall_set_back_ms.max(set_back_ms);
    }

    fn run_at(&self, slot: u32) -> Option<RunAt> {
        self.slots.job(slot).times.run_at()
    }

    /// What the logical clock brings; the slots of jobs whose time has come are appended to `slots`.
    fn logical_due(&mut self, now: Now, slots: &mut Vec<u32>) -> Vec<Entry> {
        let mut due = Vec::new();
        self.logical_timers.expired(now.logical_ms, self.limits.step, &mut due);
        due.sort_unstable();
        let mut entries = Vec::new();
        for timer in due {
            match timer {
                Timer::Slot(slot) => slots.push(slot),
                // Enough for one commit: the others are due again at once.
                _ if entries.len() >= self.limits.step => {
                    _ = self.logical_timers.insert(now.logical_ms, timer);
                }
                Timer::Child(child) => self.child_due(child, now, &mut entries),
                Timer::Session(session) => self.session_due(session, now, &mut entries),
                Timer::Lock(fence) => self.lock_due(fence, now, &mut entries),
            }
        }
        entries
    }

    /// Whether the purge of its queue will come to a waiting job, so that it must not become available any more.
    fn is_being_purged(&self, slot: u32) -> bool {
        let entry = self.slots.at(slot);
        let before = self.queues.get(&entry.queue).and_then(|queue| queue.purge_before);
        before.is_some_and(|before| entry.order <= before)
    }

    fn child_due(&mut self, child: u32, now: Now, entries: &mut Vec<Entry>) {
        let Some(entry) = self.children.get(&child) else { return };
        if entry.lease_ends > now.logical_ms {
            self.logical_timers.insert(entry.lease_ends, Timer::Child(child));
            return;
        }
        entries.extend(self.lose_leases(child, now, "its lease ended: the worker did not renew it in time"));
        if self.fall_silent(child, now.logical_ms) {
            self.logical_timers.insert(now.logical_ms + self.limits.lease_ms, Timer::Child(child));
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
        let expired =
            self.keys_by_age.iter().take(self.limits.step).take_while(|key| key.expires_ms <= now.logical_ms);
        let keys: Vec<Arc<str>> = expired.map(|key| Arc::clone(&key.text)).collect();
        (!keys.is_empty()).then(|| Change::KeysExpired { keys }.into())
    }

    fn ended_periods(&self, now: Now) -> Option<Entry> {
        let ended = self.periods_by_end.iter().take(self.limits.step);
        let ended = ended.take_while(|(until_ms, _)| *until_ms <= now.wall_ms);
        let keys: Vec<Arc<str>> = ended.map(|(_, key)| Arc::clone(key)).collect();
        (!keys.is_empty()).then(|| Change::PeriodsEnded { keys }.into())
    }

    fn purge_step(&self) -> Option<Entry> {
        let queue = *self.purging.first()?;
        let before = self.queues[&queue].purge_before?;
        let slots = self.purgeable_slots(queue, before);
        if slots.is_empty() {
            return Some(Change::PurgeEnded { queue }.into());
        }
        Some(Change::Cancelled { slots, reason: "purged".into() }.into())
    }

    /// The next jobs of a purge. Every list is in order, so the look at each ends with the first job that came later.
    fn purgeable_slots(&self, queue: u32, before: u64) -> Vec<u32> {
        let lanes = self.queues[&queue].lanes.values().map(|lane| self.lanes.at(*lane));
        let came_before = |slot: &u32| self.slots.at(*slot).order <= before;
        let jobs = lanes.flat_map(|lane| {
            let available =
                lane.available.iter().flat_map(|line| line.iter(&self.slots).take_while(came_before));
            available.chain(lane.waiting.iter(&self.slots).take_while(came_before))
        });
        let parked = self.parked.range(..=before).map(|(_, slot)| *slot);
        jobs.chain(parked.filter(|slot| self.slots.at(*slot).queue == queue)).take(self.limits.step).collect()
    }
}
