//! Who is connected, with what credit, and who gets the next jobs.
//!
//! None of this is durable: a restart begins with nobody connected, and children attach again.

use std::sync::Arc;

use crate::change::Change;
use crate::extra::TRIED_MAX;
use crate::state::State;

/// Jobs leased by one change.
const RUN_MAX: usize = 1024;

/// A connected child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connected {
    credit: u32,
    /// It has not renewed for a lease, so it may be stopped or cut off: its credit counts again when it does.
    is_silent: bool,
    pub(crate) group: u32,
    /// Place in line of the last parked job that it was offered or passed over.
    parked_seen: u64,
}

impl Connected {
    /// Leases that it may be given now.
    fn credit(&self) -> u32 {
        if self.is_silent { 0 } else { self.credit }
    }
}

/// What a connected child can run.
#[derive(Clone, Copy, Debug)]
pub struct Attach<'a> {
    /// The child's number in the engine.
    pub child: u32,
    /// Tasks that it runs.
    pub tasks: &'a [Arc<str>],
    /// Queues that it serves; empty is all.
    pub queues: &'a [Arc<str>],
}

impl State {
    /// A known child is connected; it has no credit yet. One that is gone meanwhile stays so.
    pub fn attach(&mut self, attach: Attach<'_>) {
        self.detach(attach.child);
        if !self.children.contains_key(&attach.child) {
            return;
        }
        let names = &self.names;
        let group =
            self.lanes.join(attach.child, attach.tasks, attach.queues, |number| Arc::clone(names.at(number)));
        self.connected.insert(attach.child, Connected { credit: 0, is_silent: false, group, parked_seen: 0 });
        self.renew(attach.child, self.logical_ms);
    }

    /// A child is no longer connected: it gets no more jobs, and its leases run out.
    pub fn detach(&mut self, child: u32) {
        if let Some(connected) = self.connected.remove(&child) {
            self.lanes.part(child, connected.group);
        }
    }

    /// A connected child may hold `leases` more.
    pub fn grant(&mut self, child: u32, leases: u32, reset: bool) {
        if let Some(connected) = self.connected.get_mut(&child) {
            let before = if reset { 0 } else { connected.credit };
            connected.credit = before.saturating_add(leases).min(lineshaft_wire::message::CREDIT_MAX);
        }
    }

    /// The leases of a child live on, and it may be given others if it was silent.
    pub fn renew(&mut self, child: u32, logical_ms: u64) {
        if let Some(connected) = self.connected.get_mut(&child) {
            connected.is_silent = false;
        }
        self.begin_term(child, logical_ms);
    }

    /// A child did not renew for a lease. If it is connected it gets no more jobs until it does; says whether it is.
    pub(crate) fn fall_silent(&mut self, child: u32, logical_ms: u64) -> bool {
        let Some(connected) = self.connected.get_mut(&child) else { return false };
        connected.is_silent = true;
        self.begin_term(child, logical_ms);
        true
    }

    /// Never shorter than leases would live anyway: a stall may have been credited to them.
    fn begin_term(&mut self, child: u32, logical_ms: u64) {
        if let Some(entry) = self.children.get_mut(&child) {
            entry.lease_ends = entry.lease_ends.max(logical_ms + self.limits.lease_ms);
        }
    }

    /// Every lease lives, and every lock is held, `gap_ms` longer, because the engine itself stood still that long.
    pub fn extend_leases(&mut self, gap_ms: u64) {
        for child in self.children.values_mut() {
            child.lease_ends += gap_ms;
        }
        for holder in self.locks.holders.values_mut() {
            holder.ends_ms += gap_ms;
        }
    }

    /// Leases the next jobs to a child with credit, in turn; `None` when there is no job or no credit, or while jobs
    /// are in line that must not begin any more. At most `most` of them.
    pub fn next_lease(&mut self, most: u32) -> Option<Change> {
        if most == 0 || self.has_overdue() {
            return None;
        }
        if let Some(change) = self.next_parked() {
            return Some(change);
        }
        let (group, child, takers) = self.next_taker()?;
        let ready = self.lanes.group(group);
        debug_assert!(ready.children.contains(&child), "a taker is of its group");
        let credit = self.connected[&child].credit() as usize;
        let share = self.available_in(group).div_ceil(takers).max(1);
        let slots =
            self.lanes.next_run(group, credit.min(share).min(RUN_MAX).min(most as usize), &self.slots);
        if slots.is_empty() {
            return None;
        }
        let connected = self.connected.get_mut(&child).expect("a taker is connected");
        connected.credit -= slots.len() as u32;
        self.lanes.group_mut(group).children.rotate_left(1);
        Some(Change::Leased { child, slots })
    }

