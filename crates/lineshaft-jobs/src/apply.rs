//! What each change does: one file per kind of change. Nothing here decides: `apply` runs again on every replay, so it
//! follows from the change and the state alone.

mod cache;
mod checkpoints;
mod children;
mod ends;
mod enqueue;
mod leases;
mod locks;
mod moves;
mod parking;
mod queues;
mod waiting;

use std::sync::Arc;

use lineshaft_wire::JobState;
use lineshaft_wire::message::Changed;

use crate::change::{Change, Name, Place, Request, Stored};
use crate::command::Event;
use crate::state::{Answer, Queue, Session, State, Timer};

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
            Change::SessionClosed { session } => {
                self.sessions.remove(session);
                self.locks.leave_lines(*session);
            }
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
                self.know_child(*child, *worker, (Arc::clone(name), *number), *process);
            }
            Change::ChildGone { child } => self.forget_child(*child),
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
            Change::KeysFreed { keys } => self.free_keys(keys),
            Change::PeriodsEnded { keys } => self.end_periods(keys),
            Change::Parked { slot, missing } => self.park(*slot, missing),
            Change::PutOff { slot, until_ms, reason } => self.put_off(*slot, *until_ms, reason),
            Change::Discarded { slots, reason } => {
                slots.iter().for_each(|slot| self.finish(*slot, JobState::Discarded, Some(reason)));
            }
            Change::Spawned { jobs, failed } => self.spawn(jobs, failed, &mut cursor),
            Change::Moved { file, moves } => moves.iter().for_each(|it| self.move_payload(*file, it)),
            Change::Checkpointed { slot, value } => self.checkpoint(*slot, cursor.take(*value)),
            Change::FinishedFrom { number } => (self.finish_number, self.archived) = (*number, *number),
            Change::PlacesSwept => self.free.sweep(),
            Change::ChildrenAbsent => self.children_absent(),
            Change::ChildReturned { child } => self.child_returned(*child),
            Change::AbsencesCredited { still_ms } => self.credit_absences(*still_ms),
            Change::Locked { holder } => self.lock(holder),
            Change::Unlocked { fences, taken } => fences.iter().for_each(|fence| self.unlock(*fence, *taken)),
            Change::BarrierOpened { holders } => holders.iter().for_each(|holder| self.lock(holder)),
            Change::Passed { limiter, next_ns } => {
                self.limiters.pass(limiter, *next_ns, self.logical_ms.saturating_mul(1_000_000));
            }
            Change::EntriesStored { entries } => {
                entries.iter().for_each(|(entry, value)| self.store_entry(entry, cursor.take(*value)));
            }
            Change::EntriesGone { keys } => keys.iter().for_each(|key| self.drop_entry(key)),
            Change::EntriesInvalidated { keys, tags, all } => self.invalidate_entries(keys, tags, *all),
            Change::EntriesMoved { file, moves } => moves.iter().for_each(|it| self.move_value(*file, it)),
            Change::Measured { attempts } => {
                attempts.iter().for_each(|(slot, account)| self.measured(*slot, account));
            }
            Change::Readied { slots } => slots.iter().for_each(|slot| {
                self.promote(*slot);
                self.note_ready(*slot);
            }),
            Change::SessionsFrom { next } => self.next_session = self.next_session.max(*next),
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
        self.restart_locks();
        self.cache.restart();
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

    /// Whether the slot is in no list: its lease just ended.
    fn is_detached(&self, index: u32) -> bool {
        self.slots.at(index).job_state() == JobState::Running && !self.leases.contains_key(&index)
    }

    /// Takes a waiting or available job out of its list.
    fn unlink(&mut self, index: u32) {
        let (lane, slot) = (self.lane_of(index), self.slots.job(index));
        let (state, priority) = (slot.job_state(), usize::from(slot.priority) - 1);
        if slot.parked().is_some() {
            return self.leave_parked(index);
        }
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
        slot.set_state(state);
        let counts = &mut self.queue_mut(queue).counts;
        counts[before as usize] -= 1;
        counts[state as usize] += 1;
    }

    pub(crate) fn keep(&mut self, place: Place) {
        self.kept.add(place);
    }

    fn unkeep(&mut self, place: Place) {
        self.kept.remove(place);
        if place.is_blob() {
            self.events.push(Event::BlobFreed { id: place.lsn });
        }
    }
}
