//! What each change does. Nothing here decides: `apply` runs again on every replay, so it follows from the change and
//! the state alone.

use std::sync::Arc;

use lineshaft_wire::message::{Changed, Enqueued, Unique, UniqueWhile};
use lineshaft_wire::{Fence, JobId, JobState, Outcome};

use crate::change::{Change, Lease, Name, NewJobs, Next, Place, Request, RulesRef, RunAt, Stored, Success};
use crate::command::Event;
use crate::list::{List, NIL};
use crate::slot::{Attempt, Extra, Slot, SlotState};
use crate::state::{Answer, Child, KEPT_SHIFT, Queue, Session, State, Timer};

/// Attempts kept of one job: the newest.
const HISTORY_MAX: usize = 32;

/// Where the payloads of a change lie, handed out one after the other.
struct Cursor {
    lsn: u64,
    offset: u32,
}

impl Cursor {
    fn take(&mut self, stored: Stored) -> Place {
        match stored {
            Stored::Inline(0) => Place::EMPTY,
            Stored::Inline(length) => {
                let place = Place { lsn: self.lsn, offset: self.offset, length };
                self.offset += length;
                place
            }
            Stored::Blob { id, length } => Place { lsn: id, offset: Place::BLOB, length },
        }
    }
}

impl State {
    /// Makes `change`, which stands in commit `lsn` and whose payloads begin at `offset` of its body.
    pub fn apply(&mut self, change: &Change, lsn: u64, offset: u32) {
        let mut cursor = Cursor { lsn, offset };
        match change {
            Change::Clock { wall_ms, logical_ms } => {
                (self.wall_ms, self.logical_ms) = (*wall_ms, *logical_ms);
                self.note_set_back(*wall_ms);
            }
            Change::Started { epoch, .. } => self.start(*epoch),
            Change::SessionOpened => self.open_session(),
            Change::SessionClosed { session } => drop(self.sessions.remove(session)),
            Change::Enqueued { request, groups, existing } => {
                self.enqueue(*request, groups, existing, &mut cursor);
            }
            Change::Answered { request, state, cancelling, jobs } => {
                let state = state.and_then(|state| JobState::ALL.get(usize::from(state)).copied());
                self.remember(
                    *request,
                    Answer::Changed(Changed { state, cancelling: *cancelling, jobs: *jobs }),
                );
            }
            Change::ChildAttached { child, worker, name, number, process } => {
                let lease_ends = self.logical_ms + self.limits.lease_ms;
                let (name, leases) = (Arc::clone(name), List::default());
                let entry =
                    Child { worker: *worker, name, number: *number, process: *process, leases, lease_ends };
                self.children.insert(*child, entry);
                self.next_child = self.next_child.max(child + 1);
                self.logical_timers.insert(lease_ends, Timer::Child(*child));
            }
            Change::ChildGone { child } => {
                self.detach(*child);
                self.children.remove(child);
            }
            Change::Leased { child, slots } => self.lease(*child, slots),
            Change::Released { slots } => slots.iter().rev().for_each(|slot| self.release(*slot)),
            Change::Succeeded { ends } => ends.iter().for_each(|end| self.succeed(end, &mut cursor)),
            Change::Ended { slot, outcome, started_ms, finished_ms, error, output, next } => {
                let (error, output) = (cursor.take(*error), cursor.take(*output));
                self.end_attempt(*slot, *outcome, (*started_ms, *finished_ms), error, output);
                self.go_on(*slot, *outcome, next);
            }
            Change::Promoted { slots } => slots.iter().for_each(|slot| self.promote(*slot)),
            Change::CancelMarked { slot } => self.mark_cancel(*slot),
            Change::Cancelled { slots, reason } => {
                slots.iter().for_each(|slot| self.finish(*slot, JobState::Cancelled, Some(reason)));
            }
            Change::Archived { count } => {
                (0..(*count).min(self.finished.count)).for_each(|_| self.free_oldest_finished());
            }
            Change::Deleted { job, finalized_ms } => drop(self.deleted.insert(*job, *finalized_ms)),
            Change::DeletedDropped { finalized_before_ms } => {
                self.deleted.retain(|_, finalized_ms| *finalized_ms >= *finalized_before_ms);
            }
            Change::QueuePaused { queue, paused } => self.pause(queue, *paused),
            Change::PurgeStarted { queue } => {
                let (queue, before) = (self.acquire(queue, 1), self.next_order);
                let entry = self.queues.entry(queue).or_default();
                if entry.purge_before.replace(before).is_some() {
                    self.names.release(queue);
                }
                self.purging.insert(queue);
            }
            Change::PurgeEnded { queue } => {
                self.queue_mut(*queue).purge_before = None;
                self.purging.remove(queue);
                self.names.release(*queue);
                self.close_idle_queue(*queue);
            }
            Change::KeysExpired { keys } => self.expire_keys(keys),
        }
    }

