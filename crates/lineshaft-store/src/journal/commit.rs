//! The bytes of a commit: header, a CRC for every 64 KiB of body, body, zeros to the next 512.
//!
//! The chunk CRCs let a payload be checked by reading the 64 KiB around it instead of the whole body. Commits begin
//! at multiples of 512 so that no disk sector holds a durable commit and one being written.

use crc32c::{crc32c, crc32c_append};

use super::{Appended, BODY_BYTES_MAX};

/// Commits begin at multiples of this.
pub(crate) const ALIGNMENT: u64 = 512;
/// Size of a header.
pub(crate) const HEADER_BYTES: usize = 72;
/// Body bytes that share a CRC.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

const MAGIC: u32 = u32::from_le_bytes(*b"LSc1");

/// What stands before the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Salt of the segment, so that leftovers of its former use are not taken for commits.
    pub(crate) salt: u64,
    pub(crate) lsn: u64,
    /// The highest LSN known to be durable when this was written.
    pub(crate) synced_lsn: u64,
    /// The oldest LSN the journal still kept.
    pub(crate) oldest_lsn: u64,
    pub(crate) epoch: u64,
    pub(crate) nonce: u64,
    pub(crate) body_bytes: u32,
    /// CRC of the commit before.
    pub(crate) previous_crc: u32,
    /// CRC of the chunk CRCs.
    pub(crate) body_crc: u32,
}

impl Header {
    /// Reads a header; `None` unless magic, CRC and lengths are right.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        if u32_at(bytes, 0) != MAGIC || u32_at(bytes, 68) != crc32c(&bytes[..68]) {
            return None;
        }
        let header = Self {
            salt: u64_at(bytes, 8),
            lsn: u64_at(bytes, 16),
            synced_lsn: u64_at(bytes, 24),
            oldest_lsn: u64_at(bytes, 32),
            epoch: u64_at(bytes, 40),
            nonce: u64_at(bytes, 48),
            body_bytes: u32_at(bytes, 56),
            previous_crc: u32_at(bytes, 60),
            body_crc: u32_at(bytes, 64),
        };
        (header.body_bytes as usize <= BODY_BYTES_MAX && header.synced_lsn < header.lsn).then_some(header)
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let longs = [self.salt, self.lsn, self.synced_lsn, self.oldest_lsn, self.epoch, self.nonce];
        bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        for (field, value) in bytes[8..56].chunks_exact_mut(8).zip(longs) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        for (field, value) in
            bytes[56..68].chunks_exact_mut(4).zip([self.body_bytes, self.previous_crc, self.body_crc])
        {
            field.copy_from_slice(&value.to_le_bytes());
        }
        let crc = crc32c(&bytes[..68]);
        bytes[68..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The commit's place in the chain. Independent of salt and segment, so that copying a commit keeps it.
    pub(crate) fn appended(&self) -> Appended {
        let mut crc = crc32c(&self.previous_crc.to_le_bytes());
        for part in [self.lsn, self.epoch, u64::from(self.body_bytes)] {
            crc = crc32c_append(crc, &part.to_le_bytes());
        }
        Appended { lsn: self.lsn, crc: crc32c_append(crc, &self.body_crc.to_le_bytes()) }
    }

    /// Number of chunks of the body.
    pub(crate) fn chunks(&self) -> usize {
        (self.body_bytes as usize).div_ceil(CHUNK_BYTES)
    }

    /// Where the body begins, counted from the header.
    pub(crate) fn body_start(&self) -> usize {
        HEADER_BYTES + 4 * self.chunks()
    }

    /// Size on disk: header, chunk CRCs, body and zeros.
    pub(crate) fn stored_bytes(&self) -> u64 {
        stored_bytes(self.body_bytes as usize)
    }

    /// Whether `table` holds this commit's chunk CRCs.
    pub(crate) fn table_matches(&self, table: &[u8]) -> bool {
        table.len() == 4 * self.chunks() && crc32c(table) == self.body_crc
    }

    /// Whether `stored`, which begins with this header, holds the whole body undamaged.
    pub(crate) fn body_matches(&self, stored: &[u8]) -> bool {
        let start = self.body_start();
        let (Some(table), Some(body)) =
            (stored.get(HEADER_BYTES..start), stored.get(start..start + self.body_bytes as usize))
        else {
            return false;
        };
        self.table_matches(table)
            && body
                .chunks(CHUNK_BYTES)
                .zip(table.chunks_exact(4))
                .all(|(chunk, crc)| chunk_matches(chunk, crc))
    }
}

/// Whether a chunk has the CRC that its 4 bytes of the table say.
pub(crate) fn chunk_matches(chunk: &[u8], crc: &[u8]) -> bool {
    crc32c(chunk).to_le_bytes() == crc
}

/// Size on disk of a commit whose body has `body_bytes`.
pub(crate) fn stored_bytes(body_bytes: usize) -> u64 {
    let chunks = body_bytes.div_ceil(CHUNK_BYTES);
    ((HEADER_BYTES + 4 * chunks + body_bytes) as u64).next_multiple_of(ALIGNMENT)
}

/// The bytes of a commit, ready to be written. Sets the header's body fields.
pub(crate) fn encode(header: &mut Header, body: &[u8]) -> Vec<u8> {
    let size = stored_bytes(body.len()) as usize;
    header.body_bytes = body.len() as u32;
    let mut bytes = Vec::with_capacity(size);
    bytes.resize(HEADER_BYTES, 0);
    for chunk in body.chunks(CHUNK_BYTES) {
        bytes.extend_from_slice(&crc32c(chunk).to_le_bytes());
    }
    header.body_crc = crc32c(&bytes[HEADER_BYTES..]);
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    bytes.extend_from_slice(body);
    bytes.resize(size, 0);
    bytes
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            salt: 1,
            lsn: 9,
            synced_lsn: 8,
            oldest_lsn: 3,
            epoch: 4,
            nonce: 5,
            body_bytes: 0,
            previous_crc: 6,
            body_crc: 0,
        }
    }

    #[test]
    fn a_commit_survives_encoding_at_every_size_around_a_chunk() {
        for size in [0, 1, 435, 436, 437, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let mut header = header();
            let body: Vec<u8> = (0..size).map(|i| i as u8).collect();
            let bytes = encode(&mut header, &body);
            assert_eq!(Header::decode(&bytes), Some(header));
            assert_eq!(bytes.len() as u64, header.stored_bytes());
            assert_eq!(&bytes[header.body_start()..][..size], &body[..]);
            assert!(header.body_matches(&bytes), "size {size}");
        }
    }

    #[test]
    fn every_flipped_bit_of_header_table_and_body_is_noticed() {
        let mut header = header();
        let bytes = encode(&mut header, b"some body");
        for bit in 0..8 * (header.body_start() + 9) {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bytes).is_none_or(|header| !header.body_matches(&bytes)), "bit {bit}");
        }
    }

    #[test]
    fn the_chain_crc_depends_on_the_body_and_the_commit_before_but_not_on_the_segment() {
        let crc = |change: &dyn Fn(&mut Header), body: &[u8]| {
            let mut header = header();
            change(&mut header);
            encode(&mut header, body);
            header.appended().crc
        };
        let plain = crc(&|_| (), b"a");
        assert_eq!(plain, crc(&|header| (header.salt, header.synced_lsn) = (77, 2), b"a"));
        assert_ne!(plain, crc(&|_| (), b"b"));
        assert_ne!(plain, crc(&|header| header.previous_crc = 7, b"a"));
    }
}
