//! The whole state as bytes, and back.
//!
//! A snapshot holds what changes made: small tables first, then the slots one by one. Every index (lanes, timers,
//! unique keys, lists) is left out and built again on load from what the slots say, so an index can change its shape
//! without a new format. After the slots stands a tail for what came to be later.

mod check;
mod tail;

use std::sync::Arc;

use lineshaft_wire::message::ProcessKey;
use lineshaft_wire::{JobId, JobState};
use serde::{Deserialize, Serialize};

use crate::change::{Lease, Place};
use crate::interned::{Interned, Parts};
use crate::list::List;
use crate::rules::Plain;
use crate::slot::{Extra, Slot, SlotState};
use crate::state::{Answer, Child, Limits, Queue, Session, State, Timer};

/// Version of the layout below.
const VERSION: u16 = 1;

/// A snapshot that does not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes are no snapshot.
    #[error("the snapshot does not read: {0}")]
    Malformed(#[from] postcard::Error),
    /// It was written by another version.
    #[error("the snapshot has layout {found}, this version reads {VERSION}")]
    Version {
        /// Its layout.
        found: u16,
    },
    /// Its parts contradict each other.
    #[error("the snapshot contradicts itself: {0}")]
    Inconsistent(&'static str),
}

/// A session's number, its lowest number and its answers.
type SessionRow = (u64, u64, Vec<(u64, Answer)>);

#[derive(Serialize, Deserialize)]
struct Head {
    version: u16,
    shard: u16,
    wall_ms: u64,
    logical_ms: u64,
    epoch: u64,
    fence_counter: u64,
    next_order: u64,
    next_session: u64,
    next_child: u32,
    finish_number: u64,
    archived: u64,
    names: Parts<str>,
    rules: Parts<Plain>,
    free: Vec<u32>,
    leases: Vec<(u32, Lease)>,
    children: Vec<(u32, ChildRow)>,
    sessions: Vec<SessionRow>,
    queues: Vec<(u32, bool, Option<u64>)>,
    keys: Vec<(u64, Arc<str>, JobId)>,
    periods: Vec<(u64, Arc<str>, JobId)>,
    deleted: Vec<(JobId, u64)>,
    slots: u32,
}

#[derive(Serialize, Deserialize)]
struct ChildRow {
    worker: u64,
    name: Arc<str>,
    number: u32,
    process: ProcessKey,
}

#[derive(Serialize, Deserialize)]
enum SlotRow {
    Free { generation: u32 },
    Job(Box<JobRow>),
}

#[derive(Serialize, Deserialize)]
struct JobRow {
    created_ms: u64,
    order: u64,
    arguments: Place,
    generation: u32,
    task: u32,
    queue: u32,
    rules: u32,
    failures: u16,
    crashes: u8,
    priority: u8,
    state: JobState,
    cancelling: bool,
    extra: Option<Box<Extra>>,
}

impl State {
    /// The durable state as bytes; [`State::from_snapshot`] reads them.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = postcard::to_allocvec(&self.head()).expect("a vector takes every snapshot");
        for slot in self.slots.0.iter() {
            bytes = postcard::to_extend(&row_of(slot), bytes).expect("a vector takes every snapshot");
        }
        let bytes = postcard::to_extend(&self.tail(), bytes).expect("a vector takes every snapshot");
        let bytes =
            postcard::to_extend(&self.checkpoint_rows(), bytes).expect("a vector takes every snapshot");
        postcard::to_extend(&self.versions(), bytes).expect("a vector takes every snapshot")
    }

    fn head(&self) -> Head {
        Head {
            version: VERSION,
            shard: self.shard,
            wall_ms: self.wall_ms,
            logical_ms: self.logical_ms,
            epoch: self.epoch,
            fence_counter: self.fence_counter,
            next_order: self.next_order,
            next_session: self.next_session,
            next_child: self.next_child,
            finish_number: self.finish_number,
            archived: self.archived,
            names: self.names.parts(),
            rules: tail::plain(self.rules.parts()),
            free: self.free.iter().copied().collect(),
            leases: sorted(self.leases.iter().map(|(slot, lease)| (*slot, *lease)), |row| row.0),
            children: self.children.iter().map(|(number, child)| (*number, child_row(child))).collect(),
            sessions: sorted(
                self.sessions.iter().map(|(number, session)| session_row(*number, session)),
                |row| row.0,
            ),
            queues: sorted(
                self.queues.iter().map(|(name, queue)| (*name, queue.paused, queue.purge_before)),
                |row| row.0,
            ),
            keys: self
                .keys_by_age
                .iter()
                .map(|(expires, key)| (*expires, Arc::clone(key), self.keys[key].0))
                .collect(),
            periods: self
                .periods_by_end
                .iter()
                .map(|(until_ms, key)| (*until_ms, Arc::clone(key), self.periods[key].0))
                .collect(),
            deleted: sorted(self.deleted.iter().map(|(job, finalized_ms)| (*job, *finalized_ms)), |row| {
                row.0
            }),
            slots: self.slots.0.len(),
        }
    }

    /// The state that a snapshot holds.
    ///
    /// Errors if the bytes are no snapshot or one of another version.
    pub fn from_snapshot(bytes: &[u8], limits: Limits) -> Result<Self, SnapshotError> {
        let (mut head, mut rest) = postcard::take_from_bytes::<Head>(bytes)?;
        if head.version != VERSION {
            return Err(SnapshotError::Version { found: head.version });
        }
        let mut state = Self::new(head.shard, limits);
        let (slots, rules) = (head.slots, std::mem::take(&mut head.rules));
        state.take_head(head);
        for _ in 0..slots {
            let (row, after) = postcard::take_from_bytes::<SlotRow>(rest)?;
            state.slots.0.push(slot_of(row));
            rest = after;
        }
        let (tail, checkpoints, versions) = tail::read(rest)?;
        state.take_tail(rules, tail, versions)?;
        state.take_checkpoints(checkpoints)?;
        state.check()?;
        state.index()?;
        Ok(state)
    }

    fn take_head(&mut self, head: Head) {
        (self.wall_ms, self.logical_ms, self.epoch) = (head.wall_ms, head.logical_ms, head.epoch);
        (self.fence_counter, self.next_order) = (head.fence_counter, head.next_order);
        (self.next_session, self.next_child) = (head.next_session, head.next_child);
        (self.finish_number, self.archived) = (head.finish_number, head.archived);
        self.names = Interned::from_parts(head.names);
        self.free = head.free.into();
        self.leases = head.leases.into_iter().collect();
        for (number, row) in head.children {
            self.load_child(number, row);
        }
        for (number, lowest, answers) in head.sessions {
            let answers = answers.into_iter().collect();
            self.sessions.insert(number, Session { lowest, answers, used_ms: self.logical_ms });
            let ends = self.logical_ms.saturating_add(self.limits.session_ms);
            self.logical_timers.insert(ends, Timer::Session(number));
        }
        for (name, paused, purge_before) in head.queues {
            self.queues.insert(name, Queue { paused, purge_before, ..Queue::default() });
            if purge_before.is_some() {
                self.purging.insert(name);
            }
        }
        for (expires, key, job) in head.keys {
            self.keys.insert(Arc::clone(&key), (job, expires));
            self.keys_by_age.push_back((expires, key));
        }
        for (until_ms, key, job) in head.periods {
            self.hold_period(&key, job, until_ms);
        }
        self.deleted = head.deleted.into_iter().collect();
    }

    fn load_child(&mut self, number: u32, row: ChildRow) {
        let ChildRow { worker, name, number: in_worker, process } = row;
        let lease_ends = self.logical_ms.saturating_add(self.limits.lease_ms);
        let child = Child { worker, name, number: in_worker, process, leases: List::default(), lease_ends };
        self.children.insert(number, child);
        self.logical_timers.insert(lease_ends, Timer::Child(number));
    }

    /// Builds everything derived from the slots.
    fn index(&mut self) -> Result<(), SnapshotError> {
        let is_job = |index: &u32| self.slots.at(*index).state != SlotState::Free;
        let mut jobs: Vec<u32> = (0..self.slots.0.len()).filter(is_job).collect();
        jobs.sort_unstable_by_key(|index| self.slots.at(*index).order);
        jobs.iter().for_each(|index| self.index_job(*index));
        self.index_leases()?;
        for lane in jobs.iter().map(|index| self.lane_of(*index)).collect::<Vec<_>>() {
            self.lanes.refresh(lane, &self.slots);
        }
        Ok(())
    }

    fn index_job(&mut self, index: u32) {
        let slot = self.slots.at(index).clone();
        let state = slot.job_state();
        let (queue_name, task_name) =
            (Arc::clone(self.names.at(slot.queue)), Arc::clone(self.names.at(slot.task)));
        let queue = self.queues.entry(slot.queue).or_default();
        let lane = self.lanes.enter((slot.queue, &queue_name), (slot.task, &task_name), queue.paused, 1);
        queue.counts[state as usize] += 1;
        queue.lanes.insert(slot.task, lane);
        slot.places().for_each(|place| self.keep(place));
        if let Some(run_at) = slot.extra.as_ref().and_then(|extra| extra.run_at) {
            self.set_timer(index, run_at);
        }
        if !state.is_finished() && state != JobState::Running {
            self.set_limit(index);
        }
        self.index_unique(index, &slot);
        self.index_list(index, lane, &slot);
    }

    fn index_unique(&mut self, index: u32, slot: &Slot) {
        let Some(unique) = slot.extra.as_ref().and_then(|extra| extra.unique.as_ref()) else { return };
        // A key that holds while queued is free from the first lease on, even if the job waits again.
        let queued_only = unique.while_ == lineshaft_wire::message::UniqueWhile::Queued;
        let leased_before = slot.attempts() > 0 || slot.job_state() == JobState::Running;
        let is_free = slot.job_state().is_finished() || (queued_only && leased_before);
        if !is_free {
            self.unique.entry(Arc::clone(&unique.key)).or_insert(index);
        }
    }

    fn index_list(&mut self, index: u32, lane: u32, slot: &Slot) {
        match slot.job_state() {
            JobState::Available if slot.parked().is_some() => self.enter_parked(index),
            JobState::Available => {
                let line = &mut self.lanes.at_mut(lane).available[usize::from(slot.priority) - 1];
                line.insert(&mut self.slots, index);
            }
            JobState::Running => {}
            state if state.is_finished() => self.finished.push_back(&mut self.slots, index),
            _ => self.lanes.at_mut(lane).waiting.push_back(&mut self.slots, index),
        }
    }

    /// Gives every child its leases, in the order in which it got them.
    fn index_leases(&mut self) -> Result<(), SnapshotError> {
        let leases =
            sorted(self.leases.iter().map(|(slot, lease)| (lease.fence, lease.child, *slot)), |row| row.0);
        for (_, child, slot) in leases {
            let child = self.children.get_mut(&child);
            let child = child.ok_or(SnapshotError::Inconsistent("a lease of an unknown child"))?;
            child.leases.push_back(&mut self.slots, slot);
        }
        Ok(())
    }
}

