//! Copies of payloads that take the place of the originals, for the jobs that still need them.
//!
//! Between the moment when payloads were looked for and the moment when their copies are durable, jobs end and their
//! slots go to others. A job that is not the same any more, or that does not name the original any more, is left out.
//! The place is the fence: bytes in a commit or a cold file are never anything else.

use std::collections::BTreeSet;

use crate::change::{Change, Move, Place};
use crate::command::{Decision, Now, Reply};
use crate::slot::Slot;
use crate::state::State;

/// How long a leased job's payloads stay where they are, milliseconds: the message that brings it to its worker names
/// them and may not have been read out yet.
const LEASE_REST_MS: u64 = 300_000;
/// Slots looked at beyond which a search pauses.
const LOOK_MAX: u32 = 1 << 20;

/// The payloads that shall move.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those in commits below this one.
    pub below_lsn: u64,
    /// Those in these cold files.
    pub files: BTreeSet<u64>,
}

/// A payload that may move, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movable {
    /// The job's slot.
    pub slot: u32,
    /// Which job of the slot.
    pub generation: u32,
    /// Where the payload lies.
    pub from: Place,
}

/// A payload that was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What was copied.
    pub payload: Movable,
    /// Offset of the copy in its cold file.
    pub offset: u32,
}

impl Wanted {
    fn takes(&self, place: Place) -> bool {
        (place.is_in_commit() && place.lsn < self.below_lsn)
            || (place.is_cold() && self.files.contains(&place.lsn))
    }
}

impl State {
    /// Adds the wanted payloads of up to `slots` slots from `first` on to `found`; gives the slot to go on with, `None`
    /// at the end.
    ///
    /// Left out are those of finished jobs, which the archive takes soon, and of jobs leased in the last five minutes.
    pub fn movable(
        &self,
        wanted: &Wanted,
        first: u32,
        slots: u32,
        now: Now,
        found: &mut Vec<Movable>,
    ) -> Option<u32> {
        let end = self.slots.len();
        let last = first.saturating_add(slots.min(LOOK_MAX)).min(end);
        for index in first..last {
            let slot = self.slots.job(index);
            if !slot.places().any(|place| wanted.takes(place)) || !self.may_move(index, slot.slot, now) {
                continue;
            }
            let places = slot.places().filter(|place| wanted.takes(*place));
            let movable = |from| Movable { slot: index, generation: slot.generation, from };
            found.extend(places.map(movable));
        }
        (last < end).then_some(last)
    }

    fn may_move(&self, index: u32, slot: &Slot, now: Now) -> bool {
        let Some(state) = slot.state() else { return false };
        let lease = self.leases.get(&index);
        let rests = |leased_ms: u64| leased_ms.saturating_add(LEASE_REST_MS) > now.wall_ms;
        !state.is_finished() && lease.is_none_or(|lease| !rests(lease.leased_ms))
    }

    pub(super) fn decide_move(&self, file: u64, copied: &[Copied], now: Now) -> Decision {
        let moves: Vec<Move> = copied.iter().filter_map(|copied| self.still_needed(copied, now)).collect();
        let entries = if moves.is_empty() { Vec::new() } else { vec![Change::Moved { file, moves }.into()] };
        Decision::of(entries, Reply::Done)
    }

    fn still_needed(&self, copied: &Copied, now: Now) -> Option<Move> {
        let Copied { payload: Movable { slot: index, generation, from }, offset } = *copied;
        let slot = (index < self.slots.len()).then(|| self.slots.job(index))?;
        let is_same = slot.generation == generation && self.may_move(index, slot.slot, now);
        let names_it = from.length > 0 && !from.is_blob() && slot.places().any(|place| place == from);
        (is_same && names_it).then_some(Move { slot: index, from, offset })
    }
}
