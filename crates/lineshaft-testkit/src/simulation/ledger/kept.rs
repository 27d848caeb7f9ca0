//! What the engine holds: whether everything that left it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use lineshaft_jobs::State;
use lineshaft_store::ArchivedJob;
use lineshaft_wire::{Fence, JobId, JobRecord, JobState};

use super::{Known, Ledger, Verdict};
use crate::simulation::{SECOND, Time};

/// Jobs without a lease that are looked at in one step.
const SOME: usize = 4;
/// How much longer than two leases the lease of a dead child may stand while the engine is up.
const ORPHAN: Time = 20 * SECOND;

const DAY_MS: u64 = 86_400_000;

impl Ledger {
    /// Jobs that are not in memory.
    pub(in crate::simulation) fn elsewhere(&self, state: &State) -> Vec<JobId> {
        self.jobs.keys().copied().filter(|job| state.slot_of(*job).is_none()).collect()
    }

    /// The days since 1970, of the latest time that was shown.
    pub(in crate::simulation) fn today(&self) -> u64 {
        self.wall_max_ms / DAY_MS
    }

    /// Room is made by the oldest history: of the days before today, one file each.
    pub(in crate::simulation) fn history_may_go(&mut self, today: u64, archived: &[ArchivedJob]) {
        for record in archived.iter().map(|job| &job.record) {
            if let Some(known) = self.jobs.get_mut(&record.id)
                && record.finalized_at.is_some_and(|ms| ms / DAY_MS < today)
            {
                known.may_be_deleted = true;
            }
        }
    }

    /// Everything that left is there; `archived` are those of the jobs elsewhere that the archive has.
    pub(in crate::simulation) fn check(&self, state: &State, archived: &[ArchivedJob]) -> Verdict {
        let archived: BTreeMap<JobId, &ArchivedJob> =
            archived.iter().map(|job| (job.record.id, job)).collect();
        for (job, known) in &self.jobs {
            match (state.slot_of(*job), archived.get(job)) {
                (Some(slot), _) => self.check_job(known, &state.view(slot).record, None)?,
                (None, Some(job)) => self.check_job(known, &job.record, Some(job))?,
                (None, None) if known.may_be_deleted => {}
                (None, None) => return Err(format!("{job} left the engine and is gone: {known:?}")),
            }
        }
        Ok(())
    }

    /// What the engine holds of jobs with a lease, and of some others in turn.
    pub(in crate::simulation) fn check_some(&mut self, state: &State, lease: Time) -> Verdict {
        for job in self.some() {
            let (Some(known), Some(slot)) = (self.jobs.get(&job), state.slot_of(job)) else { continue };
            let record = state.view(slot).record;
            self.check_job(known, &record, None)?;
            self.check_body(&record)?;
        }
        self.check_sole(state)?;
        self.check_orphans(state, lease)
    }

    fn some(&mut self) -> BTreeSet<JobId> {
        let after = self.looked_at.map_or(Bound::Unbounded, Bound::Excluded);
        let others: Vec<JobId> =
            self.jobs.range((after, Bound::Unbounded)).map(|(job, _)| *job).take(SOME).collect();
        self.looked_at = others.last().copied().filter(|_| others.len() == SOME);
        let leased = self.standing.keys().map(|(job, _)| *job);
        leased.chain(self.running.keys().copied()).chain(others).collect()
    }

    /// What runs has a lease that stands.
    fn check_body(&self, record: &JobRecord) -> Verdict {
        let Some((fence, peer)) = self.running.get(&record.id) else { return Ok(()) };
        if record.state == JobState::Running && record.attempts.last().is_some_and(|it| it.fence == *fence) {
            return Ok(());
        }
        Err(format!(
            "{} runs with {fence} at {peer:?}, which is not its lease: it is {}",
            record.id, record.state
        ))
    }

    /// Of those that keep their equals out there is one at a time.
    fn check_sole(&mut self, state: &State) -> Verdict {
        for (key, jobs) in &mut self.sole {
            let is_over = |job: &JobId| match state.slot_of(*job) {
                Some(slot) => state.job_state(slot).is_finished(),
                None => true,
            };
            jobs.retain(|job| !is_over(job));
            if jobs.len() > 1 {
                return Err(format!("there should be one unfinished job with the key {key}: {jobs:?}"));
            }
        }
        Ok(())
    }

    /// The lease of a child that is dead ends.
    fn check_orphans(&mut self, state: &State, lease: Time) -> Verdict {
        let stands = |fence: &Fence, job: JobId| {
            let record = state.slot_of(job).map(|slot| state.view(slot).record);
            record.is_some_and(|record| {
                record.state == JobState::Running
                    && record.attempts.last().is_some_and(|it| it.fence == *fence)
            })
        };
        self.orphans.retain(|fence, (job, _)| stands(fence, *job));
        let late = self.orphans.iter().find(|(_, (_, since))| self.up - since > 2 * lease + ORPHAN);
        late.map_or(Ok(()), |(fence, (job, since))| {
            let seconds = (self.up - since) / SECOND;
            Err(format!("{job} is leased with {fence} to a child that is dead, for {seconds} s of service"))
        })
    }

    fn check_job(&self, known: &Known, record: &JobRecord, archived: Option<&ArchivedJob>) -> Verdict {
        let job = record.id;
        if let Some((ended, result)) = &known.ended {
            if record.state != *ended {
                return Err(format!("{job} was said to be {ended} and is {}", record.state));
            }
            if let (Some(kept), Some(result)) = (archived, result)
                && kept.result != result
            {
                return Err(format!("the archive has another result of {job}"));
            }
        }
        let from_job = self.standing.range((job, Fence::default())..);
        for ((_, fence), peer) in from_job.take_while(|((leased, _), _)| *leased == job) {
            if !record.attempts.iter().any(|attempt| attempt.fence == *fence) {
                return Err(format!(
                    "the lease {fence} of {job} left for {peer:?}, and the engine does not know it"
                ));
            }
        }
        self.check_lost(record)?;
        self.check_cancelled(known, record)?;
        let has_handler =
            known.origin.and_then(|origin| self.wanted(origin)).is_some_and(|it| it.has_handler);
        if has_handler && (record.state == JobState::Discarded) != record.handled_by.is_some() {
            return Err(format!("{job} is {}, and {:?} handles that", record.state, record.handled_by));
        }
        Ok(())
    }
}
