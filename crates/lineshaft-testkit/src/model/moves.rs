//! Payloads that are copied into cold files. Nobody sees anything of it but that the commits are not needed any more.

use lineshaft_jobs::{Copied, Movable, PayloadOwner};

use super::job::Job;
use super::{Model, Told};

/// How long a job that was just leased is left alone, milliseconds.
const LEASE_REST_MS: u64 = 300_000;

impl Model {
    /// Whoever asks copies all payloads of a job that came in one commit together.
    pub(super) fn move_payloads(&mut self, copied: &[Copied]) -> Told {
        for Copied { payload: Movable { owner, from }, .. } in copied {
            let (slot, generation) = match owner {
                PayloadOwner::Job { slot, generation } => (slot, generation),
                PayloadOwner::Entry { key } => {
                    let value = self.cached_value_mut(key).filter(|value| value.lsn == Some(from.lsn));
                    value.filter(|_| from.is_in_commit()).into_iter().for_each(|value| value.lsn = None);
                    continue;
                }
            };
            let wall_ms = self.wall_ms;
            let same = |job: &&mut Job| {
                job.id.slot() == Some((*slot, *generation))
                    && !job.state.is_finished()
                    && job.lease.is_none_or(|lease| lease.leased_ms.saturating_add(LEASE_REST_MS) <= wall_ms)
            };
            let Some(job) = self.jobs.iter_mut().find(same) else { continue };
            if from.is_in_commit() {
                job.forget_commit(from.lsn);
            }
        }
        Told::Done
    }
}

impl Job {
    fn forget_commit(&mut self, lsn: u64) {
        let outputs =
            self.attempts.iter_mut().flat_map(|attempt| [&mut attempt.lsn, &mut attempt.output.lsn]);
        let checkpoint = self.checkpoint.iter_mut().map(|(payload, _)| &mut payload.lsn);
        let places = outputs.chain([&mut self.arguments.lsn, &mut self.result.lsn]).chain(checkpoint);
        places.filter(|place| **place == Some(lsn)).for_each(|place| *place = None);
    }
}
