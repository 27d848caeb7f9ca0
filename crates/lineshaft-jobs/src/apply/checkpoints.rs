//! From where jobs go on. One that ended without a result keeps its checkpoint until the archive has it, for the job
//! that `retry` makes.

use crate::change::Place;
use crate::extra::Checkpoint;
use crate::state::State;

impl State {
    pub(super) fn checkpoint(&mut self, index: u32, value: Place) {
        self.keep(value);
        let left_ms = self.wall_ms;
        let extra = self.slots.extra_mut(index);
        let before = extra.checkpoint.replace(Box::new(Checkpoint { value, left_ms }));
        self.unkeep(before.map_or(Place::EMPTY, |before| before.value));
    }

    pub(super) fn drop_checkpoint(&mut self, index: u32) {
        let extra = self.slots.some_extra_mut(index);
        let dropped = extra.and_then(|extra| extra.checkpoint.take());
        self.unkeep(dropped.map_or(Place::EMPTY, |dropped| dropped.value));
    }
}
