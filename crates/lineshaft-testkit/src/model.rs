//! A naive reference model of the job engine: what the state machine must do, written down a second time without any
//! of what makes that one fast.
//!
//! Jobs are a list, every question is a look at all of them, nothing is interned, indexed or encoded. What the machine
//! *must* do the model predicts: the answer to a command and the state after it ([`Model::command`]). What the machine
//! *may choose*, which child gets the next jobs and when time's work is done, the model checks ([`Model::check`]).
//! So a history runs on both, and whoever drives it compares them after every step.
//!
//! The model deliberately does not know slots, lanes, timers, snapshots and changes. It does know how a job's id comes
//! about, since that is promised: a place, first in first out, with its generation.

mod attempts;
mod cache;
mod cached;
mod check;
mod checkpoints;
mod children;
mod clock;
mod enqueue;
mod failures;
mod job;
mod limiters;
mod locks;
mod look;
mod moves;
mod requests;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lineshaft_jobs::{Answer, Command, Limits};
use lineshaft_wire::message::{Passed, RefusalCode};
use lineshaft_wire::{Fence, JobId};

pub use check::Choice;
pub use job::{Attempt, Job, Payload, When};

/// What a command was answered with.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// A session with this number is open.
    Session(u64),
    /// What the session remembers of the request.
    Answer(Answer),
    /// A child is known.
    Attached {
        /// Its number.
        child: u32,
        /// The leases that are not its own.
        stale: Vec<Fence>,
    },
    /// Attempts ended, but for these.
    Finished {
        /// Leases that were not the child's.
        refused: Vec<(JobId, Fence)>,
    },
    /// A lock is held, with this fence.
    Locked(u64),
    /// Others hold the lock, or come first.
    LockTaken,
    /// Locks were given back, but for those of these tokens.
    LocksLost(Vec<u64>),
    /// Locks with these fences were taken away.
    LocksBroken(Vec<u64>),
    /// A turn at a limiter, or none.
    Passed(Passed),
    /// It was done.
    Done,
    /// Only the archive may know the job.
    NotInMemory(JobId),
}

/// What those outside must have been told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// A job is finished.
    Finished(JobId),
    /// Jobs were leased.
    Leased(u32, Vec<(JobId, Fence)>),
    /// A child must stop an attempt.
    Stop(u32, Fence),
    /// A lock was given: session, token and fence.
    Locked(u64, u64, u64),
    /// A lock was taken away: session and token.
    LockLost(u64, u64),
    /// A blob is needed no more.
    BlobFreed(u64),
}

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    limits: Limits,
    wall_ms: u64,
    logical_ms: u64,
    lsn: u64,
    epoch: u64,
    /// Leases given in this epoch.
    leases_given: u64,
    /// Jobs that took a place in line so far.
    places_in_line: u64,
    /// Jobs finished so far.
    finished: u64,
    archived: u64,
    /// Every job in memory.
    jobs: Vec<Job>,
    /// Generation of every place.
    generations: Vec<u32>,
    free_places: BTreeSet<u32>,
    /// Free places are used from this one on.
    hand: u32,
    children: Vec<children::Child>,
    children_known: u32,
    sessions: BTreeMap<u64, requests::Session>,
    sessions_opened: u64,
    paused: BTreeSet<Arc<str>>,
    /// Queues with a purge under way, and the last place in line that it comes to.
    purges: BTreeMap<Arc<str>, u64>,
    keys: Vec<enqueue::Key>,
    /// Unique keys that are held for a period, on the wall clock.
    periods: Vec<enqueue::Key>,
    /// Results that are cached.
    cached: Vec<cached::Cached>,
    deleted: BTreeMap<JobId, u64>,
    /// Who holds a lock.
    lock_holders: Vec<locks::Holder>,
    /// Who waits for one.
    lock_line: Vec<locks::Waiter>,
    lock_fence: u64,
    /// When the next turn at each limiter would be if all came evenly, logical nanoseconds.
    limiters: BTreeMap<Arc<str>, u64>,
    cache: Vec<cache::CacheEntry>,
    /// Everything that was invalidated in the cache.
    invalidations: Vec<cache::Invalidation>,
    /// What was being computed before so much was invalidated is not known.
    tickets_from: usize,
    lock_arrivals: u64,
    /// Jobs that gave up and whose handlers are not made yet, in the order of their ends.
    unhandled: Vec<JobId>,
    happened: Vec<Happened>,
    /// Every attempt that ended, with its task, the bytes of its arguments and those of its result.
    ended: Vec<(Arc<str>, Attempt, usize, usize)>,
}

