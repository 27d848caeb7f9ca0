//! What there is, counted: for those who look at a home as a whole.

use lineshaft_wire::JobState;

use crate::change::Place;
use crate::slot::Slot;
use crate::state::State;

impl State {
    /// Jobs in memory by their state, in the order of a life.
    pub fn counts_by_state(&self) -> [(JobState, u64); 8] {
        let count = |state: JobState| self.queues.values().map(|queue| queue.counts[state as usize]).sum();
        JobState::ALL.map(|state| (state, count(state)))
    }

    /// Every slot with a job in it, by number. Goes through all slots.
    pub fn occupied_slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.occupied().map(|(index, _)| index)
    }

    /// Where the payloads of the job in `slot` lie, empty ones left out.
    pub fn places_of(&self, slot: u32) -> impl Iterator<Item = Place> + '_ {
        self.slots.job(slot).places().filter(|place| place.length > 0)
    }

    fn occupied(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0..).zip(self.slots.iter()).filter(|(_, slot)| !slot.is_free())
    }
}