    fn start(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.fence_counter = 0;
        let lease_ends = self.logical_ms + self.limits.lease_ms;
        for child in self.children.values_mut() {
            child.lease_ends = lease_ends;
        }
        for session in self.sessions.values_mut() {
            session.used_ms = self.logical_ms;
        }
    }

    fn open_session(&mut self) {
        let number = self.next_session;
        self.next_session += 1;
        self.sessions.insert(number, Session { lowest: 1, used_ms: self.logical_ms, ..Session::default() });
        self.logical_timers.insert(self.logical_ms + self.limits.session_ms, Timer::Session(number));
    }

    fn remember(&mut self, request: Request, answer: Answer) {
        let Some(session) = self.sessions.get_mut(&request.session) else { return };
        session.used_ms = self.logical_ms;
        if request.lowest > session.lowest {
            session.lowest = request.lowest;
            session.answers = session.answers.split_off(&request.lowest);
        }
        session.answers.insert(request.number, answer);
    }

    // Enqueueing.

    fn enqueue(
        &mut self,
        request: Request,
        groups: &[NewJobs],
        existing: &[(u32, JobId)],
        cursor: &mut Cursor,
    ) {
        let count = groups.iter().map(|group| group.arguments.len()).sum::<usize>() + existing.len();
        let mut ids = Vec::with_capacity(count * 16);
        let mut existing_ids = existing.iter().peekable();
        let mut place_existing = |ids: &mut Vec<u8>| {
            while let Some((_, id)) = existing_ids.next_if(|(at, _)| *at as usize == ids.len() / 16) {
                ids.extend_from_slice(&id.to_bytes());
            }
        };
        for group in groups {
            let template = self.template(group);
            for stored in &group.arguments {
                place_existing(&mut ids);
                let slot = self.admit(&template, group, cursor.take(*stored));
                ids.extend_from_slice(&self.job_id(slot).to_bytes());
            }
            self.finish_group(&template, group);
        }
        place_existing(&mut ids);
        let existing = existing.iter().map(|(at, _)| *at).collect();
        self.remember(request, Answer::Enqueued(Enqueued { ids: ids.into(), existing }));
    }

    /// A slot as every job of the group has it, its names and rules acquired for all of them.
    fn template(&mut self, group: &NewJobs) -> Slot {
        let jobs = group.arguments.len() as u64;
        let (task, queue) = (self.acquire(&group.task, jobs), self.acquire(&group.queue, jobs));
        let rules = match &group.rules {
            RulesRef::Known(number) => {
                self.rules.reuse(*number, jobs);
                *number
            }
            RulesRef::New(rules) => self.rules.acquire(rules, jobs),
        };
        let state = if group.run_at.is_some() { JobState::Scheduled } else { JobState::Available };
        let mut slot = Slot { task, queue, rules, priority: group.priority, ..Slot::free(0) };
        slot.created_ms = self.wall_ms;
        slot.state = SlotState::Job(state);
        slot.extra = self.template_extra(group, jobs).map(Box::new);
        let paused = self.queues.entry(queue).or_default().paused;
        let (queue_name, task_name) = (Arc::clone(self.names.at(queue)), Arc::clone(self.names.at(task)));
        let lane = self.lanes.enter((queue, &queue_name), (task, &task_name), paused, jobs);
        let entry = self.queue_mut(queue);
        entry.lanes.insert(task, lane);
        entry.counts[state as usize] += jobs;
        slot
    }

