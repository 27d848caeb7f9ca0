//! What the slots and the connection share: jobs on their way in, ends on their way out.
//!
//! One lock, held for nanoseconds. A slot wakes the connection only when waiting would delay something: when it runs
//! out of jobs, when many ends have gathered, or when the first one did.

mod connection;
mod holding;
mod leaving;
mod slot;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use lineshaft_ipc::shared::{AttemptPage, Backlog, StopReason};
use lineshaft_wire::Fence;
use lineshaft_wire::message::Progress;
use tokio::sync::Notify;

use super::checkpoint::Pending;
use super::helm::Helm;
use super::job::{Ended, Job, Ticket};
use super::logs::Logs;
use super::pace::Pace;
use super::slots::Slots;
use crate::worker::{Error, Kind};

/// Ends that are worth a frame of their own.
pub(super) const ENDS_FLUSH: usize = 128;
/// Bytes of ends that are worth a frame of their own.
pub(super) const BYTES_FLUSH: usize = 1 << 20;
/// Jobs that come one by one after one that must never run twice: it may have company.
pub(super) const CAREFUL_JOBS: u32 = 16;
/// Bytes of results that may be unconfirmed before the slots wait.
const UNSETTLED_BYTES_MAX: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct State {
    pub(super) waiting: VecDeque<Job>,
    pub(super) slots: Slots,
    pub(super) ends: Vec<Ended>,
    pub(super) ends_bytes: usize,
    /// When the first of them came.
    pub(super) ends_since: Option<Instant>,
    /// Leases ended or handed back and not yet confirmed, those in `ends` included, and the bytes of their results.
    pub(super) unsettled: usize,
    pub(super) unsettled_bytes: usize,
    /// Ends for whose confirmation a slot waits.
    settling: BTreeSet<Fence>,
    /// The newest progress of each attempt that was not sent.
    pub(super) progress: BTreeMap<Fence, Progress>,
    /// Checkpoints that were not sent.
    pub(super) checkpoints: VecDeque<Pending>,
    /// Requests to stop that nobody passed on to the bodies yet.
    stops: VecDeque<(Ticket, StopReason)>,
    pub(super) pace: Pace,
    /// When a job last came, was taken up or ended.
    moved: Instant,
    /// The connection knows that there are ends, or handed everything back: it need not be woken for the next one.
    pub(super) told: bool,
    /// The slots are busy for long, or do not take what is there: nothing may wait behind them.
    pub(super) paused: bool,
    /// What waited was handed back, and no slot asked for a job since.
    stuck: bool,
    /// Since when a job waits, or waited when it was handed back, with a slot free for it and no slot asking.
    offered: Option<Instant>,
    /// No new work.
    pub(super) draining: bool,
    /// Until when the leases live for certain; `None` before the first.
    pub(super) leased_until: Option<Instant>,
    /// Leases were dropped that the server still counts as this child's: a new connection has to say so.
    pub(super) lapsed: bool,
    /// By task, whether it must never run twice: whatever waits when the whole worker dies is taken for run, so no job
    /// of such a task waits.
    pub(super) once: Vec<bool>,
    /// Jobs to come until more than one is asked for again, because one of a task that must never run twice came.
    careful: u32,
    /// Jobs wait in hand for the only slot.
    prefetches: bool,
    /// Threads that wait for a job.
    idle: u32,
}

/// Shared by the slots' threads and the connection's.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// A job came for a slot's thread that waits, or none will come any more.
    came: Condvar,
    /// The same for coroutines.
    came_async: Notify,
    /// The same for an event loop of another language: readable until it is emptied.
    bell: OnceLock<OwnedFd>,
    /// Something was confirmed.
    confirmed: Condvar,
    /// There are `stops`.
    asked: Condvar,
    asked_async: Notify,
    /// Something came that the connection should look at.
    pub(super) wake: Notify,
    /// Who drives the connection, where that changes.
    helm: OnceLock<Helm>,
    pub(super) page: Arc<AttemptPage>,
    pub(super) kind: Kind,
    pub(super) logs: Logs,
    /// The worker's name.
    pub(super) worker: Arc<str>,
}

impl Shared {
    /// For a child with as many slots of `kind` as `page` has places.
    pub(super) fn new(page: Arc<AttemptPage>, kind: Kind, backlog: Arc<Backlog>, worker: Arc<str>) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            slots: Slots::new(page.slots()),
            ends: Vec::new(),
            ends_bytes: 0,
            ends_since: None,
            unsettled: 0,
            unsettled_bytes: 0,
            settling: BTreeSet::new(),
            progress: BTreeMap::new(),
            checkpoints: VecDeque::new(),
            stops: VecDeque::new(),
            pace: Pace::default(),
            moved: Instant::now(),
            told: false,
            paused: false,
            stuck: false,
            offered: None,
            draining: false,
            leased_until: None,
            lapsed: false,
            once: Vec::new(),
            careful: 0,
            prefetches: kind == Kind::Process,
            idle: 0,
        };
        Self {
            state: Mutex::new(state),
            came: Condvar::new(),
            came_async: Notify::new(),
            bell: OnceLock::new(),
            confirmed: Condvar::new(),
            asked: Condvar::new(),
            asked_async: Notify::new(),
            wake: Notify::new(),
            helm: OnceLock::new(),
            page,
            kind,
            logs: Logs::new(backlog),
            worker,
        }
    }

    /// What drives the connection; made by the first call.
    pub(super) fn helm(&self) -> Result<&Helm, Error> {
        if self.helm.get().is_none() {
            // Only the one who makes the child comes here.
            let _ = self.helm.set(Helm::new()?);
        }
        Ok(self.helm.get().expect("it was set"))
    }

    /// The life of the connection's own thread.
    pub(super) fn stand_by(&self) {
        if let Some(helm) = self.helm.get() {
            helm.stand_by(&self.wake);
        }
    }

    /// Makes the connection look.
    pub(super) fn call_connection(&self) {
        self.wake.notify_one();
        if let Some(helm) = self.helm.get() {
            helm.call();
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fence as the page has it.
pub(super) fn page_fence(fence: Fence) -> lineshaft_ipc::shared::Fence {
    lineshaft_ipc::shared::Fence { epoch: fence.epoch, counter: fence.counter }
}
