//! All that the engine knows about jobs, and the questions that reading it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lineshaft_structures::{TimerWheel, TrackedFifo};
use lineshaft_wire::message::{Changed, Enqueued, ProcessKey, Rules};
use lineshaft_wire::{Fence, JobId, JobState};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::cache::Cache;
use crate::change::{Change, Lease};
use crate::command::Event;
use crate::dispatch::Connected;
use crate::interned::Interned;
use crate::kept::{Kept, Live};
use crate::lanes::Lanes;
use crate::limiters::Limiters;
use crate::list::List;
use crate::locks::Locks;
use crate::places::FreePlaces;
use crate::slots::Slots;
use crate::statistics::Statistics;

/// How large the tables may grow; a full one refuses with its name.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Jobs in memory: waiting, running, or finished and not archived.
    pub jobs: u32,
    /// Distinct names of queues, tasks and tags in use.
    pub names: usize,
    /// Distinct sets of rules in use.
    pub rules: usize,
    /// Open sessions.
    pub sessions: usize,
    /// Known children.
    pub children: usize,
    /// Idempotency keys younger than 24 hours.
    pub idempotency_keys: usize,
    /// Unique keys whose period has not ended, and cached results.
    pub unique_periods: usize,
    /// Finished jobs deleted but still in a block.
    pub deleted: usize,
    /// Holders of locks.
    pub locks: usize,
    /// Those who wait for a lock.
    pub lock_waiters: usize,
    /// Limiters that are not as new.
    pub limiters: usize,
    /// Entries of the cache; beyond that some go.
    pub cache_entries: usize,
    /// Bytes of the cache, as counted by [`State::cache_size`]; beyond that some entries go.
    pub cache_bytes: u64,
    /// Jobs touched by one bulk step, so that no commit grows without bound.
    pub step: usize,
    /// How long a lease lives without renewal, milliseconds.
    pub lease_ms: u64,
    /// How long an idempotency key lives, milliseconds.
    pub idempotency_ms: u64,
    /// How long a session lives without a request, milliseconds.
    pub session_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            jobs: 200_000_000,
            names: 65_536,
            rules: 65_536,
            sessions: 65_536,
            children: 65_536,
            idempotency_keys: 10_000_000,
            unique_periods: 10_000_000,
            deleted: 1_000_000,
            locks: 1_000_000,
            lock_waiters: 1_000_000,
            limiters: 1_000_000,
            cache_entries: 1_000_000,
            cache_bytes: 256 << 20,
            step: 4_096,
            lease_ms: 15_000,
            idempotency_ms: 86_400_000,
            session_ms: 600_000,
        }
    }
}

/// The state machine.
#[derive(Debug)]
pub struct State {
    pub(crate) limits: Limits,
    pub(crate) shard: u16,

    // Durable: what changes make and snapshots hold.
    pub(crate) wall_ms: u64,
    pub(crate) logical_ms: u64,
    pub(crate) epoch: u64,
    pub(crate) fence_counter: u64,
    pub(crate) next_order: u64,
    pub(crate) next_session: u64,
    pub(crate) next_child: u32,
    /// Jobs finished so far; the number of the newest.
    pub(crate) finish_number: u64,
    /// Jobs archived so far.
    pub(crate) archived: u64,
    pub(crate) names: Interned<str>,
    pub(crate) rules: Interned<Rules>,
    pub(crate) slots: Slots,
    pub(crate) leases: FxHashMap<u32, Lease>,
    pub(crate) children: BTreeMap<u32, Child>,
    /// Children that have not attached since an engine started, and the logical time of the first such start. What they
    /// hold ends a lease after that, however often an engine has started since.
    pub(crate) absent: BTreeMap<u32, u64>,
    pub(crate) sessions: FxHashMap<u64, Session>,
    pub(crate) queues: FxHashMap<u32, Queue>,
    /// Idempotency keys, the oldest first.
    pub(crate) keys_by_age: TrackedFifo<Key>,
    /// Unique keys held for a period: the job, and Unix milliseconds of the end.
    pub(crate) periods: FxHashMap<Arc<str>, (JobId, u64)>,
    pub(crate) periods_by_end: BTreeSet<(u64, Arc<str>)>,
    /// Keys of cached results: when their jobs ended, Unix milliseconds, for as long as their periods last; nothing while
    /// they are unfinished.
    pub(crate) cached: BTreeMap<Arc<str>, Option<u64>>,
    pub(crate) deleted: FxHashMap<JobId, u64>,
    /// Locks; lines for them are of this process alone.
    pub(crate) locks: Locks,
    pub(crate) limiters: Limiters,
    pub(crate) cache: Cache,
    pub(crate) statistics: Statistics,

