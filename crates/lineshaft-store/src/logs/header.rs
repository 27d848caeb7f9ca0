//! The first 256 bytes of a block: what it spans, and where its parts are.
//!
//! Headers of all blocks are kept in memory: about 0.06 bytes for each record.

use crc32c::crc32c;
use lineshaft_wire::JobId;

use super::BLOCK_RECORDS_MAX;
use crate::journal::commit::{u32_at, u64_at};

/// Size of a header.
pub(crate) const HEADER_BYTES: usize = 256;
/// Blocks begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 512;

const MAGIC: u32 = u32::from_le_bytes(*b"LSl3");
/// Of before texts and fields were packed apart, and before there was a filter of words: where it stands now were zeros.
const MAGIC_2: u32 = u32::from_le_bytes(*b"LSl2");
/// Of before there were attachments: where they stand now were zeros, which say that there are none.
const MAGIC_1: u32 = u32::from_le_bytes(*b"LSl1");
const SECTIONS_OFFSET: usize = 80;
const ATTACHMENTS_OFFSET: usize = SECTIONS_OFFSET + SECTION_BYTES * Part::Words as usize;
const SECTION_BYTES: usize = 12;
const CRC_OFFSET: usize = HEADER_BYTES - 4;

/// The sections of a block, in the order in which they follow its header. The pieces follow them, and
/// the attachments follow those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Tasks,
    Workers,
    Loggers,
    Places,
    Levels,
    Jobs,
    Attempts,
    Times,
    /// The filter of fields.
    Fields,
    /// The filter of trigrams.
    Texts,
    /// Where the pieces are.
    Pieces,
    /// Which rows have attachments, and where those are.
    Attachments,
    /// The filter of words; of no bytes in blocks that have none.
    Words,
}

/// How many sections there are.
pub(crate) const PARTS: usize = Part::Words as usize + 1;

/// A section as stored, and unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) stored_bytes: u32,
    pub(crate) unpacked_bytes: u32,
    pub(crate) crc: u32,
}

/// What a block spans and where its parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    /// Whether the texts and the fields of a piece are packed apart; not in blocks of earlier versions.
    pub(crate) is_split: bool,
    pub(crate) records: u32,
    /// Sequence number of the first record; those of the others follow it.
    pub(crate) first: u64,
    /// Least and greatest time.
    pub(crate) times: (u64, u64),
    /// Least and greatest level.
    pub(crate) levels: (i32, i32),
    /// Least and greatest job.
    pub(crate) jobs: (JobId, JobId),
    /// The pieces as stored.
    pub(crate) pieces_bytes: u64,
    /// The attachments as stored.
    pub(crate) attachments_bytes: u64,
    pub(crate) sections: [Section; PARTS],
}

impl BlockHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put =
            |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
        put(0, &if self.is_split { MAGIC } else { MAGIC_2 }.to_le_bytes());
        put(4, &self.records.to_le_bytes());
        put(8, &self.first.to_le_bytes());
        put(16, &self.times.0.to_le_bytes());
        put(24, &self.times.1.to_le_bytes());
        put(32, &self.levels.0.to_le_bytes());
        put(36, &self.levels.1.to_le_bytes());
        put(40, &self.jobs.0.to_bytes());
        put(56, &self.jobs.1.to_bytes());
        put(72, &self.pieces_bytes.to_le_bytes());
        for (index, section) in self.sections.iter().enumerate() {
            let numbers = [section.stored_bytes, section.unpacked_bytes, section.crc];
            for (at, number) in numbers.iter().enumerate() {
                put(place_of(index) + 4 * at, &number.to_le_bytes());
            }
        }
        put(ATTACHMENTS_OFFSET, &self.attachments_bytes.to_le_bytes());
        let crc = crc32c(&bytes[..CRC_OFFSET]);
        bytes[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header that these bytes are; `None` if they are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES
            || ![MAGIC, MAGIC_2, MAGIC_1].contains(&u32_at(bytes, 0))
            || u32_at(bytes, CRC_OFFSET) != crc32c(&bytes[..CRC_OFFSET])
        {
            return None;
        }
        let job = |offset: usize| JobId::from_bytes(bytes[offset..offset + 16].try_into().ok()?);
        let section = |index: usize| {
            let number = |at: usize| u32_at(bytes, place_of(index) + at);
            Section { stored_bytes: number(0), unpacked_bytes: number(4), crc: number(8) }
        };
        let header = Self {
            is_split: u32_at(bytes, 0) == MAGIC,
            records: u32_at(bytes, 4),
            first: u64_at(bytes, 8),
            times: (u64_at(bytes, 16), u64_at(bytes, 24)),
            levels: (u32_at(bytes, 32) as i32, u32_at(bytes, 36) as i32),
            jobs: (job(40)?, job(56)?),
            pieces_bytes: u64_at(bytes, 72),
            attachments_bytes: u64_at(bytes, ATTACHMENTS_OFFSET),
            sections: std::array::from_fn(section),
        };
        header.is_sound().then_some(header)
    }

    /// Whether its numbers may be reckoned with.
    fn is_sound(&self) -> bool {
        (1..=BLOCK_RECORDS_MAX).contains(&(self.records as usize))
            && self.first >= 1
            && self.first < u64::MAX - BLOCK_RECORDS_MAX as u64
            && u32::try_from(self.pieces_bytes).is_ok()
            && u32::try_from(self.attachments_bytes).is_ok()
    }

    /// Whether a record of it has an attachment.
    pub(crate) fn has_attachments(&self) -> bool {
        self.attachments_bytes > 0
    }

    /// Sequence number of the last record.
    pub(crate) fn last(&self) -> u64 {
        self.first + u64::from(self.records) - 1
    }

    pub(crate) fn section(&self, part: Part) -> Section {
        self.sections[part as usize]
    }

    /// Where a section begins, counted from the header.
    pub(crate) fn start_of(&self, part: Part) -> u64 {
        self.start(part as usize)
    }

    /// Where the pieces begin, counted from the header.
    pub(crate) fn pieces_start(&self) -> u64 {
        self.start(PARTS)
    }

    /// Where the attachments begin, counted from the header.
    pub(crate) fn attachments_start(&self) -> u64 {
        self.pieces_start() + self.pieces_bytes
    }

    fn start(&self, sections: usize) -> u64 {
        let before = self.sections[..sections].iter().map(|section| u64::from(section.stored_bytes));
        HEADER_BYTES as u64 + before.sum::<u64>()
    }

    /// Size on disk, with the zeros before the next block.
    pub(crate) fn stored_bytes(&self) -> u64 {
        (self.attachments_start() + self.attachments_bytes).next_multiple_of(ALIGNMENT)
    }
}