    /// Leases a parked job to a child of a worker that was not asked yet. A child looks at each of them once, in the
    /// order in which they were parked.
    fn next_parked(&mut self) -> Option<Change> {
        if self.parked.is_empty() {
            return None;
        }
        let children: Vec<u32> = self.children.keys().copied().collect();
        children.into_iter().find_map(|child| {
            let has_credit = self.connected.get(&child).is_some_and(|connected| connected.credit() > 0);
            let (order, slot) = if has_credit { self.parked_for(child)? } else { return None };
            let connected = self.connected.get_mut(&child)?;
            connected.parked_seen = order;
            connected.credit -= 1;
            Some(Change::Leased { child, slots: vec![slot] })
        })
    }

    /// The next parked job that a connected child may be offered, and its place in line.
    fn parked_for(&mut self, child: u32) -> Option<(u64, u32)> {
        let seen = self.connected.get(&child)?.parked_seen;
        let mut unseen = self.parked.range(seen + 1..);
        let found =
            unseen.find(|(_, slot)| self.may_offer(child, **slot)).map(|(order, slot)| (*order, *slot));
        if found.is_none() {
            let last = self.parked.keys().next_back().copied().unwrap_or(0);
            self.connected.get_mut(&child)?.parked_seen = seen.max(last);
        }
        found
    }

    /// Whether a connected child can run the task of a parked job, and its worker was not asked yet.
    fn may_offer(&self, child: u32, slot: u32) -> bool {
        let entry = self.slots.job(slot);
        let Some(parked) = entry.parked() else { return false };
        let worker = self.children.get(&child).map(|child| child.worker);
        let is_paused = self.queues.get(&entry.queue).is_some_and(|queue| queue.paused);
        let is_new = worker.is_some_and(|worker| !parked.tried.contains(&worker));
        is_new && !is_paused && parked.tried.len() < TRIED_MAX && self.task_position(child, slot).is_some()
    }

    /// Whether some connected child may be offered a parked job.
    pub(crate) fn is_offered(&self, slot: u32) -> bool {
        self.connected.keys().any(|child| self.may_offer(*child, slot))
    }

    /// Parked jobs from this place in line on may be offered to children that passed them over.
    pub(crate) fn offer_parked_from(&mut self, order: u64) {
        let before = order.saturating_sub(1);
        self.connected.values_mut().for_each(|it| it.parked_seen = it.parked_seen.min(before));
    }

    /// A group with a job ready, its next child with credit, and how many children of it have credit.
    fn next_taker(&mut self) -> Option<(u32, u32, usize)> {
        let connected = &self.connected;
        let has_credit = |child: &&u32| connected.get(*child).is_some_and(|entry| entry.credit() > 0);
        let (group, position, takers) = self.lanes.ready_groups().find_map(|(number, group)| {
            let position = group.children.iter().position(|child| has_credit(&child))?;
            Some((number, position, group.children.iter().filter(has_credit).count()))
        })?;
        let children = &mut self.lanes.group_mut(group).children;
        children.rotate_left(position);
        Some((group, children[0], takers))
    }

    /// Jobs available in the first lane of a group, which is where the next run comes from.
    fn available_in(&self, group: u32) -> usize {
        let first = self.lanes.first_lane(group);
        first.map_or(0, |lane| self.lanes.at(lane).available_count() as usize)
    }

    /// Position of the task of `slot` in the list that `child` attached with.
    pub fn task_position(&self, child: u32, slot: u32) -> Option<u32> {
        let group = self.connected.get(&child)?.group;
        let lane = self.lanes.at(self.lane_of(slot));
        lane.groups.iter().find(|(number, _)| *number == group).map(|(_, position)| *position)
    }

    /// Tasks with jobs available that no connected child runs.
    pub fn unknown_tasks(&self) -> Vec<Arc<str>> {
        let unknown = self.lanes.iter().filter(|lane| lane.groups.is_empty() && lane.available_count() > 0);
        let mut tasks: Vec<_> = unknown.map(|lane| Arc::clone(self.names.at(lane.task))).collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }
}
