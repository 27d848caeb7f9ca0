//! What the slots and the connection share: jobs on their way in, ends on their way out.
//!
//! One lock, held for nanoseconds. A slot wakes the connection only when waiting would delay something: when it runs
//! out of jobs, when many ends have gathered, or when the first one did.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lineshaft_ipc::shared::{AttemptPage, StopReason};
use lineshaft_wire::message::Progress;
use lineshaft_wire::{Fence, JobId};
use tokio::sync::Notify;

use super::checkpoint::Pending;
use super::helm::{Driver, Helm};
use super::job::{Ended, Job, Next, Ticket};
use super::pace::{LONG, Pace};
use super::slots::{Beginning, Running, Slots};
use crate::worker::clock::monotonic_ms_of;
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
}

impl Shared {
    /// For a child with as many slots of `kind` as `page` has places.
    pub(super) fn new(page: Arc<AttemptPage>, kind: Kind) -> Self {
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

    // ---- The slots' side.

    /// The next job, if one is here and a slot is free.
    pub(super) fn try_next(&self) -> Option<Job> {
        self.take(&mut self.state())
    }

    /// The next job, waiting for it up to `timeout`.
    pub(super) fn next(&self, timeout: Duration) -> Next {
        match self.helm.get() {
            Some(helm) if self.kind == Kind::Process => helm.next(self, timeout),
            _ => self.wait(timeout),
        }
    }

    /// The same while another thread drives the connection.
    pub(super) fn wait(&self, timeout: Duration) -> Next {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        loop {
            if let Some(next) = self.take_or_end(&mut state) {
                return next;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::TimedOut;
            }
            state.idle += 1;
            state = self.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
        }
    }

    /// The next job, or that none will come; for coroutines. Cancel-safe.
    pub(super) async fn recv(&self) -> Option<Job> {
        if let Some(job) = self.try_next() {
            return Some(job);
        }
        loop {
            let came = self.came_async.notified();
            let mut came = std::pin::pin!(came);
            came.as_mut().enable();
            match self.take_or_end(&mut self.state()) {
                Some(Next::Job(job)) => return Some(job),
                Some(_) => return None,
                None => {}
            }
            came.await;
        }
    }

    /// Whether no job will come any more.
    pub(super) fn is_drained(&self) -> bool {
        let state = self.state();
        state.draining && state.waiting.is_empty()
    }

    /// From here on `bell` is made readable when a job came.
    pub(super) fn set_bell(&self, bell: OwnedFd) {
        // A second one would be a mistake of the caller; the first one goes on ringing.
        let _ = self.bell.set(bell);
        self.ring();
    }

    fn take_or_end(&self, state: &mut State) -> Option<Next> {
        match self.take(state) {
            Some(job) => Some(Next::Job(job)),
            None if state.draining && state.waiting.is_empty() => Some(Next::Drained),
            None => None,
        }
    }

    fn take(&self, state: &mut State) -> Option<Job> {
        let was_stuck = std::mem::take(&mut state.stuck);
        let job = state.take();
        self.note_offer(state, true);
        if let Some(job) = &job {
            self.page.take(job.place, page_fence(job.fence));
        }
        if was_stuck || (job.is_none() && state.lapsed) {
            self.call_connection();
        }
        job
    }

    /// Says in the page since when jobs are offered to slots that do not take them; `asked` if one has just asked.
    fn note_offer(&self, state: &mut State, asked: bool) {
        let before = state.offered;
        let since = before.filter(|_| !asked);
        state.offered = state.is_offering().then(|| since.unwrap_or(state.moved));
        if state.offered != before {
            self.page.set_offered(state.offered.map_or(0, monotonic_ms_of));
        }
    }

    /// The body of an attempt runs from here on.
    pub(super) fn begin(&self, ticket: Ticket, beginning: Beginning) {
        if let Some(running) = self.state().slots.get_mut(ticket) {
            running.begun = Some(beginning);
        }
    }

    /// The attempt as its slot has it; `None` once it is over.
    pub(super) fn running(&self, ticket: Ticket) -> Option<Running> {
        self.state().slots.get_mut(ticket).copied()
    }

    /// An attempt ended `now`, and its slot is free. With `settle` this waits before that until the server has confirmed it.
    pub(super) fn finish(&self, ticket: Ticket, ended: Ended, now: Instant, settle: bool) {
        let mut state = self.state();
        let wake = state.finish(ticket, ended, now, settle);
        // Before the attempt is off the page, so that its end is on its way at any time.
        self.page.set_unsettled(state.unsettled as u64);
        if settle {
            self.call_connection();
        } else if wake && self.helm.get().map(Helm::driver) != Some(Driver::Nobody) {
            // Else the slot drives when it comes back.
            self.wake.notify_one();
        }
        while settle && state.settling.contains(&ticket.fence) {
            state = self.confirmed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // While nobody else can take the place.
        self.page.end(ticket.place);
        state.slots.leave(ticket);
        if settle {
            state.moved = Instant::now();
        }
        self.note_offer(&mut state, false);
        drop(state);
        if settle {
            self.call_connection();
        }
    }

    /// Waits up to `timeout` until the server has confirmed everything; false if it has not.
    pub(super) fn settle(&self, timeout: Duration) -> bool {
        self.call_connection();
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        while state.unsettled > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.confirmed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Leaves the newest progress of an attempt for the connection, if it still runs.
    pub(super) fn report_progress(&self, ticket: Ticket, value: Vec<u8>) {
        let mut state = self.state();
        let Some(&mut Running { job, fence, .. }) = state.slots.get_mut(ticket) else { return };
        state.progress.insert(fence, Progress { job, fence, value: value.into() });
        drop(state);
        self.call_connection();
    }

    /// A request to stop that is to be passed on to a body, waiting for it up to `timeout`. Each comes once.
    pub(super) fn next_stop(&self, timeout: Duration) -> Option<(Ticket, StopReason)> {
        let state = self.state();
        let waited = self.asked.wait_timeout_while(state, timeout, |state| state.stops.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.stops.pop_front()
    }

    /// The same for coroutines. Cancel-safe.
    pub(super) async fn recv_stop(&self) -> (Ticket, StopReason) {
        loop {
            let asked = self.asked_async.notified();
            let mut asked = std::pin::pin!(asked);
            asked.as_mut().enable();
            if let Some(stop) = self.state().stops.pop_front() {
                return stop;
            }
            asked.await;
        }
    }

    // ---- The connection's side.

    /// Jobs came.
    pub(super) fn push(&self, jobs: Vec<Job>) {
        let count = jobs.len();
        let mut state = self.state();
        jobs.iter().for_each(|job| state.note_care(job));
        state.waiting.extend(jobs);
        state.moved = Instant::now();
        self.note_offer(&mut state, false);
        let idle = state.idle as usize;
        drop(state);
        // Each is a system call, whether or not somebody waits.
        (0..count.min(idle)).for_each(|_| self.came.notify_one());
        self.came_async.notify_waiters();
        self.ring();
    }

    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            // Full is as good as rung.
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }

    /// The server confirmed the end or return of these leases with so many bytes.
    pub(super) fn settled(&self, fences: &[(JobId, Fence)], bytes: usize) {
        let mut state = self.state();
        let was_full = state.is_full_of_bytes();
        state.unsettled = state.unsettled.saturating_sub(fences.len());
        state.unsettled_bytes = state.unsettled_bytes.saturating_sub(bytes);
        self.page.set_unsettled(state.unsettled as u64);
        let is_awaited = !state.settling.is_empty() || state.unsettled == 0;
        if !state.settling.is_empty() {
            for (_, fence) in fences {
                state.settling.remove(fence);
            }
        }
        drop(state);
        if is_awaited {
            self.confirmed.notify_all();
        }
        if was_full {
            self.call_slots();
        }
    }

    /// Slots may wait for confirmation rather than for jobs, or for the end.
    fn call_slots(&self) {
        self.came.notify_all();
        self.came_async.notify_waiters();
        self.ring();
    }

    /// What was unconfirmed with `before` bytes is now to be confirmed with `after` bytes.
    pub(super) fn reweigh(&self, before: usize, after: usize) {
        let mut state = self.state();
        state.unsettled_bytes = (state.unsettled_bytes + after).saturating_sub(before);
        drop(state);
        self.call_slots();
    }

    /// No new work from here on.
    pub(super) fn drain(&self) {
        self.state().draining = true;
        self.call_slots();
        self.call_connection();
    }

    /// Asks those attempts to stop that are in slots; the requests wait for their bodies to begin. Whether there are
    /// any.
    pub(super) fn request_stops(&self, fences: &BTreeSet<Fence>, reason: StopReason) -> bool {
        let mut any = false;
        for (ticket, _) in self.state().slots.iter().filter(|(ticket, _)| fences.contains(&ticket.fence)) {
            any = true;
            self.ask(ticket, reason);
        }
        any
    }

    /// Asks every attempt in a slot to stop; whether there are any.
    pub(super) fn request_all_stops(&self, reason: StopReason) -> bool {
        let state = self.state();
        state.slots.iter().for_each(|(ticket, _)| self.ask(ticket, reason));
        state.slots.busy() > 0
    }

    fn ask(&self, ticket: Ticket, reason: StopReason) {
        let fence = page_fence(ticket.fence);
        if self.page.stop_requested(ticket.place, fence).is_none() {
            self.page.request_stop(ticket.place, fence, reason);
        }
    }

    /// Passes requests to stop on that stand in the page, each once.
    pub(super) fn tell_stops(&self) {
        if self.kind == Kind::Process {
            return;
        }
        let mut state = self.state();
        let asked = |(ticket, running): (Ticket, &Running)| {
            let reason = self.page.stop_requested(ticket.place, page_fence(ticket.fence))?;
            (running.begun.is_some() && !running.told).then_some((ticket, reason))
        };
        let stops: Vec<_> = state.slots.iter().filter_map(asked).collect();
        if stops.is_empty() {
            return;
        }
        for (ticket, _) in &stops {
            if let Some(running) = state.slots.get_mut(*ticket) {
                running.told = true;
            }
        }
        state.stops.extend(stops);
        drop(state);
        self.asked.notify_all();
        self.asked_async.notify_waiters();
    }
}

impl State {
    fn take(&mut self) -> Option<Job> {
        if self.is_full_of_bytes() || self.slots.is_full() {
            return None;
        }
        let now = Instant::now();
        if !self.waiting.is_empty() && self.is_late(now) {
            self.lapse();
        }
        let mut job = self.waiting.pop_front()?;
        job.place = self.slots.occupy(&job, now);
        self.moved = now;
        Some(job)
    }

    /// Whether a slot that is free should take a job.
    fn is_offering(&self) -> bool {
        (self.stuck || !self.waiting.is_empty()) && !self.slots.is_full() && !self.is_full_of_bytes()
    }

    fn is_full_of_bytes(&self) -> bool {
        self.unsettled_bytes > UNSETTLED_BYTES_MAX
    }

    /// Whether the leases may be somebody else's by now.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.leased_until.is_some_and(|until| now >= until)
    }

    /// Drops what waits, since its leases may be somebody else's by now; true if something did.
    ///
    /// They may also be still this child's: where the server stood still too, or this process only for a moment, the
    /// next renewal would keep them for ever. So the connection has to attach anew and list what is really held.
    pub(super) fn lapse(&mut self) -> bool {
        let dropped = !self.waiting.is_empty();
        self.waiting.clear();
        self.lapsed |= dropped;
        dropped
    }

    /// How many more jobs to hold, if as many are on their way as `outstanding` says. A child that may be killed for
    /// one attempt, or works at many, holds none ahead.
    pub(super) fn missing(&self, outstanding: u32) -> u32 {
        let held = self.waiting.len() as u32 + self.slots.busy() + outstanding;
        if !self.prefetches || self.careful > 0 {
            return self.slots.most().saturating_sub(held);
        }
        let target = self.pace.target();
        let missing = target.saturating_sub(held);
        // Small additions to a large credit can wait for more of their kind.
        if missing > target / 8 { missing } else { 0 }
    }

    /// Whether nothing may wait here: the only slot is busy for long, or many do not take what is there.
    pub(super) fn is_long(&self, now: Instant) -> bool {
        self.stuck || self.long_at().is_some_and(|at| now >= at)
    }

    /// When that will be so if nothing happens.
    pub(super) fn long_at(&self) -> Option<Instant> {
        let is_stalling = if self.prefetches { self.slots.is_full() } else { !self.waiting.is_empty() };
        is_stalling.then(|| self.moved_at() + LONG)
    }

    fn moved_at(&self) -> Instant {
        let only = self.slots.iter().next().filter(|_| self.prefetches);
        only.map_or(self.moved, |(_, running)| running.since)
    }

    /// What waits was handed back.
    pub(super) fn pause(&mut self) {
        self.paused = true;
        self.stuck = !self.prefetches;
    }

    /// Notes an end; true if the connection has to be woken. The attempt stays in its slot for the caller to clear.
    fn finish(&mut self, ticket: Ticket, ended: Ended, now: Instant, settle: bool) -> bool {
        self.moved = now;
        self.stuck = false;
        self.progress.remove(&ticket.fence);
        if let Some(running) = self.slots.get_mut(ticket).copied() {
            self.pace.record_run(now - running.since, running.argument_bytes);
        }
        let bytes = ended.bytes();
        self.ends_bytes += bytes;
        self.unsettled += 1;
        self.unsettled_bytes += bytes;
        self.ends_since.get_or_insert(now);
        self.ends.push(ended);
        if settle {
            self.settling.insert(ticket.fence);
        }
        let first = !std::mem::replace(&mut self.told, true);
        first || settle || self.is_worth_a_frame()
    }

    /// Whether the ends should leave now rather than wait for others.
    pub(super) fn is_worth_a_frame(&self) -> bool {
        let many = self.ends.len() >= ENDS_FLUSH || self.ends_bytes >= BYTES_FLUSH;
        many || self.waiting.is_empty() || self.pace.is_slow()
    }

    /// The ends, for a frame.
    pub(super) fn take_ends(&mut self) -> Vec<Ended> {
        self.ends_bytes = 0;
        self.ends_since = None;
        self.told = false;
        // The next frame is likely to have as many.
        let next = Vec::with_capacity(self.ends.len());
        std::mem::replace(&mut self.ends, next)
    }

    /// Takes what waits, to be handed back.
    pub(super) fn take_waiting(&mut self) -> Vec<(JobId, Fence)> {
        self.unsettled += self.waiting.len();
        self.waiting.drain(..).map(|job| (job.id, job.fence)).collect()
    }

    /// Whether jobs of this task must never run twice.
    fn runs_once(&self, task: u32) -> bool {
        self.once.get(task as usize).copied().unwrap_or(false)
    }

    fn note_care(&mut self, job: &Job) {
        self.careful = if self.runs_once(job.task) { CAREFUL_JOBS } else { self.careful.saturating_sub(1) };
    }

    /// Takes what must never run twice and would have to wait, to be handed back.
    pub(super) fn take_waiting_once(&mut self) -> Vec<(JobId, Fence)> {
        if self.careful == 0 {
            return Vec::new();
        }
        let free = self.slots.most().saturating_sub(self.slots.busy()) as usize;
        let (kept, back): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .enumerate()
            .partition(|(at, job)| *at < free || !self.runs_once(job.task));
        self.waiting = kept.into_iter().map(|(_, job)| job).collect();
        self.unsettled += back.len();
        back.into_iter().map(|(_, job)| (job.id, job.fence)).collect()
    }

    /// Takes one waiting job, to be handed back or dropped.
    pub(super) fn take_waiting_one(&mut self, fence: Fence) -> Option<Job> {
        let place = self.waiting.iter().position(|job| job.fence == fence)?;
        self.waiting.remove(place)
    }

    /// Forgets leases that are somebody else's by now; the ends that went, and their bytes.
    pub(super) fn forget(&mut self, stale: &BTreeSet<Fence>) -> (Vec<(JobId, Fence)>, usize) {
        let before = self.ends_bytes;
        self.waiting.retain(|job| !stale.contains(&job.fence));
        self.checkpoints.retain(|pending| !stale.contains(&pending.fence));
        let gone = self.ends.extract_if(.., |ended| stale.contains(&ended.fence));
        let gone = gone.map(|ended| (ended.job, ended.fence)).collect();
        self.ends_bytes = self.ends.iter().map(Ended::bytes).sum();
        (gone, before - self.ends_bytes)
    }

    /// Every lease that is still this child's, but for those sent and not confirmed.
    pub(super) fn held(&self) -> impl Iterator<Item = (JobId, Fence)> {
        let waiting = self.waiting.iter().map(|job| (job.id, job.fence));
        let running = self.slots.iter().map(|(_, running)| (running.job, running.fence));
        let ends = self.ends.iter().map(|ended| (ended.job, ended.fence));
        waiting.chain(running).chain(ends)
    }
}

/// A fence as the page has it.
pub(super) fn page_fence(fence: Fence) -> lineshaft_ipc::shared::Fence {
    lineshaft_ipc::shared::Fence { epoch: fence.epoch, counter: fence.counter }
}
