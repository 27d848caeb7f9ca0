//! Jobs that are here: whether one may begin, how many more to ask for, and when they had better go back.

use std::time::Instant;

use super::{State, UNSETTLED_BYTES_MAX};
use crate::interpreter::lock_view;
use crate::worker::child::job::Job;
use crate::worker::child::pace::LONG;

impl State {
    pub(super) fn take(&mut self) -> Option<Job> {
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
    pub(super) fn is_offering(&self) -> bool {
        (self.stuck || !self.waiting.is_empty()) && !self.slots.is_full() && !self.is_full_of_bytes()
    }

    pub(super) fn is_full_of_bytes(&self) -> bool {
        self.unsettled_bytes > UNSETTLED_BYTES_MAX
    }

    /// Whether the leases may be somebody else's by now.
    pub(in super::super) fn is_late(&self, now: Instant) -> bool {
        self.leased_until.is_some_and(|until| now >= until)
    }

    /// Drops what waits, since its leases may be somebody else's by now; true if something did.
    ///
    /// They may also be still this child's: where the server stood still too, or this process only for a moment, the
    /// next renewal would keep them for ever. So the connection has to attach anew and list what is really held.
    pub(in super::super) fn lapse(&mut self) -> bool {
        let dropped = !self.waiting.is_empty();
        self.waiting.clear();
        self.lapsed |= dropped;
        dropped
    }

    /// How many more jobs to hold, if as many are on their way as `outstanding` says. A child that may be killed for
    /// one attempt, or works at many, holds none ahead.
    pub(in super::super) fn missing(&self, outstanding: u32) -> u32 {
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
    pub(in super::super) fn is_long(&self, now: Instant) -> bool {
        self.stuck || self.long_at().is_some_and(|at| now >= at)
    }

    /// When that will be so if nothing happens.
    pub(in super::super) fn long_at(&self) -> Option<Instant> {
        let is_stalling = if self.prefetches { self.slots.is_full() } else { !self.waiting.is_empty() };
        is_stalling.then(|| self.moved_at() + LONG)
    }

    /// When it is time to look who has the interpreter's lock. The connection does not hear of what slots begin, so where
    /// one may have begun something it sees for itself.
    pub(in super::super) fn look_due(&mut self, now: Instant) -> Option<Instant> {
        lock_view()?;
        let may_have = !self.waiting.is_empty() || self.slots.has_unbegun();
        let next = self.slots.held_mut().map(|held| held.next_at()).min();
        [next, may_have.then(|| now + LONG)].into_iter().flatten().min()
    }

    fn moved_at(&self) -> Instant {
        let only = self.slots.iter().next().filter(|_| self.prefetches);
        only.map_or(self.moved, |(_, running)| running.since)
    }

    /// What waits was handed back.
    pub(in super::super) fn pause(&mut self) {
        self.paused = true;
        self.stuck = !self.prefetches;
    }
}
