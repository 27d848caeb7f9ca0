//! A file written once and checked as a whole: blobs, and snapshots of the first layout.

use crc32c::crc32c;

use crate::Error;
use crate::disk::{Disk, join, publish, read_all};
use crate::journal::commit::{u32_at, u64_at};

const HEADER_BYTES: usize = 32;

/// What a sealed file is, and of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Four letters that tell the kinds apart.
    pub(crate) magic: [u8; 4],
    /// The LSN of a snapshot, the id of a blob.
    pub(crate) id: u64,
    /// The commit CRC of a snapshot; 0 for a blob.
    pub(crate) crc: u32,
}

/// Writes the file, durable on return and never half there.
pub(crate) fn write<D: Disk>(
    disk: &D,
    directory: &str,
    name: &str,
    seal: Seal,
    bytes: &[u8],
) -> Result<(), Error> {
    let header = encode(seal, bytes);
    publish(disk, directory, name, &[&header, bytes]).map_err(Error::io(
        "write",
        &join(directory, name),
        (header.len() + bytes.len()) as u64,
    ))
}

/// Reads and checks the file; `None` if it does not exist.
pub(crate) fn read<D: Disk>(
    disk: &D,
    directory: &str,
    name: &str,
    magic: [u8; 4],
) -> Result<Option<(Seal, bytes::Bytes)>, Error> {
    let path = join(directory, name);
    let stored = match read_all(disk, &path) {
        Ok(stored) => stored,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", &path, 0)(error)),
    };
    let seal = check(&stored, magic).map_err(|reason| Error::damaged(&path, 0, reason))?;
    Ok(Some((seal, bytes::Bytes::from(stored).slice(HEADER_BYTES..))))
}

fn encode(seal: Seal, bytes: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0..4].copy_from_slice(&seal.magic);
    header[4..12].copy_from_slice(&seal.id.to_le_bytes());
    header[12..20].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    header[20..24].copy_from_slice(&seal.crc.to_le_bytes());
    header[24..28].copy_from_slice(&crc32c(bytes).to_le_bytes());
    let crc = crc32c(&header[..28]);
    header[28..].copy_from_slice(&crc.to_le_bytes());
    header
}

fn check(stored: &[u8], magic: [u8; 4]) -> Result<Seal, &'static str> {
    let Some((header, bytes)) = stored.split_at_checked(HEADER_BYTES) else { return Err("it is too short") };
    if u32_at(header, 28) != crc32c(&header[..28]) || header[..4] != magic {
        return Err("its header fails its check");
    }
    if u64_at(header, 12) != bytes.len() as u64 {
        return Err("its size is not what its header says");
    }
    if u32_at(header, 24) != crc32c(bytes) {
        return Err("its content fails its check");
    }
    Ok(Seal { magic, id: u64_at(header, 4), crc: u32_at(header, 20) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let seal = Seal { magic: *b"LSx1", id: 7, crc: 9 };
        let mut stored = encode(seal, b"content").to_vec();
        stored.extend_from_slice(b"content");
        assert_eq!(check(&stored, *b"LSx1"), Ok(seal));
        for bit in 0..8 * stored.len() {
            let mut stored = stored.clone();
            stored[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&stored, *b"LSx1").is_err(), "bit {bit}");
        }
        for length in 0..stored.len() {
            assert!(check(&stored[..length], *b"LSx1").is_err(), "length {length}");
        }
    }
}