    fn template_extra(&mut self, group: &NewJobs, jobs: u64) -> Option<Extra> {
        let NewJobs { run_at, unique, tags, metadata, retry_of, .. } = group;
        let plain = run_at.is_none() && unique.is_none() && metadata.is_none() && retry_of.is_none();
        if plain && tags.is_empty() {
            return None;
        }
        let tags = tags.iter().map(|tag| self.acquire(tag, jobs)).collect();
        let (unique, metadata) = (unique.clone(), metadata.clone());
        Some(Extra { run_at: *run_at, tags, metadata, unique, retry_of: *retry_of, ..Extra::default() })
    }

    fn admit(&mut self, template: &Slot, group: &NewJobs, arguments: Place) -> u32 {
        let index = self.free.pop_front().unwrap_or_else(|| self.slots.0.push(Slot::free(0)));
        let generation = self.slots.at(index).generation;
        let order = self.take_order();
        *self.slots.at_mut(index) = Slot { generation, order, arguments, ..template.clone() };
        self.keep(arguments);
        let lane = self.lane_of(index);
        if let Some(run_at) = group.run_at {
            self.set_timer(index, run_at);
            self.lanes.at_mut(lane).waiting.push_back(&mut self.slots, index);
        } else {
            let line = &mut self.lanes.at_mut(lane).available[usize::from(template.priority) - 1];
            line.insert(&mut self.slots, index);
        }
        if let Some(unique) = &group.unique {
            self.unique.insert(Arc::clone(&unique.key), index);
        }
        if let Some(key) = &group.idempotency_key {
            let expires = self.logical_ms + self.limits.idempotency_ms;
            self.keys.insert(Arc::clone(key), (self.job_id(index), expires));
            self.keys_by_age.push_back((expires, Arc::clone(key)));
        }
        index
    }

    fn finish_group(&mut self, template: &Slot, group: &NewJobs) {
        if group.run_at.is_none() && !group.arguments.is_empty() {
            let lane = self.lanes.find(template.queue, template.task).expect("the group's lane is open");
            self.lanes.refresh(lane, &self.slots);
        }
    }

    // Leases and their ends.

