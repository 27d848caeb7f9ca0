//! A part of a table, changed under a lock of its own.
//!
//! A lock that was of the dead leaves a shard as it was if they changed nothing, and otherwise empty: what was kept can be
//! computed again, and nothing has to be mended.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

use super::content::{self, Content, Reader};
use super::layout::Parts;
use super::words::{
    Bucket, CELL_BYTES, Cell, IS_RESIDENT, PoolWords, ShardWords, Slot, USES, WATCHED_BY_NONE, Word,
};
use super::{Key, Stored, Terms, sources};
use crate::sync::{AtomicU64, Owner};

/// Slots that are looked at for an entry that comes, whether their time is over: all, before as many have come as there
/// are.
const SWEEP: usize = 4;
/// Memory is taken for so many bytes of slots, or of cells, at a time.
const RESERVE_BYTES: usize = 256 << 10;

pub(super) struct Shard<'a> {
    parts: &'a Parts,
    number: usize,
    pub(super) words: &'a ShardWords,
    buckets: &'a [Bucket],
    pub(super) ghosts: &'a [AtomicU64],
    slots: &'a [Slot],
    pub(super) cells: &'a [Cell],
}

/// Gives the lock back, whatever happens; a change that came to no end is found by the next one.
struct Unlocks<'a>(&'a ShardWords);

impl Drop for Unlocks<'_> {
    fn drop(&mut self) {
        self.0.lock.unlock();
    }
}

/// What was found of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) slot: u32,
    pub(super) is_stale: bool,
    /// Its time is counted from its last use.
    pub(super) is_idle: bool,
}

impl<'a> Shard<'a> {
    pub(super) fn new(parts: &'a Parts, number: usize) -> Self {
        Self {
            parts,
            number,
            words: parts.words(number),
            buckets: parts.buckets(number),
            ghosts: parts.ghosts(number),
            slots: parts.slots(number),
            cells: parts.cells(number),
        }
    }

