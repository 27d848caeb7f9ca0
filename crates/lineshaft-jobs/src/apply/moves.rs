//! Payloads that lie somewhere else from now on. Nothing else about their jobs changes.

use crate::change::{Move, Place};
use crate::state::State;

impl State {
    pub(super) fn move_payload(&mut self, file: u64, moved: &Move) {
        let to = Place::cold(file, moved.offset, moved.from.length);
        let Some(place) = self.slots.places_mut(moved.slot).into_iter().find(|place| **place == moved.from)
        else {
            return;
        };
        *place = to;
        self.kept.remove(moved.from);
        self.kept.add(to);
    }
}
