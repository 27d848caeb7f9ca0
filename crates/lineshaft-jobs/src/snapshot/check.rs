//! Whether the parts of a snapshot fit together, so that a damaged one is refused before anything is built on it.

use lineshaft_wire::JobState;
use lineshaft_wire::id::{GENERATIONS, SHARDS_MAX};

use super::SnapshotError;
use crate::job::Job;
use crate::state::State;

impl State {
    pub(super) fn check(&self) -> Result<(), SnapshotError> {
        let known = |name: &u32| self.names.get(*name).is_some();
        let mut leased_jobs = 0;
        for (slot, index) in self.slots.jobs().zip(0u32..).filter(|(slot, _)| !slot.is_free()) {
            self.check_job(slot)?;
            let runs = slot.job_state() == JobState::Running;
            if runs != self.leases.contains_key(&index) {
                return Err(SnapshotError::Inconsistent(
                    "a running job without a lease, or the other way round",
                ));
            }
            leased_jobs += usize::from(runs);
        }
        let checks = [
            (self.shard < SHARDS_MAX, "a shard that cannot be"),
            (self.slots.iter().all(|slot| slot.generation < GENERATIONS), "a generation that cannot be"),
            (leased_jobs == self.leases.len(), "a lease of no job"),
            (self.queues.keys().all(known), "a queue without a name"),
            (
                self.absent.keys().all(|child| self.children.contains_key(child)),
                "an unknown child that is absent",
            ),
        ];
        match checks.into_iter().find(|(fits, _)| !fits) {
            Some((_, contradiction)) => Err(SnapshotError::Inconsistent(contradiction)),
            None => Ok(()),
        }
    }

    fn check_job(&self, slot: Job<'_>) -> Result<(), SnapshotError> {
        let mut tags = slot.tags().iter();
        let named = |name: u32| self.names.get(name).is_some();
        let has_time = slot.times.run_at().is_some();
        let waits = matches!(slot.job_state(), JobState::Scheduled | JobState::Retryable);
        let checks = [
            (
                named(slot.task) && named(slot.queue) && tags.all(|tag| named(*tag)),
                "a job with an unknown name",
            ),
            (self.rules.get(slot.rules).is_some(), "a job with unknown rules"),
            ((1..=9).contains(&slot.priority), "a job with a priority that cannot be"),
            (has_time == waits, "a job that waits for a time and has none, or the other way round"),
        ];
        match checks.into_iter().find(|(fits, _)| !fits) {
            Some((_, contradiction)) => Err(SnapshotError::Inconsistent(contradiction)),
            None => Ok(()),
        }
    }
}
