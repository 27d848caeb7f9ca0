//! The words of a table: what lies in its segment, of atomics only. All zero is a table without entries.
#![allow(unsafe_code)] // Saying that they consist of atomics.

use std::sync::atomic::Ordering::Relaxed;

use super::version::Version;
use crate::segment::Shared;
use crate::sync::{AtomicU32, AtomicU64, EventCount, LockWord};

/// Words of a cell's content.
pub(super) const CELL_WORDS: usize = 7;
/// Bytes of a cell, with the number of the next one.
pub(super) const CELL_BYTES: usize = 64;
/// Generations of tags. Tags that meet in one are invalidated together.
pub(super) const TAGS: usize = 1 << 16;
/// Places of the ghost table in which a hash may be.
pub(super) const GHOST_WAYS: usize = 4;
/// What is computed at a time of the keys of a shard; who finds no place computes without one.
pub(super) const FLIGHTS: usize = 32;
/// Counters of hits and misses: processes have some to themselves, so that they do not wait for each other's.
pub(super) const STRIPES: usize = 16;
/// Says that this is a table, and of which layout: the last byte changes with it.
pub(super) const MAGIC: u64 = u64::from_be_bytes(*b"lntable\x02");

/// Uses of an entry that are counted, in [`Slot::marks`].
pub(super) const USES: u32 = 0b011;
pub(super) const IS_MAIN: u32 = 0b100;
pub(super) const IS_RESIDENT: u32 = 0b1000;

/// In [`Bucket::watched`].
pub(super) const WATCHED_BY_NONE: u32 = 0;
pub(super) const WATCHED_BY_SEVERAL: u32 = 1;

#[derive(Debug)]
#[repr(C)]
pub(super) struct Header {
    /// Stored last of all when a table is made.
    pub(super) magic: AtomicU64,
    pub(super) room_bytes: AtomicU64,
    /// Of the hash, so that nobody chooses keys that meet.
    pub(super) seeds: [AtomicU64; 2],
    /// Number of the last invalidation.
    pub(super) generation: AtomicU64,
    pub(super) unused: [AtomicU64; 3],
    pub(super) stripes: [Stripe; STRIPES],
}

#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Stripe {
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
}

#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct ShardWords {
    /// Held by whoever changes anything below, but for marks and flights.
    pub(super) lock: LockWord,
    /// Odd while something is changed.
    pub(super) version: Version,
    /// Entries computed before this invalidation are not true, of any key.
    pub(super) true_since: AtomicU64,
    /// When it was emptied after a death: what was computed from keys of it and stored before is not true.
    pub(super) emptied: AtomicU64,
    /// Rings when something was computed.
    pub(super) landings: EventCount,
    pub(super) entries: AtomicU32,
    pub(super) small: ListWords,
    pub(super) main: ListWords,
    /// Whether somebody had to go.
    pub(super) has_evicted: AtomicU32,
    /// The number of the newest ghost.
    pub(super) ghost: AtomicU32,
    pub(super) sweep_at: AtomicU32,
    pub(super) slots: PoolWords,
    pub(super) cells: PoolWords,
    pub(super) inserts: AtomicU64,
    pub(super) evictions: AtomicU64,
    pub(super) expirations: AtomicU64,
    pub(super) invalidations: AtomicU64,
    pub(super) flights: [Flight; FLIGHTS],
}

/// A list of slots. Numbers of slots are one more than their place, so that 0 is none.
#[derive(Debug)]
#[repr(C)]
pub(super) struct ListWords {
    pub(super) newest: AtomicU32,
    pub(super) oldest: AtomicU32,
    /// What they have in cells.
    pub(super) cells: AtomicU32,
}

/// Slots or cells that are free: some were given back, and some were never used.
#[derive(Debug)]
#[repr(C)]
pub(super) struct PoolWords {
    /// The first of those given back, linked by `next`; one more than its place.
    pub(super) first: AtomicU32,
    pub(super) given_back: AtomicU32,
    /// Places from there on were never used.
    pub(super) touched: AtomicU32,
    /// Places before that have memory.
    pub(super) reserved: AtomicU32,
}

