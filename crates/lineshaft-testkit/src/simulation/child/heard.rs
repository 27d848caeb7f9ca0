//! What a child makes of what it hears.

use lineshaft_wire::message::{Finished, Leases, Message, RefusalCode, Refused, Stop};
use lineshaft_wire::{Fence, JobId};

use super::super::attempt::{Attempt, Entry, How, Stage};
use super::super::network::Frame;
use super::super::world::Step;
use super::super::{MILLISECOND, SECOND, Time};
use super::{Child, Phase};

/// Pause before ends that were refused are sent again.
const PAUSE: Time = SECOND;

impl Child {
    /// Something arrived. Errors if it says that a lease was ended which had been renewed in time.
    pub(in crate::simulation) fn receive(
        &mut self,
        link: u64,
        frame: &Frame,
        step: &mut Step<'_>,
    ) -> Result<(), String> {
        if self.link != Some(link) {
            return Ok(());
        }
        match &frame.message {
            Message::ChildAttached(attached) => {
                let Phase::Attaching { since, .. } = self.phase else { return Ok(()) };
                self.check_stale(&attached.stale)?;
                self.phase = Phase::Attached;
                self.is_fresh = true;
                self.lease = attached.lease_ms * MILLISECOND;
                self.renew_at = since + self.lease / 3;
                self.forget(&attached.stale, step);
                self.leased_from(since, step);
            }
            Message::Leases(leases) => self.leased(leases, step)?,
            Message::Finished(finished) => self.confirmed(frame.request_id, finished)?,
            Message::Done(_) => {
                if let Some((_, sent_at)) = self.renewing.take_if(|(renewal, _)| *renewal == frame.request_id)
                {
                    self.leased_from(sent_at, step);
                }
            }
            Message::Stop(stop) => self.stop(*stop, step),
            Message::Refused(refused) => self.refused(frame.request_id, refused, step),
            _ => {}
        }
        Ok(())
    }

    /// An attempt that waits or runs is under a lease that was renewed: whoever ended that would let it run twice.
    fn check_stale(&self, stale: &[Fence]) -> Result<(), String> {
        let is_alive = |attempt: &&Attempt| !matches!(attempt.stage, Stage::Over);
        let ended = stale.iter().find_map(|fence| Some((fence, self.held.get(fence).filter(is_alive)?)));
        ended.map_or(Ok(()), |(fence, attempt)| {
            Err(format!(
                "{:?} is told that its lease {fence} of {} is stale, though it was renewed",
                self.peer(),
                attempt.job
            ))
        })
    }

    /// Four fifths of a lease are used, so that what runs is dead before the engine gives it to others.
    fn leased_from(&mut self, instant: Time, step: &mut Step<'_>) {
        self.leased_until = Some(instant + self.lease * 4 / 5);
        self.renewed_served = Some(self.asked_served);
        step.ledger.renewed(self.held.keys().copied(), self.asked_served);
    }

    fn leased(&mut self, leases: &Leases, step: &mut Step<'_>) -> Result<(), String> {
        let left = self.outstanding.checked_sub(leases.jobs.len() as u32);
        self.outstanding = left.ok_or_else(|| {
            let (peer, count) = (self.peer(), leases.jobs.len());
            format!("{peer:?} has credit for {} and is leased {count} jobs", self.outstanding)
        })?;
        for lease in &leases.jobs {
            let fence = Fence { epoch: leases.epoch, counter: lease.counter };
            self.held.insert(fence, Attempt { job: lease.job, stage: Stage::Waiting });
            // It ends with the others, at the earliest.
            if let Some(served) = self.renewed_served {
                step.ledger.renewed(std::iter::once(fence), served);
            }
        }
        Ok(())
    }

    fn confirmed(&mut self, request: u64, finished: &Finished) -> Result<(), String> {
        let Some(entry) = self.sent.remove(&request) else { return Ok(()) };
        if let Entry::Checkpoint(..) = entry {
            return self.check_stale(&finished.refused.iter().map(|(_, fence)| *fence).collect::<Vec<_>>());
        }
        self.held.retain(|fence, _| !entry.fences().iter().any(|(_, over)| over == fence));
        finished.refused.first().map_or(Ok(()), |(job, fence)| {
            Err(format!(
                "{:?} is refused the end of {job} with {fence}, though it had renewed the lease",
                self.peer()
            ))
        })
    }

    fn refused(&mut self, request: u64, refused: &Refused, step: &mut Step<'_>) {
        if matches!(self.phase, Phase::Attaching { request: attach, .. } if attach == request) {
            return self.reset(step);
        }
        if let Some(entry) = self.sent.remove(&request) {
            self.unsent.push((step.now + PAUSE, entry));
            if !matches!(refused.code, RefusalCode::StoreFull | RefusalCode::QueueFull) {
                self.reset(step);
            }
        }
    }

    /// Leases that are somebody else's: what runs is stopped, and nothing is said of it.
    fn forget(&mut self, stale: &[Fence], step: &mut Step<'_>) {
        for fence in stale {
            if let Some(attempt) = self.held.remove(fence) {
                step.ledger.stop(attempt.job, *fence);
            }
        }
        self.unsent.retain_mut(|(_, entry)| !entry.forget(stale));
    }

    fn stop(&mut self, stop: Stop, step: &mut Step<'_>) {
        let Some(attempt) = self.held.get_mut(&stop.fence) else { return };
        match &mut attempt.stage {
            Stage::Waiting => {
                attempt.stage = Stage::Over;
                let lease = (attempt.job, stop.fence);
                self.release(lease, step);
            }
            Stage::Running { until, how, .. } => {
                (*until, *how) = ((*until).min(step.now + step.rng.u64(..SECOND)), How::IsCancelled);
            }
            Stage::Over => {}
        }
    }

    pub(super) fn release(&mut self, lease: (JobId, Fence), step: &mut Step<'_>) {
        step.ledger.let_go(lease);
        self.unsent.push((step.now, Entry::Release(vec![lease])));
    }
}
