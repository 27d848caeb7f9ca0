//! The header in front of each message of a ring.

use super::cursor::GRAIN_BYTES;

/// Where the checksum of a message begins: no message of zeros has 0.
const SEED: u32 = 0x6c73_6866;

/// What stands before the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of the message.
    pub(super) length: u32,
    /// Which message of the ring it is, counted around.
    pub(super) number: u32,
    /// The word that its sender gave with it.
    pub(super) tag: u32,
    /// Over the other fields and the bytes.
    pub(super) checksum: u32,
}

impl Header {
    pub(super) fn new(number: u32, tag: u32, bytes: &[u8]) -> Self {
        let header = Self { length: bytes.len() as u32, number, tag, checksum: 0 };
        Self { checksum: header.checksum_over(bytes), ..header }
    }

    pub(super) fn checksum_over(self, bytes: &[u8]) -> u32 {
        let mut fields = [0; 12];
        fields.copy_from_slice(&self.to_bytes()[..12]);
        crc32c::crc32c_append(crc32c::crc32c_append(SEED, &fields), bytes)
    }

    pub(super) fn to_bytes(self) -> [u8; GRAIN_BYTES] {
        let mut bytes = [0; GRAIN_BYTES];
        let fields = [self.length, self.number, self.tag, self.checksum];
        bytes
            .chunks_exact_mut(4)
            .zip(fields)
            .for_each(|(to, field)| to.copy_from_slice(&field.to_ne_bytes()));
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; GRAIN_BYTES]) -> Self {
        let field = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self { length: field(0), number: field(4), tag: field(8), checksum: field(12) }
    }

    /// Grains of the whole record.
    pub(super) fn grains(self) -> u32 {
        grains_of(self.length as usize)
    }
}

/// Grains of the record of a message of so many bytes.
pub(super) fn grains_of(length: usize) -> u32 {
    length.div_ceil(GRAIN_BYTES) as u32 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_it_was() {
        let header = Header::new(7, 9, b"message");
        assert_eq!(Header::from_bytes(header.to_bytes()), header);
    }

    #[test]
    fn each_field_and_byte_counts_for_the_checksum() {
        let header = Header::new(7, 9, b"message");
        assert_eq!(header.checksum, header.checksum_over(b"message"));
        for other in
            [Header { number: 8, ..header }, Header { tag: 8, ..header }, Header { length: 8, ..header }]
        {
            assert_ne!(other.checksum_over(b"message"), header.checksum);
        }
        assert_ne!(header.checksum_over(b"messagf"), header.checksum);
        assert_ne!(Header { length: 0, number: 0, tag: 0, checksum: 0 }.checksum_over(b""), 0);
    }

    #[test]
    fn a_record_takes_whole_grains() {
        for (bytes, grains) in [(0, 1), (1, 2), (16, 2), (17, 3)] {
            assert_eq!(Header::new(0, 0, &vec![0; bytes]).grains(), grains, "{bytes}");
        }
    }
}