/// Somebody computes the value of a key.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Flight {
    pub(super) hash: AtomicU64,
    /// Whose it is, or 0 for nobody's. Its owner alone takes it away, without the lock.
    pub(super) owner: AtomicU64,
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct Bucket {
    /// Entries computed before this invalidation are not true, of the keys of this bucket.
    pub(super) invalidated: AtomicU64,
    /// What was computed from a key of this bucket and stored before this moment is not true: a value of such a key came
    /// since.
    pub(super) came: AtomicU64,
    /// The first slot in it; one more than its place.
    pub(super) first: AtomicU32,
    /// Of which key of this bucket entries were computed, by a print of it: [`WATCHED_BY_NONE`], [`WATCHED_BY_SEVERAL`] if
    /// it is of more than one. Is not guarded by the lock.
    pub(super) watched: AtomicU32,
}

/// An entry. Its cells have its tags, its sources, its key and its value, each from a word of its own on.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slot {
    pub(super) hash: AtomicU64,
    /// Number of the last invalidation before it was computed.
    pub(super) stamp: AtomicU64,
    pub(super) expires_ms: AtomicU64,
    /// When its time is over however often it is used.
    pub(super) dies_ms: AtomicU64,
    /// So long it may still be served after its time.
    pub(super) stale_ms: AtomicU32,
    /// 0 if it may be idle for ever.
    pub(super) idle_ms: AtomicU32,
    pub(super) key_bytes: AtomicU32,
    pub(super) value_bytes: AtomicU32,
    /// Tags above, marks below: [`USES`], [`IS_MAIN`], [`IS_RESIDENT`].
    pub(super) marks: AtomicU32,
    pub(super) cell: AtomicU32,
    /// Of the same bucket, or the next free one.
    pub(super) next: AtomicU32,
    /// How many keys it was computed from.
    pub(super) sources: AtomicU32,
    pub(super) neighbours: Neighbours,
}

#[derive(Debug)]
#[repr(C)]
pub(super) struct Neighbours {
    pub(super) newer: AtomicU32,
    pub(super) older: AtomicU32,
}

#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Cell {
    pub(super) words: [AtomicU64; CELL_WORDS],
    /// The next cell of the entry, or the next free one; one more than its place, 0 for none.
    pub(super) next: AtomicU64,
}

const _: () = assert!(cfg!(model) || (size_of::<Cell>() == CELL_BYTES && size_of::<Slot>() == 72));

// SAFETY: atomics only, and aligned to 64 bytes at most, as all of these.
unsafe impl Shared for Header {}
// SAFETY: as above.
unsafe impl Shared for ShardWords {}
// SAFETY: as above.
unsafe impl Shared for Bucket {}
// SAFETY: as above.
unsafe impl Shared for Slot {}
// SAFETY: as above.
unsafe impl Shared for Cell {}

impl Slot {
    pub(super) fn tags(&self) -> usize {
        (self.marks.get() >> 16) as usize
    }

    /// Words before the key.
    pub(super) fn words_before_key(&self) -> usize {
        words_of(self.tags(), self.sources.get() as usize)
    }

    /// Cells of so much content.
    pub(super) fn cells_of(tags: usize, sources: usize, key_bytes: usize, value_bytes: usize) -> usize {
        let words = words_of(tags, sources) + key_bytes.div_ceil(8) + value_bytes.div_ceil(8);
        words.div_ceil(CELL_WORDS).max(1)
    }

    pub(super) fn cells(&self) -> usize {
        let (tags, sources) = (self.tags(), self.sources.get() as usize);
        Self::cells_of(tags, sources, self.key_bytes.get() as usize, self.value_bytes.get() as usize)
    }
}

/// Words of so many tags, four in each, and sources, two in each behind one that says when the entry was stored.
fn words_of(tags: usize, sources: usize) -> usize {
    tags.div_ceil(4) + sources.div_ceil(2) + usize::from(sources > 0)
}

/// Words that are only written by whoever has the lock, and whose readers make sure of that by themselves.
pub(super) trait Word<T> {
    fn get(&self) -> T;
    fn set(&self, value: T);
    /// By whoever has the lock.
    fn change(&self, by: impl FnOnce(T) -> T) {
        self.set(by(self.get()));
    }
}

impl Word<u32> for AtomicU32 {
    fn get(&self) -> u32 {
        self.load(Relaxed)
    }

    fn set(&self, value: u32) {
        self.store(value, Relaxed);
    }
}

impl Word<u64> for AtomicU64 {
    fn get(&self) -> u64 {
        self.load(Relaxed)
    }

    fn set(&self, value: u64) {
        self.store(value, Relaxed);
    }
}
