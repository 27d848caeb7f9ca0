//! What the slot and the connection share: jobs on their way in, ends on their way out.
//!
//! One lock, held for nanoseconds. The slot wakes the connection only when waiting would delay something: when it runs
//! out of jobs, when many ends have gathered, or when the first one did.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lineshaft_ipc::shared::{AttemptPage, StopReason};
use lineshaft_wire::message::Progress;
use lineshaft_wire::{Fence, JobId};
use tokio::sync::Notify;

use super::job::{Ended, Job, Next};
use super::pace::Pace;

/// Ends that are worth a frame of their own.
pub(super) const ENDS_FLUSH: usize = 128;
/// Bytes of ends that are worth a frame of their own.
pub(super) const BYTES_FLUSH: usize = 1 << 20;
/// Bytes of results that may be unconfirmed before the slot waits.
const UNSETTLED_BYTES_MAX: usize = 64 << 20;

/// The attempt in the slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) job: JobId,
    pub(super) fence: Fence,
    /// When the slot took it.
    pub(super) since: Instant,
    pub(super) argument_bytes: usize,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) waiting: VecDeque<Job>,
    pub(super) running: Option<Running>,
    pub(super) ends: Vec<Ended>,
    pub(super) ends_bytes: usize,
    /// When the first of them came.
    pub(super) ends_since: Option<Instant>,
    /// Leases ended or handed back and not yet confirmed, those in `ends` included, and the bytes of their results.
    pub(super) unsettled: usize,
    pub(super) unsettled_bytes: usize,
    /// The newest progress that was not sent.
    pub(super) progress: Option<Progress>,
    pub(super) pace: Pace,
    /// The connection knows that there are ends, or handed everything back: it need not be woken for the next one.
    pub(super) told: bool,
    /// The running attempt is long: nothing may wait behind it.
    pub(super) paused: bool,
    /// No new work.
    pub(super) draining: bool,
    /// Until when the leases live for certain; `None` before the first.
    pub(super) leased_until: Option<Instant>,
    /// Leases were dropped that the server still counts as this child's: a new connection has to say so.
    pub(super) lapsed: bool,
    /// Some task must never run twice: whatever waits when the whole worker dies is taken for run, so nothing waits.
    pub(super) one_by_one: bool,
}

/// Shared by the slot's thread and the connection's.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Something came that the slot may wait for.
    changed: Condvar,
    /// Something came that the connection should look at.
    pub(super) wake: Notify,
    pub(super) page: Arc<AttemptPage>,
}