impl Model {
    /// A model of an engine on which nothing happened yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            wall_ms: 0,
            logical_ms: 0,
            lsn: 0,
            epoch: 0,
            leases_given: 0,
            places_in_line: 0,
            finished: 0,
            archived: 0,
            jobs: Vec::new(),
            generations: Vec::new(),
            free_places: BTreeSet::new(),
            hand: 0,
            children: Vec::new(),
            children_known: 0,
            sessions: BTreeMap::new(),
            sessions_opened: 0,
            paused: BTreeSet::new(),
            purges: BTreeMap::new(),
            keys: Vec::new(),
            periods: Vec::new(),
            cached: Vec::new(),
            deleted: BTreeMap::new(),
            lock_holders: Vec::new(),
            lock_line: Vec::new(),
            lock_fence: 0,
            limiters: BTreeMap::new(),
            cache: Vec::new(),
            invalidations: Vec::new(),
            tickets_from: 0,
            lock_arrivals: 0,
            unhandled: Vec::new(),
            happened: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// The next commit begins: its clocks and its number.
    pub fn begin(&mut self, wall_ms: u64, logical_ms: u64, lsn: u64) {
        (self.wall_ms, self.logical_ms, self.lsn) = (wall_ms, logical_ms, lsn);
    }

    /// Carries out a command and says what the machine must answer.
    ///
    /// Errors with the code of the refusal; nothing has changed then.
    pub fn command(&mut self, command: &Command) -> Result<Told, RefusalCode> {
        let told = self.carry_out(command);
        self.handle_failures();
        told
    }

    fn carry_out(&mut self, command: &Command) -> Result<Told, RefusalCode> {
        match command {
            Command::OpenSession => self.open_session(),
            Command::Enqueue { session, request, arguments } => self.enqueue(*session, request, arguments),
            Command::Cancel { session, request } => self.cancel(*session, request),
            Command::Retry { session, request } => self.retry(*session, request),
            Command::RetryArchived { session, sequence, archived } => {
                self.retry_archived(*session, *sequence, archived)
            }
            Command::Delete { session, request, archived } => self.delete(*session, request, *archived),
            Command::ChangeQueue { session, sequence, queue, verb } => {
                self.change_queue(*session, *sequence, queue, *verb)
            }
            Command::Invalidate { session, request } => self.invalidate(*session, request),
            Command::AttachChild(attach) => self.know_child(attach),
            Command::Finish { child, finish, payloads } => self.finish(*child, finish, payloads),
            Command::Checkpoint { child, checkpoint, value } => self.checkpoint(*child, checkpoint, value),
            Command::Release { child, leases } => Ok(self.release(*child, leases)),
            Command::ChildEnded { worker, number, begun, newest, unbegun, outputs } => {
                Ok(self.child_ended((*worker, *number), begun, (*newest, unbegun), outputs))
            }
            Command::ChildVanished { child } | Command::ChildForgotten { child } => {
                Ok(self.child_vanished(*child))
            }
            Command::Restored { sessions_from } => {
                self.sessions.clear();
                self.close_lines(None);
                self.sessions_opened = self.sessions_opened.max(sessions_from.saturating_sub(1));
                Ok(Told::Done)
            }
            Command::Archived { count } => Ok(self.archive(*count)),
            Command::Move { copied, .. } => Ok(self.move_payloads(copied)),
            Command::Acquire { session, request } => self.acquire(*session, request),
            Command::ReleaseLocks { session, tokens } => self.release_locks(*session, tokens),
            Command::BreakLocks { fences } => self.break_locks(fences),
            Command::Pass(pass) => self.pass(pass),
            Command::CacheSet { session, request, values } => self.cache_set(*session, request, values),
            Command::CacheInvalidate { session, request } => self.cache_invalidate(*session, request),
            Command::CacheEvict { keys } => {
                keys.iter().for_each(|key| self.drop_entry(key));
                Ok(Told::Done)
            }
            Command::ArchiveDropped { finalized_before_ms } => {
                self.deleted.retain(|_, finalized_ms| *finalized_ms >= *finalized_before_ms);
                Ok(Told::Done)
            }
        }
    }

    /// What happened since the last call.
    pub fn take_happened(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.happened)
    }
}
