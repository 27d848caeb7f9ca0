//! The first 192 bytes of a block: what it spans, and where its parts are.
//!
//! Headers of all blocks are kept in memory: about 0.2 bytes per archived job.

use std::ops::RangeInclusive;

use crc32c::crc32c;
use lineshaft_wire::JobId;

use super::Filter;
use crate::journal::commit::{u32_at, u64_at};

/// Size of a header.
pub(crate) const HEADER_BYTES: usize = 192;
/// Blocks begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 512;

const MAGIC: u32 = u32::from_le_bytes(*b"LSa1");
const CRC_OFFSET: usize = HEADER_BYTES - 4;

/// What a block spans and where its parts are. The parts follow the header in this order: index, rows, payloads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) lsn: u64,
    pub(crate) first_finish_number: u64,
    pub(crate) last_finish_number: u64,
    pub(crate) created_ms: (u64, u64),
    pub(crate) finished_ms: (u64, u64),
    pub(crate) payload_bytes: u64,
    /// Least and greatest id.
    pub(crate) ids: ([u8; 16], [u8; 16]),
    pub(crate) jobs: u32,
    pub(crate) completed: u32,
    pub(crate) cancelled: u32,
    pub(crate) discarded: u32,
    pub(crate) index_bytes: u32,
    pub(crate) index_crc: u32,
    /// Size of the rows as stored, and unpacked.
    pub(crate) rows_bytes: u32,
    pub(crate) rows_unpacked_bytes: u32,
    pub(crate) rows_crc: u32,
}

impl BlockHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        for (index, value) in self.longs().into_iter().enumerate() {
            bytes[8 + 8 * index..][..8].copy_from_slice(&value.to_le_bytes());
        }
        bytes[72..88].copy_from_slice(&self.ids.0);
        bytes[88..104].copy_from_slice(&self.ids.1);
        for (index, value) in self.ints().into_iter().enumerate() {
            bytes[104 + 4 * index..][..4].copy_from_slice(&value.to_le_bytes());
        }
        let crc = crc32c(&bytes[..CRC_OFFSET]);
        bytes[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` unless magic and CRC are right.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        if u32_at(bytes, 0) != MAGIC || u32_at(bytes, CRC_OFFSET) != crc32c(&bytes[..CRC_OFFSET]) {
            return None;
        }
        let long = |index: usize| u64_at(bytes, 8 + 8 * index);
        let int = |index: usize| u32_at(bytes, 104 + 4 * index);
        Some(Self {
            lsn: long(0),
            first_finish_number: long(1),
            last_finish_number: long(2),
            created_ms: (long(3), long(4)),
            finished_ms: (long(5), long(6)),
            payload_bytes: long(7),
            ids: (bytes[72..88].try_into().ok()?, bytes[88..104].try_into().ok()?),
            jobs: int(0),
            completed: int(1),
            cancelled: int(2),
            discarded: int(3),
            index_bytes: int(4),
            index_crc: int(5),
            rows_bytes: int(6),
            rows_unpacked_bytes: int(7),
            rows_crc: int(8),
        })
    }

    fn longs(&self) -> [u64; 8] {
        [
            self.lsn,
            self.first_finish_number,
            self.last_finish_number,
            self.created_ms.0,
            self.created_ms.1,
            self.finished_ms.0,
            self.finished_ms.1,
            self.payload_bytes,
        ]
    }

    fn ints(&self) -> [u32; 9] {
        [
            self.jobs,
            self.completed,
            self.cancelled,
            self.discarded,
            self.index_bytes,
            self.index_crc,
            self.rows_bytes,
            self.rows_unpacked_bytes,
            self.rows_crc,
        ]
    }

    /// Where the rows begin, counted from the header.
    pub(crate) fn rows_start(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.index_bytes)
    }

    /// Where the payloads begin, counted from the header.
    pub(crate) fn payloads_start(&self) -> u64 {
        self.rows_start() + u64::from(self.rows_bytes)
    }

    /// Size on disk without the zeros before the next block.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.payloads_start().saturating_add(self.payload_bytes)
    }

    /// Size on disk.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.used_bytes().checked_next_multiple_of(ALIGNMENT).unwrap_or(u64::MAX)
    }

    /// From the least to the greatest id of the block; none if they are no ids.
    pub(crate) fn ids(&self) -> Option<RangeInclusive<JobId>> {
        Some(JobId::from_bytes(self.ids.0)?..=JobId::from_bytes(self.ids.1)?)
    }

    /// Whether the filter's times leave anything of the block.
    pub(crate) fn may_match(&self, filter: &Filter) -> bool {
        overlaps(self.created_ms, filter.created_from_ms, filter.created_before_ms)
            && overlaps(self.finished_ms, filter.finished_from_ms, filter.finished_before_ms)
    }
}

fn overlaps((min, max): (u64, u64), from: Option<u64>, before: Option<u64>) -> bool {
    from.is_none_or(|from| max >= from) && before.is_none_or(|before| min < before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_flipped_bits_are_noticed() {
        let header = BlockHeader {
            lsn: 1,
            first_finish_number: 2,
            last_finish_number: 3,
            created_ms: (4, 5),
            finished_ms: (6, 7),
            payload_bytes: 8,
            ids: ([9; 16], [10; 16]),
            jobs: 11,
            completed: 12,
            cancelled: 13,
            discarded: 14,
            index_bytes: 15,
            index_crc: 16,
            rows_bytes: 17,
            rows_unpacked_bytes: 18,
            rows_crc: 19,
        };
        let bytes = header.encode();
        assert_eq!(BlockHeader::decode(&bytes), Some(header));
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BlockHeader::decode(&bytes), None, "bit {bit}");
        }
    }
}