impl Shared {
    pub(super) fn new(page: Arc<AttemptPage>) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), wake: Notify::new(), page }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- The slot's side.

    /// The next job, if one is here.
    pub(super) fn try_next(&self) -> Option<Job> {
        self.take(&mut self.state())
    }

    /// The next job, waiting for it up to `timeout`.
    pub(super) fn next(&self, timeout: Duration) -> Next {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        loop {
            if let Some(job) = self.take(&mut state) {
                return Next::Job(job);
            }
            if state.draining && state.waiting.is_empty() {
                return Next::Drained;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::TimedOut;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn take(&self, state: &mut State) -> Option<Job> {
        let job = state.take();
        if job.is_none() && state.lapsed {
            self.wake.notify_one();
        }
        job
    }

    /// The running attempt ended. With `settle` this waits until the server has confirmed it.
    pub(super) fn finish(&self, ended: Option<Ended>, settle: bool) {
        let mut state = self.state();
        let wake = state.finish(ended, settle);
        if wake {
            self.wake.notify_one();
        }
        while settle && state.unsettled > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.running = None;
        drop(state);
        if settle {
            self.wake.notify_one();
        }
    }

    /// Waits up to `timeout` until the server has confirmed everything; false if it has not.
    pub(super) fn settle(&self, timeout: Duration) -> bool {
        self.wake.notify_one();
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        while state.unsettled > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Leaves the newest progress of an attempt for the connection, if it still runs.
    pub(super) fn report_progress(&self, of: Fence, value: Vec<u8>) {
        let mut state = self.state();
        let Some(Running { job, fence, .. }) = state.running.filter(|running| running.fence == of) else {
            return;
        };
        state.progress = Some(Progress { job, fence, value: value.into() });
        drop(state);
        self.wake.notify_one();
    }

    // ---- The connection's side.

    /// Jobs came.
    pub(super) fn push(&self, jobs: Vec<Job>) {
        self.state().waiting.extend(jobs);
        self.changed.notify_all();
    }

    /// The server confirmed the end or return of this many leases with so many bytes.
    pub(super) fn settled(&self, count: usize, bytes: usize) {
        let mut state = self.state();
        state.unsettled = state.unsettled.saturating_sub(count);
        state.unsettled_bytes = state.unsettled_bytes.saturating_sub(bytes);
        drop(state);
        self.changed.notify_all();
    }

    /// What was unconfirmed with `before` bytes is now to be confirmed with `after` bytes.
    pub(super) fn reweigh(&self, before: usize, after: usize) {
        let mut state = self.state();
        state.unsettled_bytes = (state.unsettled_bytes + after).saturating_sub(before);
        drop(state);
        self.changed.notify_all();
    }

    /// No new work from here on.
    pub(super) fn drain(&self) {
        self.state().draining = true;
        self.changed.notify_all();
        self.wake.notify_one();
    }

    /// Asks the attempt to stop if it is the one in the slot; the request waits for its body to begin.
    pub(super) fn request_stop(&self, fence: Fence, reason: StopReason) -> bool {
        let is_running = self.state().running.is_some_and(|running| running.fence == fence);
        if is_running && self.page.stop_requested(page_fence(fence)).is_none() {
            self.page.request_stop(page_fence(fence), reason);
        }
        is_running
    }
}

impl State {
    fn take(&mut self) -> Option<Job> {
        if self.unsettled_bytes > UNSETTLED_BYTES_MAX {
            return None;
        }
        let now = Instant::now();
        if !self.waiting.is_empty() && self.is_late(now) {
            self.lapse();
        }
        let job = self.waiting.pop_front()?;
        let argument_bytes = job.arguments.len();
        self.running = Some(Running { job: job.id, fence: job.fence, since: now, argument_bytes });
        Some(job)
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

    /// Jobs to hold, the running one included.
    pub(super) fn target(&self) -> u32 {
        if self.one_by_one { 1 } else { self.pace.target() }
    }

    /// Notes an end; true if the connection has to be woken. The attempt stays `running` for the caller to clear.
    fn finish(&mut self, ended: Option<Ended>, settle: bool) -> bool {
        if let Some(running) = &self.running {
            let took = running.since.elapsed();
            self.pace.record_run(took, running.argument_bytes);
        }
        if let Some(ended) = ended {
            let bytes = ended.bytes();
            self.ends_bytes += bytes;
            self.unsettled += 1;
            self.unsettled_bytes += bytes;
            self.ends_since.get_or_insert_with(Instant::now);
            self.ends.push(ended);
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
        std::mem::take(&mut self.ends)
    }

    /// Takes what waits, to be handed back.
    pub(super) fn take_waiting(&mut self) -> Vec<(JobId, Fence)> {
        self.unsettled += self.waiting.len();
        self.waiting.drain(..).map(|job| (job.id, job.fence)).collect()
    }

    /// Takes one waiting job, to be handed back or dropped.
    pub(super) fn take_waiting_one(&mut self, fence: Fence) -> Option<Job> {
        let place = self.waiting.iter().position(|job| job.fence == fence)?;
        self.waiting.remove(place)
    }

    /// Forgets leases that are somebody else's by now; the ends and bytes that went.
    pub(super) fn forget(&mut self, stale: &[Fence]) -> (usize, usize) {
        let before = (self.ends.len(), self.ends_bytes);
        self.waiting.retain(|job| !stale.contains(&job.fence));
        self.ends.retain(|ended| !stale.contains(&ended.fence));
        self.ends_bytes = self.ends.iter().map(Ended::bytes).sum();
        (before.0 - self.ends.len(), before.1 - self.ends_bytes)
    }

    /// How long the running attempt has been in the slot.
    pub(super) fn running_for(&self, now: Instant) -> Option<Duration> {
        self.running.map(|running| now.saturating_duration_since(running.since))
    }

    /// Every lease that is still this child's, but for those sent and not confirmed.
    pub(super) fn held(&self) -> impl Iterator<Item = (JobId, Fence)> {
        let waiting = self.waiting.iter().map(|job| (job.id, job.fence));
        let running = self.running.iter().map(|running| (running.job, running.fence));
        let ends = self.ends.iter().map(|ended| (ended.job, ended.fence));
        waiting.chain(running).chain(ends)
    }
}

/// A fence as the page has it.
pub(super) fn page_fence(fence: Fence) -> lineshaft_ipc::shared::Fence {
    lineshaft_ipc::shared::Fence { epoch: fence.epoch, counter: fence.counter }
}