    // Derived: rebuilt on load.
    pub(crate) lanes: Lanes,
    pub(crate) finished: List,
    pub(crate) free: FreePlaces,
    /// Numbers of idempotency keys in their queue.
    pub(crate) keys: FxHashMap<Arc<str>, u64>,
    pub(crate) unique: FxHashMap<Arc<str>, u32>,
    /// Parked jobs by their place in line.
    pub(crate) parked: BTreeMap<u64, u32>,
    /// Queues with a purge under way.
    pub(crate) purging: BTreeSet<u32>,
    pub(crate) wall_timers: TimerWheel<u32>,
    /// How far the wall clock was set back in all: a wheel's time never goes back, so its own is later by this.
    pub(crate) wall_set_back_ms: u64,
    pub(crate) logical_timers: TimerWheel<Timer>,
    /// On the wall clock: when jobs that do not run must have begun or ended.
    pub(crate) limit_timers: TimerWheel<u32>,
    /// The time of that wheel up to which its jobs were asked for.
    pub(crate) limits_asked_ms: u64,
    pub(crate) kept: Kept,

    // Of this process alone.
    /// The archive has no job that ended before, Unix milliseconds.
    pub(crate) history_from_ms: u64,
    pub(crate) connected: FxHashMap<u32, Connected>,
    pub(crate) events: Vec<Event>,
}

/// What a logical timer is for. A known child, an open session and the holder of a lock have exactly one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    Slot(u32),
    Child(u32),
    Session(u64),
    Lock(u64),
}

/// An idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Key {
    /// Logical time at which it is forgotten.
    pub(crate) expires_ms: u64,
    pub(crate) text: Arc<str>,
    pub(crate) job: JobId,
}

/// A child that holds or may hold leases.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    pub(crate) worker: u64,
    pub(crate) name: Arc<str>,
    pub(crate) number: u32,
    pub(crate) process: ProcessKey,
    pub(crate) leases: List,
    /// Logical time at which its leases end unless renewed. Not durable: the first start after it attached gives a whole
    /// lease again, which can only be later.
    pub(crate) lease_ends: u64,
}

/// A client's session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    pub(crate) lowest: u64,
    pub(crate) answers: BTreeMap<u64, Answer>,
    /// Logical time of its last request. Not durable: a restart counts as one.
    pub(crate) used_ms: u64,
}

/// What a request came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Jobs were made or found.
    Enqueued(#[serde(with = "EnqueuedFields")] Enqueued),
    /// Something else was changed.
    Changed(Changed),
}

/// What is remembered of jobs that were made or found: not in which states those were.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Enqueued")]
struct EnqueuedFields {
    ids: ByteBuf,
    existing: Vec<u32>,
    #[serde(skip)]
    completed: Vec<u32>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    pub(crate) paused: bool,
    /// A purge is under way for jobs with a lower order than this.
    pub(crate) purge_before: Option<u64>,
    /// Slots per state.
    pub(crate) counts: [u64; 8],
    /// Parked jobs, which are available ones.
    pub(crate) parked: u64,
    /// Lanes by the number of their task.
    pub(crate) lanes: BTreeMap<u32, u32>,
}

impl Queue {
    pub(crate) fn is_idle(&self) -> bool {
        !self.paused && self.purge_before.is_none() && self.lanes.is_empty()
    }
}

impl State {
    /// An empty state machine of shard `shard`.
    pub fn new(shard: u16, limits: Limits) -> Self {
        Self {
            limits,
            shard,
            wall_ms: 0,
            logical_ms: 0,
            epoch: 0,
            fence_counter: 0,
            next_order: 0,
            next_session: 1,
            next_child: 1,
            finish_number: 0,
            archived: 0,
            names: Interned::default(),
            rules: Interned::default(),
            slots: Slots::default(),
            leases: FxHashMap::default(),
            children: BTreeMap::new(),
            absent: BTreeMap::new(),
            sessions: FxHashMap::default(),
            queues: FxHashMap::default(),
            keys_by_age: TrackedFifo::new(),
            periods: FxHashMap::default(),
            periods_by_end: BTreeSet::new(),
            cached: BTreeMap::new(),
            deleted: FxHashMap::default(),
            locks: Locks::default(),
            limiters: Limiters::default(),
            cache: Cache::default(),
            statistics: Statistics::default(),
            lanes: Lanes::default(),
            finished: List::default(),
            free: FreePlaces::new(None),
            keys: FxHashMap::default(),
            unique: FxHashMap::default(),
            parked: BTreeMap::new(),
            purging: BTreeSet::new(),
            wall_timers: TimerWheel::new(0),
            wall_set_back_ms: 0,
            logical_timers: TimerWheel::new(0),
            limit_timers: TimerWheel::new(0),
            limits_asked_ms: 0,
            kept: Kept::default(),
            history_from_ms: 0,
            connected: FxHashMap::default(),
            events: Vec::new(),
        }
    }

    /// The first changes of every run of an engine.
    pub fn begin(&self, epoch: u64, nonce: u64) -> Vec<Change> {
        let swept = self.free.hand().is_none().then_some(Change::PlacesSwept);
        let absent = (!self.children.is_empty()).then_some(Change::ChildrenAbsent);
        [Change::Started { epoch, nonce }].into_iter().chain(swept).chain(absent).collect()
    }