/// Where the numbers of a section stand. That of words came later than the length of the attachments, and stands behind it.
fn place_of(section: usize) -> usize {
    let behind = if section >= Part::Words as usize { 8 } else { 0 };
    SECTIONS_OFFSET + SECTION_BYTES * section + behind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_flipped_bits_are_noticed() {
        let header = BlockHeader {
            is_split: true,
            records: 4_096,
            first: 2,
            times: (3, 4),
            levels: (-5, 6),
            jobs: (JobId::direct(1, 2, 3, 4), JobId::direct(5, 6, 7, 8)),
            pieces_bytes: 7,
            attachments_bytes: 9,
            sections: std::array::from_fn(|index| Section {
                stored_bytes: index as u32,
                unpacked_bytes: 100 + index as u32,
                crc: 200 + index as u32,
            }),
        };
        let bytes = header.encode();
        assert_eq!(BlockHeader::decode(&bytes), Some(header));
        assert_eq!(header.stored_bytes(), 512);
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BlockHeader::decode(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn a_header_of_before_there_were_attachments_has_none_and_no_words() {
        let job = JobId::direct(1, 2, 3, 4);
        let mut sections = [Section { stored_bytes: 5, unpacked_bytes: 6, crc: 7 }; PARTS];
        sections[Part::Attachments as usize] = Section::default();
        sections[Part::Words as usize] = Section::default();
        let (times, levels, attachments_bytes) = Default::default();
        let jobs = (job, job);
        let header = BlockHeader {
            is_split: false,
            records: 1,
            first: 1,
            times,
            levels,
            jobs,
            pieces_bytes: 8,
            attachments_bytes,
            sections,
        };
        let mut bytes = header.encode();
        bytes[..4].copy_from_slice(b"LSl1");
        let crc = crc32c(&bytes[..CRC_OFFSET]);
        bytes[CRC_OFFSET..].copy_from_slice(&crc.to_le_bytes());
        assert!(bytes[212..CRC_OFFSET].iter().all(|byte| *byte == 0));
        assert_eq!(BlockHeader::decode(&bytes), Some(header));
    }

    #[test]
    fn numbers_that_nothing_can_have_are_no_header() {
        let header = |records: u32, first: u64| {
            let job = JobId::direct(1, 2, 3, 4);
            let (times, levels, sections) = Default::default();
            let (pieces_bytes, attachments_bytes, jobs) = (0, 0, (job, job));
            let is_split = true;
            BlockHeader {
                is_split,
                records,
                first,
                times,
                levels,
                jobs,
                pieces_bytes,
                attachments_bytes,
                sections,
            }
        };
        let is_header = |records, first| BlockHeader::decode(&header(records, first).encode()).is_some();
        assert!(is_header(1, 1));
        assert!(!is_header(0, 1) && !is_header(4_097, 1) && !is_header(1, 0) && !is_header(1, u64::MAX));
    }
}
