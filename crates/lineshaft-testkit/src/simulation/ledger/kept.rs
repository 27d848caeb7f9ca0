//! What the engine holds: whether everything that left it is there.

use std::collections::BTreeMap;

use lineshaft_jobs::State;
use lineshaft_store::ArchivedJob;
use lineshaft_wire::{JobId, JobRecord, JobState};

use super::{Known, Ledger, Verdict};

impl Ledger {
    /// Jobs that are not in memory.
    pub(in crate::simulation) fn elsewhere(&self, state: &State) -> Vec<JobId> {
        self.jobs.keys().copied().filter(|job| state.slot_of(*job).is_none()).collect()
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
        for (fence, (leased, peer)) in &self.standing {
            let is_known = || record.attempts.iter().any(|attempt| attempt.fence == *fence);
            if *leased == job && !is_known() {
                return Err(format!(
                    "the lease {fence} of {job} left for {peer:?}, and the engine does not know it"
                ));
            }
        }
        let has_handler =
            known.origin.and_then(|origin| self.wanted(origin)).is_some_and(|it| it.has_handler);
        if has_handler && (record.state == JobState::Discarded) != record.handled_by.is_some() {
            return Err(format!("{job} is {}, and {:?} handles that", record.state, record.handled_by));
        }
        Ok(())
    }
}
