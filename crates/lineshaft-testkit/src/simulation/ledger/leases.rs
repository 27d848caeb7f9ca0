//! How long leases stand.

use lineshaft_wire::{Fence, JobRecord, Outcome};

use super::{Ledger, Verdict};
use crate::simulation::{MILLISECOND, Time};

/// The engine counts milliseconds.
const ROUNDING: Time = 100 * MILLISECOND;

impl Ledger {
    /// A child that has these leases was told that they are renewed; it had asked when the engine had `served` so long.
    pub(in crate::simulation) fn renewed(&mut self, fences: impl Iterator<Item = Fence>, served: Time) {
        self.renewed.extend(fences.map(|fence| (fence, served)));
    }

    /// No lease of a living child ended before the engine had served for a whole one since it was renewed.
    pub(super) fn check_lost(&self, record: &JobRecord) -> Verdict {
        let lost = record.attempts.iter().filter(|attempt| attempt.outcome == Some(Outcome::Lost));
        for fence in lost.map(|attempt| attempt.fence) {
            let standing = self.standing.get(&(record.id, fence));
            let (Some(peer), Some(renewed)) = (standing, self.renewed.get(&fence)) else { continue };
            let served = self.served.saturating_sub(*renewed);
            if served + ROUNDING < self.lease {
                return Err(format!(
                    "the lease {fence} of {} ended {} ms of service after {peer:?} renewed it",
                    record.id,
                    served / MILLISECOND
                ));
            }
        }
        Ok(())
    }
}
