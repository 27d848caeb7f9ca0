//! Copies of payloads that take the place of the originals, for the jobs and entries of the cache that still need them.
//!
//! Between the moment when payloads were looked for and the moment when their copies are durable, jobs end and their
//! slots go to others. A job that is not the same any more, or that does not name the original any more, is left out.
//! The place is the fence: bytes in a commit or a cold file are never anything else.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::change::{Change, Move, MovedValue, Place};
use crate::command::{Decision, Entry, Now, Reply};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movable {
    /// Who needs it.
    pub owner: PayloadOwner,
    /// Where the payload lies.
    pub from: Place,
}

/// Who needs a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadOwner {
    /// A job.
    Job {
        /// Its slot.
        slot: u32,
        /// Which job of the slot.
        generation: u32,
    },
    /// An entry of the cache.
    Entry {
        /// Its name.
        key: Arc<str>,
    },
}

/// A payload that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// at the end. Entries of the cache come behind all slots, as if they were more of them.
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
        let jobs_end = self.slots.len();
        let end = jobs_end.saturating_add(self.cache.end());
        let last = first.saturating_add(slots.min(LOOK_MAX)).min(end);
        for index in first.max(jobs_end)..last {
            let index = index - jobs_end;
            let Some(entry) = self.cache.at(index).filter(|entry| wanted.takes(entry.place)) else {
                continue;
            };
            let owner = PayloadOwner::Entry { key: Arc::clone(&entry.entry.key) };
            found.push(Movable { owner, from: entry.place });
        }
        for index in first..last.min(jobs_end) {
            let slot = self.slots.job(index);
            if !slot.places().any(|place| wanted.takes(place)) || !self.may_move(index, slot.slot, now) {
                continue;
            }
            let places = slot.places().filter(|place| wanted.takes(*place));
            let owner = PayloadOwner::Job { slot: index, generation: slot.generation };
            let movable = |from| Movable { owner: owner.clone(), from };
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
        let (mut of_jobs, mut of_entries) = (Vec::new(), Vec::new());
        for Copied { payload: Movable { owner, from }, offset } in copied {
            let (from, offset) = (*from, *offset);
            match owner {
                &PayloadOwner::Job { slot, generation } => {
                    let is_needed = self.job_needs(slot, generation, from, now);
                    of_jobs.extend(is_needed.then_some(Move { slot, from, offset }));
                }
                PayloadOwner::Entry { key } => {
                    let entry = self.cache.index(key).and_then(|index| self.cache.at(index));
                    let is_needed = entry.is_some_and(|entry| entry.place == from);
                    of_entries.extend(is_needed.then(|| MovedValue { key: Arc::clone(key), from, offset }));
                }
            }
        }
        let jobs = (!of_jobs.is_empty()).then_some(Change::Moved { file, moves: of_jobs });
        let entries = (!of_entries.is_empty()).then_some(Change::EntriesMoved { file, moves: of_entries });
        Decision::of(jobs.into_iter().chain(entries).map(Entry::from).collect(), Reply::Done)
    }

    fn job_needs(&self, index: u32, generation: u32, from: Place, now: Now) -> bool {
        let slot = (index < self.slots.len()).then(|| self.slots.job(index));
        slot.is_some_and(|slot| {
            let is_same = slot.generation == generation && self.may_move(index, slot.slot, now);
            is_same && from.length > 0 && !from.is_blob() && slot.places().any(|place| place == from)
        })
    }
}
