//! Who goes when room is needed: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023), over
//! words of shared memory, by whoever has the lock of a shard.
//!
//! Who comes waits in a small queue of a tenth of the room. At its end, who was used more than once moves to the main
//! queue, and the others go, leaving their hash in a ghost table; who comes back while it is there goes to the main
//! queue at once. There, who was used goes round once more for each use, of which three are counted. Ghosts are numbered
//! in a table of four ways, where the oldest gives way, rather than in a queue: nothing is to be mended after a death.

use super::shard::Shard;
use super::words::{GHOST_WAYS, IS_MAIN, ListWords, USES, Word};
use crate::sync::AtomicU64;

/// Of so many cells the small queue has one.
const SMALL_PART: u32 = 10;

impl Shard<'_> {
    /// Who came in takes its place.
    pub(super) fn line_up(&self, slot: u32) {
        let hash = self.slot(slot).hash.get();
        let is_back = self.take_ghost(hash);
        let small_max = self.cells.len() as u32 / SMALL_PART;
        let overflows = self.words.has_evicted.get() == 0 && self.words.small.cells.get() >= small_max;
        self.push(slot, is_back || overflows);
    }

    /// Who goes leaves its place.
    pub(super) fn leave_line(&self, slot: u32) {
        let (list, place) = (self.list_of(slot), &self.slot(slot).neighbours);
        let (newer, older) = (place.newer.get(), place.older.get());
        match newer {
            0 => list.newest.set(older),
            newer => self.slot(newer).neighbours.older.set(older),
        }
        match older {
            0 => list.oldest.set(newer),
            older => self.slot(older).neighbours.newer.set(newer),
        }
        list.cells.change(|cells| cells - self.slot(slot).cells() as u32);
    }

    /// Chooses who goes; `None` if nobody is there.
    pub(super) fn choose(&self) -> Option<u32> {
        self.words.has_evicted.set(1);
        let main_max = self.cells.len() as u32 - self.cells.len() as u32 / SMALL_PART;
        loop {
            let is_main = self.words.main.cells.get() > main_max || self.words.small.oldest.get() == 0;
            let list = if is_main { &self.words.main } else { &self.words.small };
            let slot = Some(list.oldest.get()).filter(|slot| *slot != 0)?;
            let uses = self.slot(slot).marks.get() & USES;
            if is_main && uses == 0 {
                return Some(slot);
            }
            if !is_main && uses <= 1 {
                self.add_ghost(self.slot(slot).hash.get());
                return Some(slot);
            }
            self.leave_line(slot);
            if is_main {
                self.slot(slot).marks.change(|marks| marks - 1);
            }
            self.push(slot, true);
        }
    }

    fn push(&self, slot: u32, is_main: bool) {
        let marks = &self.slot(slot).marks;
        if is_main && marks.get() & IS_MAIN == 0 {
            marks.change(|marks| (marks & !USES) | IS_MAIN);
        }
        let (list, place) = (self.list_of(slot), &self.slot(slot).neighbours);
        let older = list.newest.get();
        place.newer.set(0);
        place.older.set(older);
        list.newest.set(slot);
        match older {
            0 => list.oldest.set(slot),
            older => self.slot(older).neighbours.newer.set(slot),
        }
        list.cells.change(|cells| cells + self.slot(slot).cells() as u32);
    }

    fn list_of(&self, slot: u32) -> &ListWords {
        if self.slot(slot).marks.get() & IS_MAIN == 0 { &self.words.small } else { &self.words.main }
    }

    // ---- Ghosts: a hash above, its number below.

    fn ways(&self, hash: u64) -> &[AtomicU64] {
        let sets = self.ghosts.len() / GHOST_WAYS;
        let set = (hash >> 8) as usize & (sets - 1);
        &self.ghosts[set * GHOST_WAYS..][..GHOST_WAYS]
    }

    fn add_ghost(&self, hash: u64) {
        self.words.ghost.change(|number| number.wrapping_add(1).max(1));
        let number = self.words.ghost.get();
        let age = |word: u64| number.wrapping_sub(word as u32);
        let is_it = |way: &&AtomicU64| way.get() >> 32 == hash >> 32;
        let ways = self.ways(hash);
        let way = ways.iter().find(is_it).or_else(|| ways.iter().max_by_key(|way| age(way.get())));
        way.expect("there are four").set(hash >> 32 << 32 | u64::from(number));
    }

    /// Whether it went lately: among as many as nine tenths of what is here.
    fn take_ghost(&self, hash: u64) -> bool {
        let is_it = |way: &&AtomicU64| way.get() != 0 && way.get() >> 32 == hash >> 32;
        let Some(way) = self.ways(hash).iter().find(is_it) else { return false };
        let age = self.words.ghost.get().wrapping_sub(way.get() as u32);
        way.set(0);
        age < (self.words.entries.get() / 10 * 9).max(1)
    }
}
