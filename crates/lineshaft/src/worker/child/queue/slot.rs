//! The side of the slots: jobs taken up, begun and ended.

use std::os::fd::OwnedFd;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use lineshaft_ipc::shared::StopReason;
use lineshaft_wire::message::Progress;

use super::{Shared, State, page_fence};
use crate::worker::Kind;
use crate::worker::child::helm::{Driver, Helm};
use crate::worker::child::job::{Ended, Job, Next, Ticket};
use crate::worker::child::slots::{Beginning, Running};
use crate::worker::clock::monotonic_ms_of;

impl Shared {
    /// The next job, if one is here and a slot is free.
    pub(in super::super) fn try_next(&self) -> Option<Job> {
        self.take(&mut self.state())
    }

    /// The next job, waiting for it up to `timeout`.
    pub(in super::super) fn next(&self, timeout: Duration) -> Next {
        match self.helm.get() {
            Some(helm) if self.kind == Kind::Process => helm.next(self, timeout),
            _ => self.wait(timeout),
        }
    }

    /// The same while another thread drives the connection.
    pub(in super::super) fn wait(&self, timeout: Duration) -> Next {
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
    pub(in super::super) async fn recv(&self) -> Option<Job> {
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
    pub(in super::super) fn is_drained(&self) -> bool {
        let state = self.state();
        state.draining && state.waiting.is_empty()
    }

    /// From here on `bell` is made readable when a job came.
    pub(in super::super) fn set_bell(&self, bell: OwnedFd) {
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
    pub(super) fn note_offer(&self, state: &mut State, asked: bool) {
        let before = state.offered;
        let since = before.filter(|_| !asked);
        state.offered = state.is_offering().then(|| since.unwrap_or(state.moved));
        if state.offered != before {
            self.page.set_offered(state.offered.map_or(0, monotonic_ms_of));
        }
    }

    /// The body of an attempt runs from here on.
    pub(in super::super) fn begin(&self, ticket: Ticket, beginning: Beginning) {
        if let Some(running) = self.state().slots.get_mut(ticket) {
            running.begun = Some(beginning);
        }
    }

    /// The attempt as its slot has it; `None` once it is over.
    pub(in super::super) fn running(&self, ticket: Ticket) -> Option<Running> {
        self.state().slots.get_mut(ticket).copied()
    }

    /// An attempt ended `now`, and its slot is free. With `settle` this waits before that until the server has confirmed it.
    pub(in super::super) fn finish(&self, ticket: Ticket, ended: Ended, now: Instant, settle: bool) {
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
    pub(in super::super) fn settle(&self, timeout: Duration) -> bool {
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
    pub(in super::super) fn report_progress(&self, ticket: Ticket, value: Vec<u8>) {
        let mut state = self.state();
        let Some(&mut Running { job, fence, .. }) = state.slots.get_mut(ticket) else { return };
        state.progress.insert(fence, Progress { job, fence, value: value.into() });
        drop(state);
        self.call_connection();
    }

    /// A request to stop that is to be passed on to a body, waiting for it up to `timeout`. Each comes once.
    pub(in super::super) fn next_stop(&self, timeout: Duration) -> Option<(Ticket, StopReason)> {
        let state = self.state();
        let waited = self.asked.wait_timeout_while(state, timeout, |state| state.stops.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.stops.pop_front()
    }

    /// The same for coroutines. Cancel-safe.
    pub(in super::super) async fn recv_stop(&self) -> (Ticket, StopReason) {
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
}
