//! The side of the connection: jobs that came, ends that were confirmed, requests to stop.

use std::collections::BTreeSet;
use std::time::Instant;

use lineshaft_ipc::shared::StopReason;
use lineshaft_wire::{Fence, JobId};

use super::{Shared, page_fence};
use crate::worker::Kind;
use crate::worker::child::job::{Job, Ticket};
use crate::worker::child::slots::Running;

impl Shared {
    /// Jobs came.
    pub(in super::super) fn push(&self, jobs: Vec<Job>) {
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

    pub(super) fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            // Full is as good as rung.
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }

    /// The server confirmed the end or return of these leases with so many bytes.
    pub(in super::super) fn settled(&self, fences: &[(JobId, Fence)], bytes: usize) {
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
    pub(in super::super) fn reweigh(&self, before: usize, after: usize) {
        let mut state = self.state();
        state.unsettled_bytes = (state.unsettled_bytes + after).saturating_sub(before);
        drop(state);
        self.call_slots();
    }

    /// No new work from here on.
    pub(in super::super) fn drain(&self) {
        self.state().draining = true;
        self.call_slots();
        self.call_connection();
    }

    /// Asks those attempts to stop that are in slots; the requests wait for their bodies to begin. Whether there are
    /// any.
    pub(in super::super) fn request_stops(&self, fences: &BTreeSet<Fence>, reason: StopReason) -> bool {
        let mut any = false;
        for (ticket, _) in self.state().slots.iter().filter(|(ticket, _)| fences.contains(&ticket.fence)) {
            any = true;
            self.ask(ticket, reason);
        }
        any
    }

    /// Asks every attempt in a slot to stop; whether there are any.
    pub(in super::super) fn request_all_stops(&self, reason: StopReason) -> bool {
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
    pub(in super::super) fn tell_stops(&self) {
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
