//! Jobs in memory of which something does not read any more.

use lineshaft_jobs::{Change, Next, State, Stored};
use lineshaft_store::JournalHandle;
use lineshaft_wire::{JobState, Outcome};

use super::Look;
use crate::core::reference;
use crate::unread::PAYLOAD_LOST;

/// Jobs of one change.
const STEP: usize = 4_096;

/// The slots of those jobs.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    /// All of them.
    pub(super) slots: Vec<u32>,
    /// Those that cannot run for it, since no worker could do anything with them.
    pub(super) dead: Vec<u32>,
}

impl Unreadable {
    /// Reads every payload that a job needs.
    pub(super) fn find(look: &Look) -> Self {
        let (journal, state) = (look.handle(), &look.state);
        let mut found = Self::default();
        for slot in state.occupied_slots() {
            let lost: Vec<_> =
                state.places_of(slot).filter(|place| journal.read(reference(*place)).is_err()).collect();
            if lost.is_empty() {
                continue;
            }
            found.slots.push(slot);
            let view = state.view(slot);
            if !view.record.state.is_finished()
                && (lost.contains(&view.arguments) || lost.contains(&view.checkpoint))
            {
                found.dead.push(slot);
            }
        }
        found
    }

    /// Ends the dead ones.
    pub(super) fn discards(&self, state: &State) -> Vec<Change> {
        let (run, wait): (Vec<u32>, Vec<u32>) =
            self.dead.iter().partition(|slot| state.job_state(**slot) == JobState::Running);
        let wall_ms = state.clock().0;
        let ended = run.into_iter().map(|slot| Change::Ended {
            slot,
            outcome: Outcome::Lost,
            started_ms: wall_ms,
            finished_ms: wall_ms,
            error: Stored::NONE,
            output: Stored::NONE,
            next: Next::Discard(PAYLOAD_LOST.into()),
        });
        let discarded = wait
            .chunks(STEP)
            .map(|slots| Change::Discarded { slots: slots.to_vec(), reason: PAYLOAD_LOST.into() });
        ended.chain(discarded).collect()
    }
}
