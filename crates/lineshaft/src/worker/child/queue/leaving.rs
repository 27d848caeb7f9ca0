//! What leaves the child: ends of attempts, and jobs that are handed back or somebody else's by now.

use std::collections::BTreeSet;
use std::time::Instant;

use lineshaft_wire::{Fence, JobId};

use super::{BYTES_FLUSH, CAREFUL_JOBS, ENDS_FLUSH, State};
use crate::worker::child::job::{Ended, Job, Ticket};

impl State {
    /// Notes an end; true if the connection has to be woken. The attempt stays in its slot for the caller to clear.
    pub(super) fn finish(&mut self, ticket: Ticket, ended: Ended, now: Instant, settle: bool) -> bool {
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
    pub(in super::super) fn is_worth_a_frame(&self) -> bool {
        let many = self.ends.len() >= ENDS_FLUSH || self.ends_bytes >= BYTES_FLUSH;
        many || self.waiting.is_empty() || self.pace.is_slow()
    }

    /// The ends, for a frame.
    pub(in super::super) fn take_ends(&mut self) -> Vec<Ended> {
        self.ends_bytes = 0;
        self.ends_since = None;
        self.told = false;
        // The next frame is likely to have as many.
        let next = Vec::with_capacity(self.ends.len());
        std::mem::replace(&mut self.ends, next)
    }

    /// Takes what waits, to be handed back.
    pub(in super::super) fn take_waiting(&mut self) -> Vec<(JobId, Fence)> {
        self.unsettled += self.waiting.len();
        self.waiting.drain(..).map(|job| (job.id, job.fence)).collect()
    }

    /// Whether jobs of this task must never run twice.
    fn runs_once(&self, task: u32) -> bool {
        self.once.get(task as usize).copied().unwrap_or(false)
    }

    pub(super) fn note_care(&mut self, job: &Job) {
        self.careful = if self.runs_once(job.task) { CAREFUL_JOBS } else { self.careful.saturating_sub(1) };
    }

    /// Takes what must never run twice and would have to wait, to be handed back.
    pub(in super::super) fn take_waiting_once(&mut self) -> Vec<(JobId, Fence)> {
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
    pub(in super::super) fn take_waiting_one(&mut self, fence: Fence) -> Option<Job> {
        let place = self.waiting.iter().position(|job| job.fence == fence)?;
        self.waiting.remove(place)
    }

    /// Forgets leases that are somebody else's by now; the ends that went, and their bytes.
    pub(in super::super) fn forget(&mut self, stale: &BTreeSet<Fence>) -> (Vec<(JobId, Fence)>, usize) {
        let before = self.ends_bytes;
        self.waiting.retain(|job| !stale.contains(&job.fence));
        self.checkpoints.retain(|pending| !stale.contains(&pending.fence));
        let gone = self.ends.extract_if(.., |ended| stale.contains(&ended.fence));
        let gone = gone.map(|ended| (ended.job, ended.fence)).collect();
        self.ends_bytes = self.ends.iter().map(Ended::bytes).sum();
        (gone, before - self.ends_bytes)
    }

    /// Every lease that is still this child's, but for those sent and not confirmed.
    pub(in super::super) fn held(&self) -> impl Iterator<Item = (JobId, Fence)> {
        let waiting = self.waiting.iter().map(|job| (job.id, job.fence));
        let running = self.slots.iter().map(|(_, running)| (running.job, running.fence));
        let ends = self.ends.iter().map(|ended| (ended.job, ended.fence));
        waiting.chain(running).chain(ends)
    }
}
