//! The bytes of a snapshot's file around its pages: a header that says where the tables and the manifest lie, and the
//! manifest, which says where every page lies, in this file or in an earlier one.

use std::collections::BTreeMap;

use crc32c::crc32c;

use crate::journal::commit::{u32_at, u64_at};

pub(super) const HEADER_BYTES: usize = 64;
const MAGIC: [u8; 4] = *b"LSn2";
const ROW_BYTES: usize = 32;

/// Where a page lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageAt {
    /// The snapshot in whose file it is.
    pub(super) file: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) crc: u32,
}

/// Where every page of a snapshot lies, by number.
pub(super) type Manifest = BTreeMap<u64, PageAt>;

/// A stretch of the file, and its check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) crc: u32,
}

/// What a snapshot's file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) lsn: u64,
    /// CRC of the commit.
    pub(super) crc: u32,
    pub(super) tables: Part,
    pub(super) manifest: Part,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..12].copy_from_slice(&self.lsn.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.crc.to_le_bytes());
        bytes[16..36].copy_from_slice(&self.tables.encode());
        bytes[36..56].copy_from_slice(&self.manifest.encode());
        let crc = crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let is_whole = bytes[0..4] == MAGIC && u32_at(bytes, 60) == crc32c(&bytes[..60]);
        is_whole.then(|| Self {
            lsn: u64_at(bytes, 4),
            crc: u32_at(bytes, 12),
            tables: Part::decode(&bytes[16..36]),
            manifest: Part::decode(&bytes[36..56]),
        })
    }
}

impl Part {
    fn encode(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[0..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.length.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Self {
        Self { offset: u64_at(bytes, 0), length: u64_at(bytes, 8), crc: u32_at(bytes, 16) }
    }
}

pub(super) fn encode_manifest(manifest: &Manifest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(manifest.len() * ROW_BYTES);
    for (number, page) in manifest {
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&page.file.to_le_bytes());
        bytes.extend_from_slice(&page.offset.to_le_bytes());
        bytes.extend_from_slice(&page.length.to_le_bytes());
        bytes.extend_from_slice(&page.crc.to_le_bytes());
    }
    bytes
}

/// `None` unless the bytes are whole rows.
pub(super) fn decode_manifest(bytes: &[u8]) -> Option<Manifest> {
    let (rows, rest) = bytes.as_chunks::<ROW_BYTES>();
    let row = |row: &[u8; ROW_BYTES]| {
        let (file, offset) = (u64_at(row, 8), u64_at(row, 16));
        (u64_at(row, 0), PageAt { file, offset, length: u32_at(row, 24), crc: u32_at(row, 28) })
    };
    rest.is_empty().then(|| rows.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let part = |seed: u64| Part { offset: 1 << seed, length: 3 << seed, crc: 9 + seed as u32 };
        let header = Header { lsn: 7, crc: 9, tables: part(20), manifest: part(40) };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes[..HEADER_BYTES - 1]), None);
    }

    #[test]
    fn a_manifest_comes_back() {
        let page =
            |number: u64| PageAt { file: number + 1, offset: u64::MAX - number, length: 3, crc: u32::MAX };
        let manifest: Manifest = [0, 7, u64::MAX].map(|number| (number, page(number / 2))).into();
        let bytes = encode_manifest(&manifest);
        assert_eq!(decode_manifest(&bytes), Some(manifest));
        assert_eq!(decode_manifest(&bytes[1..]), None);
    }
}
