//! Where everything of a table lies in its segment.

use std::sync::Arc;
use std::sync::atomic::Ordering::AcqRel;

use super::words::{Bucket, CELL_BYTES, Cell, GHOST_WAYS, Header, ShardWords, Slot, TAGS};
use crate::Result;
use crate::segment::{Segment, bad_segment};
use crate::sync::AtomicU64;

/// Bytes of a shard's room; a table has as many shards as that makes, up to [`SHARDS_MAX`].
const SHARD_BYTES: usize = 8 << 20;
const SHARDS_MAX: usize = 64;
/// Where in the place of a source its shard begins: a shard has fewer buckets.
pub(super) const SHARD_SHIFT: u32 = 24;
/// The least room there can be.
pub const ROOM_BYTES_MIN: usize = 64 << 10;
/// The most, for which numbers of cells have 32 bits by far.
pub const ROOM_BYTES_MAX: usize = 64 << 30;

/// Offsets and counts; everything follows from the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) shards: usize,
    /// Of a shard, as are the next three.
    pub(super) cells: usize,
    pub(super) slots: usize,
    pub(super) buckets: usize,
    pub(super) ghosts: usize,
    tags_at: usize,
    shards_at: usize,
    slots_at: usize,
    cells_at: usize,
    pub(super) bytes: usize,
}

impl Layout {
    pub(super) fn of(room_bytes: usize) -> Self {
        let room = room_bytes.clamp(ROOM_BYTES_MIN, ROOM_BYTES_MAX);
        let shards = (room / SHARD_BYTES).clamp(1, SHARDS_MAX).next_power_of_two().min(SHARDS_MAX);
        let cells = (room / shards / CELL_BYTES).max(64);
        let slots = cells / 2;
        let buckets = (slots / 4).next_power_of_two();
        let ghosts = (slots / 2).next_power_of_two().max(GHOST_WAYS);
        let tags_at = size_of::<Header>().next_multiple_of(4_096);
        let shards_at = (tags_at + TAGS * size_of::<AtomicU64>()).next_multiple_of(4_096);
        let index = Self::index_bytes(buckets, ghosts);
        let slots_at = (shards_at + shards * index).next_multiple_of(4_096);
        let cells_at = (slots_at + shards * slots * size_of::<Slot>()).next_multiple_of(4_096);
        let bytes = (cells_at + shards * cells * CELL_BYTES).next_multiple_of(4_096);
        Self { shards, cells, slots, buckets, ghosts, tags_at, shards_at, slots_at, cells_at, bytes }
    }

    fn index_bytes(buckets: usize, ghosts: usize) -> usize {
        let words = size_of::<ShardWords>() + buckets * size_of::<Bucket>() + ghosts * size_of::<AtomicU64>();
        words.next_multiple_of(4_096)
    }

    /// Bytes from the start whose memory has to be there for certain: all but slots and cells, which take it as they are
    /// first used.
    pub(super) fn reserved(&self) -> usize {
        self.slots_at
    }

    /// Whether a segment is as large as that.
    pub(super) fn check(&self, segment: &Segment) -> Result<()> {
        let size = segment.size_bytes();
        if size == self.bytes {
            return Ok(());
        }
        Err(bad_segment(format!("a table of this room has {} bytes, it has {size}", self.bytes)))
    }

    /// The bucket, in its shard, of a key with this hash.
    pub(super) fn bucket_of(&self, hash: u64) -> usize {
        (hash >> 16) as usize & (self.buckets - 1)
    }

    pub(super) fn slot_offset(&self, shard: usize, slot: usize) -> usize {
        self.slots_at + (shard * self.slots + slot) * size_of::<Slot>()
    }

    pub(super) fn cell_offset(&self, shard: usize, cell: usize) -> usize {
        self.cells_at + (shard * self.cells + cell) * CELL_BYTES
    }
}

/// The parts of a table, found in its segment.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) segment: Arc<Segment>,
    pub(super) layout: Layout,
}

impl Parts {
    pub(super) fn header(&self) -> &Header {
        self.segment.at(0)
    }

    pub(super) fn tags(&self) -> &[AtomicU64] {
        self.segment.slice(self.layout.tags_at, TAGS)
    }

    pub(super) fn words(&self, shard: usize) -> &ShardWords {
        self.segment.at(self.index_at(shard))
    }

    /// The shard and the bucket that keys of a source are in; `None` for one of another table.
    pub(super) fn source(&self, place: u32) -> Option<(&ShardWords, &Bucket)> {
        let (shard, bucket) = (place >> SHARD_SHIFT, place & ((1 << SHARD_SHIFT) - 1));
        if shard as usize >= self.layout.shards {
            return None;
        }
        Some((self.words(shard as usize), self.buckets(shard as usize).get(bucket as usize)?))
    }

    pub(super) fn buckets(&self, shard: usize) -> &[Bucket] {
        self.segment.slice(self.index_at(shard) + size_of::<ShardWords>(), self.layout.buckets)
    }

    pub(super) fn ghosts(&self, shard: usize) -> &[AtomicU64] {
        let after = size_of::<ShardWords>() + self.layout.buckets * size_of::<Bucket>();
        self.segment.slice(self.index_at(shard) + after, self.layout.ghosts)
    }

    pub(super) fn slots(&self, shard: usize) -> &[Slot] {
        self.segment.slice(self.layout.slot_offset(shard, 0), self.layout.slots)
    }

    pub(super) fn cells(&self, shard: usize) -> &[Cell] {
        self.segment.slice(self.layout.cell_offset(shard, 0), self.layout.cells)
    }

    fn index_at(&self, shard: usize) -> usize {
        let Layout { shards_at, buckets, ghosts, .. } = self.layout;
        shards_at + shard * Layout::index_bytes(buckets, ghosts)
    }

    /// The next invalidation, which nothing that has begun is after.
    pub(super) fn advance(&self) -> u64 {
        self.header().generation.fetch_add(1, AcqRel) + 1
    }

    /// Takes memory for so many bytes from `start` on.
    pub(super) fn reserve(&self, start: usize, bytes: usize) -> Result<()> {
        self.segment.reserve(start, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_for_a_room_is_a_small_part_of_it() {
        for room in [1 << 20, 64 << 20, 1 << 30] {
            let layout = Layout::of(room);
            let spare = layout.reserved() - TAGS * 8;
            assert!(spare < room / 8, "{spare} of {room}");
            let cells = layout.shards * layout.cells * CELL_BYTES;
            assert!(cells <= room && cells > room * 9 / 10, "{cells} of {room}");
        }
    }
}