    fn lease(&mut self, child: u32, slots: &[u32]) {
        let counter = self.fence_counter + 1;
        for &index in slots {
            self.unlink(index);
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

    fn release(&mut self, index: u32) {
        self.end_lease(index);
        self.make_available(index);
        self.regain_unique(index);
    }

    /// A job handed back before it ever ran keeps its equals out again, unless one of them came in meanwhile.
    fn regain_unique(&mut self, index: u32) {
        let slot = self.slots.at_mut(index);
        if slot.attempts() > 0 {
            return;
        }
        let Some(extra) = slot.extra.as_mut() else { return };
        let Some(Unique { key, .. }) = &extra.unique else { return };
        if *self.unique.entry(Arc::clone(key)).or_insert(index) != index {
            extra.unique = None;
        }
    }

    fn succeed(&mut self, end: &Success, cursor: &mut Cursor) {
        let (result, output) = (cursor.take(end.result), cursor.take(end.output));
        let times = (end.started_ms, end.started_ms + end.took_ms);
        self.end_attempt(end.slot, Outcome::Succeeded, times, Place::EMPTY, output);
        self.keep(result);
        self.slots.at_mut(end.slot).extra_mut().result = result;
        self.finish(end.slot, JobState::Completed, None);
    }

    fn end_attempt(&mut self, index: u32, outcome: Outcome, times: (u64, u64), error: Place, output: Place) {
        let lease = self.end_lease(index);
        let worker = self.children.get(&lease.child).map(|child| Arc::clone(&child.name)).unwrap_or_default();
        self.keep(error);
        self.keep(output);
        let slot = self.slots.at_mut(index);
        let number = slot.attempts() + 1;
        let (fence, (started_ms, finished_ms)) = (lease.fence, times);
        let history = &mut slot.extra_mut().history;
        // Most jobs have one attempt, and a vector's own first step would make room for four.
        history.reserve_exact(1);
        history.push(Attempt { number, fence, outcome, worker, started_ms, finished_ms, error, output });
        if history.len() > HISTORY_MAX {
            let oldest = history.remove(0);
            self.unkeep(oldest.error);
            self.unkeep(oldest.output);
        }
    }

    fn go_on(&mut self, index: u32, outcome: Outcome, next: &Next) {
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
    fn end_lease(&mut self, index: u32) -> Lease {
        let lease = self.leases.remove(&index).expect("only leased jobs end a lease");
        if let Some(child) = self.children.get_mut(&lease.child) {
            child.leases.remove(&mut self.slots, index);
        }
        lease
    }

    fn mark_cancel(&mut self, index: u32) {
        self.slots.at_mut(index).cancelling = true;
        let lease = self.leases[&index];
        self.events.push(Event::Stop { child: lease.child, fence: lease.fence });
    }

    // Waiting.

    fn make_available(&mut self, index: u32) {
        self.set_state(index, JobState::Available);
        let (lane, priority) = (self.lane_of(index), self.slots.at(index).priority);
        self.lanes.at_mut(lane).available[usize::from(priority) - 1].insert(&mut self.slots, index);
        self.lanes.refresh(lane, &self.slots);
    }

    fn wait(&mut self, index: u32, state: JobState, until: RunAt) {
        self.set_state(index, state);
        let order = self.take_order();
        self.slots.at_mut(index).order = order;
        self.set_timer(index, until);
        let lane = self.lane_of(index);
        self.lanes.at_mut(lane).waiting.push_back(&mut self.slots, index);
    }

    fn promote(&mut self, index: u32) {
        self.unlink(index);
        self.clear_timer(index);
        let order = self.take_order();
        self.slots.at_mut(index).order = order;
        self.make_available(index);
    }

    pub(crate) fn set_timer(&mut self, index: u32, at: RunAt) {
        let timer = match at {
            RunAt::Wall(at) => self.wall_timers.insert(at.saturating_add(self.wall_set_back_ms), index),
            RunAt::Logical(at) => self.logical_timers.insert(at, Timer::Slot(index)),
        };
        let extra = self.slots.at_mut(index).extra_mut();
        (extra.run_at, extra.timer) = (Some(at), Some(timer));
    }

    fn clear_timer(&mut self, index: u32) {
        let Some(extra) = self.slots.at_mut(index).extra.as_mut() else { return };
        let (at, timer) = (extra.run_at.take(), extra.timer.take());
        match (at, timer) {
            (Some(RunAt::Wall(_)), Some(timer)) => self.wall_timers.cancel(timer),
            (Some(RunAt::Logical(_)), Some(timer)) => self.logical_timers.cancel(timer),
            _ => false,
        };
    }

    // The end.

    fn finish(&mut self, index: u32, state: JobState, reason: Option<&Arc<str>>) {
        if !self.is_detached(index) {
            self.unlink(index);
            let lane = self.lane_of(index);
            self.lanes.refresh(lane, &self.slots);
        }
        self.clear_timer(index);
        self.drop_unique(index);
        self.set_state(index, state);
        self.finish_number += 1;
        let (number, now) = (self.finish_number, self.wall_ms);
        let slot = self.slots.at_mut(index);
        (slot.order, slot.cancelling) = (number, false);
        let extra = slot.extra_mut();
        (extra.finalized_ms, extra.reason) = (now, reason.cloned());
        self.finished.push_back(&mut self.slots, index);
        self.events.push(Event::Finished { slot: index });
    }

    fn free_oldest_finished(&mut self) {
        let Some(index) = self.finished.pop_front(&mut self.slots) else { return };
        self.archived += 1;
        let lane = self.lane_of(index);
        let generation = (self.slots.at(index).generation + 1) % lineshaft_wire::id::GENERATIONS;
        let slot = std::mem::replace(self.slots.at_mut(index), Slot::free(generation));
        self.free.push_back(index);
        for place in slot.places() {
            self.unkeep(place);
        }
        self.queue_mut(slot.queue).counts[slot.job_state() as usize] -= 1;
        self.lanes.leave(lane);
        if self.lanes.find(slot.queue, slot.task).is_none() {
            self.queue_mut(slot.queue).lanes.remove(&slot.task);
            self.close_idle_queue(slot.queue);
        }
        self.names.release(slot.task);
        self.names.release(slot.queue);
        self.rules.release(slot.rules);
        for tag in slot.extra.iter().flat_map(|extra| &*extra.tags) {
            self.names.release(*tag);
        }
    }

    // Queues and keys.

    fn pause(&mut self, queue: &Name, paused: bool) {
        let queue = self.acquire(queue, 1);
        let was = std::mem::replace(&mut self.queues.entry(queue).or_default().paused, paused);
        // A paused queue uses its name; the use just taken stays only where the pause begins.
        if was || !paused {
            self.names.release(queue);
        }
        for lane in self.queue_mut(queue).lanes.values().copied().collect::<Vec<_>>() {
            self.lanes.pause(lane, paused, &self.slots);
        }
        if was && !paused {
            self.close_idle_queue(queue);
            self.names.release(queue);
        } else {
            self.close_idle_queue(queue);
        }
    }

    fn close_idle_queue(&mut self, queue: u32) {
        if self.queues.get(&queue).is_some_and(Queue::is_idle) {
            self.queues.remove(&queue);
        }
    }

    fn expire_keys(&mut self, keys: &[Arc<str>]) {
        for key in keys {
            self.keys.remove(key);
            self.keys_by_age.pop_front();
        }
    }

    fn unique_while(&self, index: u32) -> Option<UniqueWhile> {
        Some(self.slots.at(index).extra.as_ref()?.unique.as_ref()?.while_)
    }

    fn drop_unique(&mut self, index: u32) {
        let Some(extra) = &self.slots.at(index).extra else { return };
        let Some(Unique { key, .. }) = &extra.unique else { return };
        if self.unique.get(key) == Some(&index) {
            self.unique.remove(key);
        }
    }

    // Small parts.

    fn acquire(&mut self, name: &Name, uses: u64) -> u32 {
        match name {
            Name::Known(number) => {
                self.names.reuse(*number, uses);
                *number
            }
            Name::Text(text) => self.names.acquire(text, uses),
        }
    }

    fn take_order(&mut self) -> u64 {
        self.next_order += 1;
        self.next_order
    }

    pub(crate) fn lane_of(&self, index: u32) -> u32 {
        let slot = self.slots.at(index);
        self.lanes.find(slot.queue, slot.task).expect("a job's lane is open")
    }

    fn queue_mut(&mut self, queue: u32) -> &mut Queue {
        self.queues.get_mut(&queue).expect("a queue with jobs is known")
    }

    fn child_mut(&mut self, child: u32) -> ChildLeases<'_> {
        let leases = &mut self.children.get_mut(&child).expect("leases go to known children").leases;
        ChildLeases { leases, slots: &mut self.slots }
    }

    /// Whether the slot is in no list: its lease just ended.
    fn is_detached(&self, index: u32) -> bool {
        self.slots.at(index).job_state() == JobState::Running && !self.leases.contains_key(&index)
    }

    /// Takes a waiting or available job out of its list.
    fn unlink(&mut self, index: u32) {
        let (lane, slot) = (self.lane_of(index), self.slots.at(index));
        let (state, priority) = (slot.job_state(), usize::from(slot.priority) - 1);
        let entry = self.lanes.at_mut(lane);
        if state == JobState::Available {
            entry.available[priority].remove(&mut self.slots, index);
        } else {
            entry.waiting.remove(&mut self.slots, index);
        }
    }

    fn set_state(&mut self, index: u32, state: JobState) {
        let slot = self.slots.at_mut(index);
        let (queue, before) = (slot.queue, slot.job_state());
        slot.state = SlotState::Job(state);
        let counts = &mut self.queue_mut(queue).counts;
        counts[before as usize] -= 1;
        counts[state as usize] += 1;
    }

    pub(crate) fn keep(&mut self, place: Place) {
        if place.is_in_commit() {
            *self.kept.entry(place.lsn >> KEPT_SHIFT).or_default() += 1;
        }
    }

    fn unkeep(&mut self, place: Place) {
        if place.is_blob() {
            self.events.push(Event::BlobFreed { id: place.lsn });
        } else if place.is_in_commit() {
            let bucket = place.lsn >> KEPT_SHIFT;
            let count = self.kept.get_mut(&bucket).expect("kept places are counted");
            *count -= 1;
            if *count == 0 {
                self.kept.remove(&bucket);
            }
        }
    }
}

struct ChildLeases<'a> {
    leases: &'a mut List,
    slots: &'a mut crate::slot::Slots,
}

impl ChildLeases<'_> {
    fn push_back(&mut self, index: u32) {
        debug_assert_eq!(self.slots.at(index).next, NIL, "a leased slot comes from no list");
        self.leases.push_back(self.slots, index);
    }
}