fn sorted<T, K: Ord>(rows: impl Iterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut rows: Vec<T> = rows.collect();
    rows.sort_unstable_by_key(key);
    rows
}

fn child_row(child: &Child) -> ChildRow {
    ChildRow {
        worker: child.worker,
        name: Arc::clone(&child.name),
        number: child.number,
        process: child.process,
    }
}

fn session_row(number: u64, session: &Session) -> SessionRow {
    let answers = session.answers.iter().map(|(request, answer)| (*request, answer.clone()));
    (number, session.lowest, answers.collect())
}

fn row_of(slot: &Slot) -> SlotRow {
    let SlotState::Job(state) = slot.state else { return SlotRow::Free { generation: slot.generation } };
    SlotRow::Job(Box::new(JobRow {
        created_ms: slot.created_ms,
        order: slot.order,
        arguments: slot.arguments,
        generation: slot.generation,
        task: slot.task,
        queue: slot.queue,
        rules: slot.rules,
        failures: slot.failures,
        crashes: slot.crashes,
        priority: slot.priority,
        state,
        cancelling: slot.cancelling,
        extra: slot.extra.clone(),
    }))
}

fn slot_of(row: SlotRow) -> Slot {
    match row {
        SlotRow::Free { generation } => Slot::free(generation),
        SlotRow::Job(row) => Slot {
            created_ms: row.created_ms,
            order: row.order,
            arguments: row.arguments,
            task: row.task,
            queue: row.queue,
            rules: row.rules,
            failures: row.failures,
            crashes: row.crashes,
            priority: row.priority,
            state: SlotState::Job(row.state),
            cancelling: row.cancelling,
            extra: row.extra,
            ..Slot::free(row.generation)
        },
    }
}
