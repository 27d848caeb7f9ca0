//! What a child runs.

use lineshaft_wire::message::{ChildEnded, End, Finish, Succeeded};
use lineshaft_wire::{ErrorRecord, Fence, JobId};

use super::super::Time;
use super::super::attempt::{Entry, How, Stage, duration, how, other_end};
use super::super::ledger::{Ledger, result_of};
use super::super::world::Step;
use super::{Child, Fate, SLOTS};

impl Child {
    pub(super) fn running(&self) -> impl Iterator<Item = (JobId, Fence)> + '_ {
        let running = self.held.iter().filter(|(_, attempt)| matches!(attempt.stage, Stage::Running { .. }));
        running.map(|(fence, attempt)| (attempt.job, *fence))
    }

    pub(super) fn begin_attempts(&mut self, step: &mut Step<'_>) -> Result<(), String> {
        while self.running().count() < SLOTS {
            let waiting = self.held.iter_mut().find(|(_, attempt)| matches!(attempt.stage, Stage::Waiting));
            let Some((&fence, attempt)) = waiting else { break };
            let job = attempt.job;
            // Now and then it goes back, as it does behind a long one.
            if step.rng.u32(..20) == 0 {
                attempt.stage = Stage::Over;
                self.release((job, fence), step);
                continue;
            }
            let (time, how) = (duration(step.rng), how(step.rng));
            attempt.stage = Stage::Running { began_ms: step.wall_ms, until: step.now + time, how };
            if step.rng.u32(..6) == 0 {
                step.ledger.leaves(job, fence);
                self.unsent.push((step.now + step.rng.u64(..=time), Entry::Checkpoint(job, fence)));
            }
            self.newest_begun = self.newest_begun.max(Some(fence));
            step.ledger.begin(job, fence, self.peer())?;
        }
        Ok(())
    }

    pub(super) fn end_attempts(&mut self, step: &mut Step<'_>) -> Fate {
        let mut finish = Finish::default();
        for (fence, attempt) in &mut self.held {
            let Stage::Running { began_ms, until, how } = attempt.stage else { continue };
            if until > step.now {
                continue;
            }
            if how == How::Crashes {
                return Fate::Dies;
            }
            let job = attempt.job;
            attempt.stage = Stage::Over;
            step.ledger.stop(job, *fence);
            match how.end() {
                None => finish.succeeded.push(Succeeded {
                    job,
                    fence: *fence,
                    started_at: began_ms,
                    finished_at: step.wall_ms,
                    result_length: result_of(job, *fence).len() as u64,
                    output_length: 0,
                }),
                Some(end) => finish.others.push(other_end(job, *fence, began_ms, step.wall_ms, end)),
            }
        }
        if !(finish.succeeded.is_empty() && finish.others.is_empty()) {
            self.unsent.push((step.now, Entry::Ends(finish)));
        }
        Fate::Lives
    }

    /// What its supervisor says of it when it is dead.
    pub(in crate::simulation) fn last_words(&self, step: &mut Step<'_>) -> ChildEnded {
        let mut ended = ChildEnded { child: self.number, newest: self.newest_begun, ..ChildEnded::default() };
        for (fence, attempt) in &self.held {
            match attempt.stage {
                Stage::Running { began_ms, how, .. } => {
                    step.ledger.stop(attempt.job, *fence);
                    let error = ErrorRecord::default();
                    let end = if how == How::Crashes { End::Crashed { error } } else { End::Lost { error } };
                    ended.begun.push(other_end(attempt.job, *fence, began_ms, step.wall_ms, end));
                }
                Stage::Waiting if Some(*fence) < self.newest_begun => ended.unbegun.push(*fence),
                _ => {}
            }
        }
        step.ledger.died(self.peer());
        ended
    }

    /// It is stopped: what it runs does nothing until it goes on.
    pub(in crate::simulation) fn stall(&mut self, until: Time, ledger: &mut Ledger) {
        self.stalled_until = Some(until);
        for (job, fence) in self.running().collect::<Vec<_>>() {
            ledger.stop(job, fence);
        }
    }

    /// It ends with its supervisor, and nobody is left to say how.
    pub(in crate::simulation) fn vanish(&self, ledger: &mut Ledger) {
        for (job, fence) in self.running() {
            ledger.stop(job, fence);
        }
        ledger.died(self.peer());
    }
}
