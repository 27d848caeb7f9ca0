//! A filter as bytes, which another program may read: whatever they are, it is a filter or an error.

use std::fmt;

use crc32c::{crc32c, crc32c_append};

use super::{BLOCK_BYTES, Block, BloomFilter};

/// Also says that the blocks are those of Parquet. Another layout would be another number.
const MAGIC: [u8; 8] = *b"LSBLOOM1";
/// Magic, number of blocks (8), numbers of the caller's (16), CRC-32C of the 32 before and of the blocks (4), zeros (4).
const HEADER_BYTES: usize = 40;
const CRC_OFFSET: usize = 32;

/// Bytes that are no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// They do not begin as those of a filter do.
    Foreign,
    /// There are not as many as their header says.
    Length {
        /// Bytes there are.
        bytes: u64,
    },
    /// Their checksum is not right: some were changed.
    Checksum,
}

impl BloomFilter {
    /// The filter as bytes: a header of 40 and the words of all blocks, little-endian, as Parquet has them.
    ///
    /// `mark` is the caller's: what it has to know of hashes or capacities before it uses the filter.
    #[must_use]
    pub fn to_bytes(&self, mark: [u64; 2]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.size_bytes() as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&(self.blocks.len() as u64).to_le_bytes());
        mark.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.resize(HEADER_BYTES, 0);
        self.words().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        let crc = crc_of(&bytes);
        bytes[CRC_OFFSET..CRC_OFFSET + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The filter that [`Self::to_bytes`] made these of, and its mark. Takes as much room as there are bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, [u64; 2]), Unreadable> {
        if !bytes.starts_with(&MAGIC) {
            return Err(Unreadable::Foreign);
        }
        let length = Unreadable::Length { bytes: bytes.len() as u64 };
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES).ok_or(length)?;
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| header[at + index]));
        let (count, mark) = (long(8), [long(16), long(24)]);
        if count == 0 || Some(rest.len() as u64) != count.checked_mul(BLOCK_BYTES as u64) {
            return Err(length);
        }
        if header[CRC_OFFSET..CRC_OFFSET + 4] != crc_of(bytes).to_le_bytes()
            || header[CRC_OFFSET + 4..] != [0; 4]
        {
            return Err(Unreadable::Checksum);
        }
        let (blocks, _) = rest.as_chunks::<BLOCK_BYTES>();
        let block = |bytes: &[u8; BLOCK_BYTES]| {
            let (words, _) = bytes.as_chunks::<4>();
            Block(std::array::from_fn(|index| u32::from_le_bytes(words[index])))
        };
        Ok((Self { blocks: blocks.iter().map(block).collect() }, mark))
    }
}

fn crc_of(bytes: &[u8]) -> u32 {
    crc32c_append(crc32c(&bytes[..CRC_OFFSET]), &bytes[HEADER_BYTES..])
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("these bytes do not begin as a Bloom filter's do"),
            Self::Length { bytes } => {
                write!(f, "the bytes of a Bloom filter are cut or too many: there are {bytes}")
            }
            Self::Checksum => {
                f.write_str("the bytes of a Bloom filter were changed: their checksum is not right")
            }
        }
    }
}

impl std::error::Error for Unreadable {}