    /// `number` is one more than its place. Only of those that the lock keeps in order.
    pub(super) fn slot(&self, number: u32) -> &'a Slot {
        &self.slots[number as usize - 1]
    }

    fn bucket(&self, key: Key<'_>) -> &'a Bucket {
        &self.buckets[self.parts.layout.bucket_of(key.hash)]
    }

    // ---- Looking, with the lock or within `Version::read`.

    /// The entry of `key` if it may be served, whose value is appended to `into`.
    pub(super) fn look(&self, key: Key<'_>, now_ms: u64, into: Option<&mut Vec<u8>>) -> Option<Seen> {
        let (slot, mut value) = self.find(key)?;
        let entry = self.slots.get(slot as usize - 1)?;
        if !self.is_true(entry) {
            return None;
        }
        let expires_ms = entry.expires_ms.get();
        if now_ms >= expires_ms.saturating_add(entry.stale_ms.get().into()) {
            return None;
        }
        if let Some(into) = into {
            value.copy(entry.value_bytes.get() as usize, into)?;
        }
        Some(Seen { slot, is_stale: now_ms >= expires_ms, is_idle: entry.idle_ms.get() != 0 })
    }

    /// The slot of `key`, and a reader at its value.
    fn find(&self, key: Key<'_>) -> Option<(u32, Reader<'a>)> {
        let mut number = self.bucket(key).first.get();
        // Without the lock a row of them may be anything, also a ring.
        for _ in 0..=self.slots.len() {
            let slot = self.slots.get((number as usize).checked_sub(1)?)?;
            if slot.hash.get() == key.hash && slot.key_bytes.get() as usize == key.bytes.len() {
                let mut reader = Reader::new(self.cells, slot.cell.get());
                reader.skip(slot.words_before_key())?;
                if reader.is(key.bytes) {
                    return Some((number, reader));
                }
            }
            number = slot.next.get();
        }
        None
    }

    /// Whether nothing of it was invalidated since it was computed.
    fn is_true(&self, slot: &Slot) -> bool {
        let stamp = slot.stamp.get();
        let tags = self.parts.tags();
        stamp >= self.words.true_since.load(Acquire)
            && content::tags(self.cells, slot)
                .all(|tag| tag.is_some_and(|tag| tags[usize::from(tag)].load(Acquire) <= stamp))
            && (slot.sources.get() == 0 || self.stand_sources(slot, stamp).is_some())
    }

    /// Whether nothing of what it was computed from was invalidated since, or came after it was stored.
    fn stand_sources(&self, slot: &Slot, stamp: u64) -> Option<()> {
        let (stored, mut places) = content::sources(self.cells, slot)?;
        let stands = |place| sources::stands(self.parts, place, stamp).is_some_and(|came| came <= stored);
        places.all(|place| place.is_some_and(stands)).then_some(())
    }

    /// The entry was served. Needs no lock: at worst somebody else's use is counted.
    pub(super) fn count_use(&self, slot: u32) {
        let Some(slot) = self.slots.get((slot as usize).wrapping_sub(1)) else { return };
        let marks = slot.marks.get();
        if marks & IS_RESIDENT != 0 && marks & USES < USES {
            // Whoever was faster has counted.
            let _ = slot.marks.compare_exchange(marks, marks + 1, Relaxed, Relaxed);
        }
    }

    // ---- The lock.

    /// Does `change` with the lock; `None` if it took longer than `timeout` to get it.
    pub(super) fn locked<T>(
        &self,
        me: Owner,
        timeout: Duration,
        change: impl FnOnce(&Self) -> T,
    ) -> Option<T> {
        self.words.lock.lock(me, Some(timeout))?;
        let _unlocks = Unlocks(self.words);
        // Also after those who lost it by dying: others may have had it since, and looked at nothing.
        if self.words.version.is_in_change() {
            self.changed(Self::empty);
        }
        Some(change(self))
    }

    /// Whoever has the lock makes a change.
    fn changed<T>(&self, change: impl FnOnce(&Self) -> T) -> T {
        self.words.version.begin();
        let result = change(self);
        self.words.version.end();
        result
    }

    /// No entries any more, and no ghosts. What memory was taken stays, and what was invalidated is not forgotten.
    pub(super) fn empty(&self) {
        self.buckets.iter().for_each(|bucket| bucket.first.set(0));
        self.ghosts.iter().for_each(|ghost| ghost.set(0));
        for list in [&self.words.small, &self.words.main] {
            list.newest.set(0);
            list.oldest.set(0);
            list.cells.set(0);
        }
        for pool in [&self.words.slots, &self.words.cells] {
            pool.first.set(0);
            pool.given_back.set(0);
            pool.touched.set(0);
        }
        // A sweep finds nobody where somebody was.
        let reserved = self.words.slots.reserved.get() as usize;
        self.slots[..reserved.min(self.slots.len())].iter().for_each(|slot| slot.marks.set(0));
        // Whoever died may have had more to say to those who were computed from what was here.
        self.words.emptied.fetch_max(self.parts.advance(), AcqRel);
        self.words.entries.set(0);
        self.words.sweep_at.set(0);
        self.words.has_evicted.set(0);
    }

    // ---- Changes, with the lock.

    /// Stores a value unless something of it was invalidated since it was begun.
    pub(super) fn put(&self, key: Key<'_>, value: &[u8], terms: &Terms<'_>, now_ms: u64) -> Stored {
        let tags = self.parts.tags();
        let stamp = terms.since.0;
        let is_true = stamp >= self.words.true_since.load(Acquire)
            && stamp >= self.bucket(key).invalidated.get()
            && terms.tags.iter().all(|tag| tags[usize::from(tag.0)].load(Acquire) <= stamp)
            && terms.sources.iter().all(|it| sources::stands(self.parts, it.place, stamp).is_some());
        if !is_true {
            return Stored::Untrue;
        }
        let cells = Slot::cells_of(terms.tags.len(), terms.sources.len(), key.bytes.len(), value.len());
        if cells > self.cells.len() / 2 {
            return Stored::TooLarge;
        }
        self.changed(|shard| {
            // Nobody sees the old value any more, and from now on nobody begins who could have.
            shard.tell(key, shard.look(key, now_ms, None).is_some());
            if let Some((slot, _)) = shard.find(key) {
                shard.take_out(slot, key.hash);
            }
            shard.sweep(now_ms);
            let Some(slot) = shard.make_room(cells) else { return Stored::NoMemory };
            // In this order: see `sources.rs`.
            let stored = shard.parts.header().generation.load(Acquire);
            terms.sources.iter().for_each(|source| sources::watch(shard.parts, *source));
            shard.fill(slot, cells, key, value, terms, stored, now_ms);
            shard.words.inserts.change(|inserts| inserts + 1);
            Stored::Stored
        })
    }

    /// A value of `key` comes: what was computed from the one before is not true any more. If that could have been served
    /// until now, what is being computed is not either.
    fn tell(&self, key: Key<'_>, is_in_place_of_one: bool) {
        let bucket = self.bucket(key);
        if is_in_place_of_one {
            let generation = self.parts.advance();
            bucket.invalidated.change(|before| before.max(generation));
        } else if bucket.watched.load(Acquire) != WATCHED_BY_NONE && sources::is_watched(bucket, key) {
            let generation = self.parts.advance();
            bucket.came.change(|before| before.max(generation));
        }
    }

    /// Takes the entry of `key` out, and what is being computed for it is not kept either. Whether there was one that was
    /// true.
    pub(super) fn invalidate(&self, key: Key<'_>, generation: u64, now_ms: u64) -> bool {
        let was_there = self.look(key, now_ms, None).is_some();
        self.changed(|shard| {
            let bucket = shard.bucket(key);
            bucket.invalidated.change(|before| before.max(generation));
            if let Some((slot, _)) = shard.find(key) {
                shard.take_out(slot, key.hash);
                shard.words.invalidations.change(|count| count + 1);
            }
        });
        was_there
    }

    /// The entry lives on from now.
    pub(super) fn renew(&self, key: Key<'_>, now_ms: u64) {
        let Some((slot, _)) = self.find(key) else { return };
        let slot = self.slot(slot);
        let idle_ms = u64::from(slot.idle_ms.get());
        if idle_ms != 0 {
            slot.expires_ms.set(now_ms.saturating_add(idle_ms).min(slot.dies_ms.get()));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what an entry consists of, from one caller")]
    fn fill(
        &self,
        number: u32,
        cells: usize,
        key: Key<'_>,
        value: &[u8],
        terms: &Terms<'_>,
        stored: u64,
        now_ms: u64,
    ) {
        let first = self.take_cells(cells);
        let Terms { tags, sources, .. } = *terms;
        content::write(self.cells, first, &Content { tags, stored, sources, key: key.bytes, value });
        let slot = self.slot(number);
        slot.hash.set(key.hash);
        slot.stamp.set(terms.since.0);
        let after = |life: Option<u32>| life.map_or(u64::MAX, |ms| now_ms.saturating_add(ms.into()));
        let dies_ms = after(terms.ttl_ms);
        slot.dies_ms.set(dies_ms);
        slot.expires_ms.set(dies_ms.min(after(terms.idle_ms)));
        slot.idle_ms.set(terms.idle_ms.map_or(0, |ms| ms.max(1)));
        slot.stale_ms.set(terms.stale_ms);
        slot.key_bytes.set(key.bytes.len() as u32);
        slot.value_bytes.set(value.len() as u32);
        slot.marks.set((tags.len() as u32) << 16 | IS_RESIDENT);
        slot.sources.set(sources.len() as u32);
        slot.cell.set(first);
        let bucket = self.bucket(key);
        slot.next.set(bucket.first.get());
        bucket.first.set(number);
        self.words.entries.change(|entries| entries + 1);
        self.line_up(number);
    }

    fn take_out(&self, number: u32, hash: u64) {
        self.leave_line(number);
        let slot = self.slot(number);
        let bucket = &self.buckets[self.parts.layout.bucket_of(hash)];
        let next = slot.next.get();
        if bucket.first.get() == number {
            bucket.first.set(next);
        } else {
            let mut before = self.slot(bucket.first.get());
            while before.next.get() != number {
                before = self.slot(before.next.get());
            }
            before.next.set(next);
        }
        self.give_back_cells(slot.cell.get());
        slot.marks.set(0);
        slot.next.set(self.words.slots.first.get());
        self.words.slots.first.set(number);
        self.words.slots.given_back.change(|count| count + 1);
        self.words.entries.change(|entries| entries - 1);
    }

    /// Takes out some of those whose time is over, or who are not true any more.
    fn sweep(&self, now_ms: u64) {
        let touched = self.words.slots.touched.get();
        for _ in 0..SWEEP.min(touched as usize) {
            let at = self.words.sweep_at.get() % touched;
            self.words.sweep_at.set(at + 1);
            let slot = self.slot(at + 1);
            if slot.marks.get() & IS_RESIDENT == 0 {
                continue;
            }
            let is_over = now_ms >= slot.expires_ms.get().saturating_add(slot.stale_ms.get().into());
            if is_over || !self.is_true(slot) {
                let counted = if is_over { &self.words.expirations } else { &self.words.invalidations };
                counted.change(|count| count + 1);
                self.take_out(at + 1, slot.hash.get());
            }
        }
    }

    // ---- Room.

    /// A free slot, and so many free cells; others go for that. `None` if all were gone and there is no memory.
    fn make_room(&self, cells: usize) -> Option<u32> {
        while !self.has_cells(cells) {
            self.evict()?;
        }
        loop {
            match self.take_slot() {
                Some(slot) => return Some(slot),
                None => self.evict()?,
            }
        }
    }

    fn evict(&self) -> Option<()> {
        let slot = self.choose()?;
        self.take_out(slot, self.slot(slot).hash.get());
        self.words.evictions.change(|evictions| evictions + 1);
        Some(())
    }

    fn take_slot(&self) -> Option<u32> {
        let pool = &self.words.slots;
        if let Some(number) = Some(pool.first.get()).filter(|number| *number != 0) {
            pool.first.set(self.slot(number).next.get());
            pool.given_back.change(|count| count - 1);
            return Some(number);
        }
        let at = pool.touched.get() as usize;
        let start = self.parts.layout.slot_offset(self.number, 0);
        self.reaches(pool, at + 1, self.slots.len(), start, size_of::<Slot>()).then(|| {
            pool.touched.set(at as u32 + 1);
            at as u32 + 1
        })
    }

    fn has_cells(&self, count: usize) -> bool {
        let pool = &self.words.cells;
        let missing = count.saturating_sub(pool.given_back.get() as usize);
        let start = self.parts.layout.cell_offset(self.number, 0);
        missing == 0
            || self.reaches(pool, pool.touched.get() as usize + missing, self.cells.len(), start, CELL_BYTES)
    }

    /// Whether places before `end` have memory, or can be given some.
    fn reaches(&self, pool: &PoolWords, end: usize, places: usize, start: usize, bytes: usize) -> bool {
        let reserved = pool.reserved.get() as usize;
        if end <= reserved {
            return true;
        }
        if end > places {
            return false;
        }
        let more = (end - reserved).max(RESERVE_BYTES / bytes).min(places - reserved);
        let is_there = self.parts.reserve(start + reserved * bytes, more * bytes).is_ok();
        if is_there {
            pool.reserved.set((reserved + more) as u32);
        }
        is_there
    }

    /// So many cells in a chain, which [`has_cells`](Self::has_cells) has found; the number of the first.
    fn take_cells(&self, count: usize) -> u32 {
        let pool = &self.words.cells;
        let mut chain = 0;
        for _ in 0..count {
            let number = match pool.first.get() {
                0 => {
                    pool.touched.change(|touched| touched + 1);
                    pool.touched.get()
                }
                number => {
                    pool.first.set(self.cells[number as usize - 1].next.get() as u32);
                    pool.given_back.change(|given_back| given_back - 1);
                    number
                }
            };
            self.cells[number as usize - 1].next.set(chain);
            chain = number.into();
        }
        chain as u32
    }

    fn give_back_cells(&self, first: u32) {
        let pool = &self.words.cells;
        let (mut number, mut count) = (first, 0);
        loop {
            let cell = &self.cells[number as usize - 1];
            count += 1;
            match cell.next.get() {
                0 => {
                    cell.next.set(pool.first.get().into());
                    break;
                }
                next => number = next as u32,
            }
        }
        pool.first.set(first);
        pool.given_back.change(|given_back| given_back + count);
    }
}