    /// The epoch of the running engine.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The clocks of the newest commit: Unix milliseconds and logical milliseconds.
    pub fn clock(&self) -> (u64, u64) {
        (self.wall_ms, self.logical_ms)
    }

    /// The session opened last.
    pub fn newest_session(&self) -> u64 {
        self.next_session - 1
    }

    /// Whether the session is open.
    pub fn has_session(&self, session: u64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// What a request came to, while its session remembers it.
    pub fn answer(&self, session: u64, number: u64) -> Option<&Answer> {
        self.sessions.get(&session)?.answers.get(&number)
    }

    /// The slot of a job in memory.
    pub fn slot_of(&self, job: JobId) -> Option<u32> {
        self.slots.find(job, self.shard)
    }

    /// The id of the job in `slot`.
    pub fn job_id(&self, slot: u32) -> JobId {
        let entry = self.slots.at(slot);
        JobId::direct(entry.created_ms, self.shard, slot, entry.generation)
    }

    /// The state of the job in `slot`.
    pub fn job_state(&self, slot: u32) -> JobState {
        self.slots.at(slot).job_state()
    }

    /// Whether the job was deleted though a block still holds it.
    pub fn is_deleted(&self, job: JobId) -> bool {
        self.deleted.contains_key(&job)
    }

    /// Jobs deleted though a block still holds them.
    pub fn deleted(&self) -> impl Iterator<Item = JobId> + '_ {
        self.deleted.keys().copied()
    }

    /// Every blob that a job in memory needs.
    pub fn blobs(&self) -> impl Iterator<Item = u64> + '_ {
        self.kept.blobs().iter().copied()
    }

    /// Whether a job in memory needs the blob.
    pub fn needs_blob(&self, id: u64) -> bool {
        self.kept.blobs().contains(&id)
    }

    /// Every cold file that a job in memory needs, by ascending number, and what is needed of it.
    pub fn cold_files(&self) -> impl Iterator<Item = (u64, Live)> + '_ {
        self.kept.cold().iter().map(|(file, live)| (*file, *live))
    }

    /// What jobs in memory need of the cold file.
    pub fn live_in_file(&self, file: u64) -> Live {
        self.kept.cold().get(&file).copied().unwrap_or_default()
    }

    /// What jobs in memory need of the commits below `lsn`; rounded up to 16 commits.
    pub fn live_below(&self, lsn: u64) -> Live {
        self.kept.live_below(lsn)
    }

    /// The commit, at most `lsn`, below which jobs need no more than `most`; the oldest 16 that hold a needed payload are
    /// below it in any case.
    pub fn cut_for(&self, lsn: u64, most: Live) -> u64 {
        self.kept.cut(lsn, most)
    }

    /// Jobs in memory: waiting, running, or finished and not archived yet.
    pub fn jobs(&self) -> u64 {
        u64::from(self.slots.len() - self.free.count())
    }

    /// Jobs that are not finished.
    pub fn unfinished(&self) -> u64 {
        self.jobs() - u64::from(self.finished.count)
    }

    /// Finished jobs that wait for the archive.
    pub fn unarchived(&self) -> u32 {
        self.finished.count
    }

    /// Jobs that ended so far.
    pub fn ended(&self) -> u64 {
        self.finish_number
    }

    /// Jobs archived so far.
    pub fn archived(&self) -> u64 {
        self.archived
    }

    /// The oldest commit that holds a payload still needed, rounded down to 16 commits; `None` if none does.
    pub fn oldest_kept_lsn(&self) -> Option<u64> {
        self.kept.oldest_lsn()
    }

    /// Since when a child has been absent, logical milliseconds: since the first start that it has not attached after.
    pub fn absent_since(&self, child: u32) -> Option<u64> {
        self.absent.get(&child).copied()
    }

    /// Whether a child is absent. While one is, time must be written down although nothing happens: where it begins
    /// again at every start, the child's leases never end.
    pub fn has_absent(&self) -> bool {
        !self.absent.is_empty()
    }

    /// Leases that stand.
    pub fn leased(&self) -> usize {
        self.leases.len()
    }

    /// What happened since the last call, for those outside.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The slot of a job that `child` holds under this fence.
    pub fn leased_slot(&self, child: u32, job: JobId, fence: Fence) -> Option<u32> {
        self.lease_of(job, fence).filter(|(_, lease)| lease.child == child).map(|(slot, _)| slot)
    }

    /// The job that an idempotency key stands for.
    pub(crate) fn job_of_key(&self, text: &str) -> Option<JobId> {
        self.keys_by_age.get(*self.keys.get(text)?).map(|key| key.job)
    }

    /// Whether a lease with this fence stands for the job.
    pub(crate) fn lease_of(&self, job: JobId, fence: Fence) -> Option<(u32, Lease)> {
        let slot = self.slot_of(job)?;
        let lease = *self.leases.get(&slot)?;
        (lease.fence == fence).then_some((slot, lease))
    }
}
