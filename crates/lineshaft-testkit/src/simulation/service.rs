//! How long the engine served, in two measures that leave out what it stood still for.

use super::{SECOND, Time};

/// The time between two turns counts as this much at most: longer ones were a stall or had nothing to do.
const UP_MAX: Time = SECOND;

/// How long the engine served, as far as its turns tell.
#[derive(Default)]
pub(super) struct Service {
    /// It was up and able to write for so long at least.
    pub(super) least: Time,
    /// So much of a lease has passed at most. What it stood still for is given back to every lease, and so is a wait for
    /// the disk.
    pub(super) most: Time,
    turned_at: Time,
    rest: Time,
}

impl Service {
    pub(super) fn opened(&mut self, now: Time) {
        (self.turned_at, self.rest) = (now, 0);
    }

    pub(super) fn begins_turn(&mut self, now: Time, is_full: bool) {
        let gap = now - self.turned_at;
        if !is_full {
            self.least += gap.min(UP_MAX);
        }
        let overslept = gap >= self.rest.saturating_add(SECOND);
        self.most += if overslept { self.rest } else { gap };
    }

    /// A turn ended at `now`, and the next one is due after `rest`.
    pub(super) fn ended_turn(&mut self, began: Time, now: Time, rest: Time) {
        if now - began < SECOND {
            self.most += now - began;
        }
        (self.turned_at, self.rest) = (now, rest);
    }
}
