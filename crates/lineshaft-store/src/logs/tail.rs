//! The tail: the newest records, in one file that is written to, and in memory.
//!
//! A *chunk* is written for every append, or more if it is large. Chunks name the CRC of the one before, so that what an
//! earlier use of the file left is never taken for one that follows.

use std::io;
use std::sync::Arc;

use crc32c::{crc32c, crc32c_append};
use lineshaft_wire::LogRecord;

use super::{APPEND_BYTES_MAX, RECORD_BYTES_MAX};
use crate::Error;
use crate::archive::codec::{Decoded, Malformed};
use crate::disk::DiskFile;
use crate::journal::commit::{u32_at, u64_at};

/// Its name in the directory.
pub(crate) const NAME: &str = "open";
/// The file is never larger. On a full disk it may come near to that, since blocks cannot be written.
pub(crate) const TAIL_BYTES_MAX: u64 = 2 * APPEND_BYTES_MAX as u64;
/// Chunks begin at multiples of this, so that no sector has a durable one and one that is being written.
const ALIGNMENT: usize = 512;
pub(crate) const HEADER_BYTES: usize = 32;
const CRC_OFFSET: usize = HEADER_BYTES - 4;
const MAGIC: u32 = u32::from_le_bytes(*b"LSt1");
/// A record may take as much.
const BODY_BYTES_MAX: usize = RECORD_BYTES_MAX;

/// Records that were appended together.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    /// Sequence number of the first one; those of the others follow it.
    pub(crate) first: u64,
    /// One or more.
    pub(crate) records: Arc<[LogRecord]>,
}

impl Chunk {
    pub(crate) fn last(&self) -> u64 {
        self.first + self.records.len() as u64 - 1
    }

    /// Without the records up to the sequence number `last`; `None` if none is left.
    pub(crate) fn after(self, last: u64) -> Option<Self> {
        let known = (last + 1).saturating_sub(self.first) as usize;
        let rest = self.records.get(known..).filter(|rest| !rest.is_empty())?;
        Some(Self { first: self.first + known as u64, records: rest.into() })
    }
}

/// Chunks as bytes.
#[derive(Default)]
pub(crate) struct ChunkWriter {
    pub(crate) bytes: Vec<u8>,
    /// CRC of the chunk before.
    pub(crate) crc: u32,
    body: Vec<u8>,
    count: u32,
    first: u64,
    durable_bytes: u64,
}

impl ChunkWriter {
    /// Chunks that follow one with this CRC, and begin with sequence number `first`. So many bytes of the file are durable.
    pub(crate) fn after(crc: u32, first: u64, durable_bytes: u64) -> Self {
        Self { crc, first, durable_bytes, ..Self::default() }
    }

    /// Adds a record. [`Error::TooLarge`] if it or what there is now is.
    pub(crate) fn push(&mut self, record: &LogRecord) -> Result<(), Error> {
        let start = self.body.len();
        record.encode(&mut self.body);
        let too_large = |what, bytes, max| Error::TooLarge { what, bytes, max_bytes: max as u64 };
        let size = self.body.len() - start;
        if size > RECORD_BYTES_MAX {
            return Err(too_large("a log record", size as u64, RECORD_BYTES_MAX));
        }
        if self.body.len() > BODY_BYTES_MAX {
            let record = self.body.split_off(start);
            self.close();
            self.body = record;
        }
        self.count += 1;
        let total = self.bytes.len() + self.body.len();
        if total > APPEND_BYTES_MAX {
            return Err(too_large("what is appended to the logs at once", total as u64, APPEND_BYTES_MAX));
        }
        Ok(())
    }

    /// Ends the chunk that was begun.
    pub(crate) fn close(&mut self) {
        if self.count == 0 {
            return;
        }
        let mut header = [0; HEADER_BYTES];
        header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[4..8].copy_from_slice(&(self.body.len() as u32).to_le_bytes());
        header[8..16].copy_from_slice(&self.first.to_le_bytes());
        header[16..20].copy_from_slice(&self.count.to_le_bytes());
        header[20..24].copy_from_slice(&self.crc.to_le_bytes());
        header[24..28].copy_from_slice(&(self.durable_bytes as u32).to_le_bytes());
        self.crc = crc_of(&header, &self.body);
        header[CRC_OFFSET..].copy_from_slice(&self.crc.to_le_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.append(&mut self.body);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        self.first += u64::from(self.count);
        self.count = 0;
    }
}

fn crc_of(header: &[u8; HEADER_BYTES], body: &[u8]) -> u32 {
    crc32c_append(crc32c(&header[..CRC_OFFSET]), body)
}

/// What is in a tail's file.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) chunks: Vec<Chunk>,
    /// Where its chunks end, and the CRC of the last one.
    pub(crate) end: u64,
    pub(crate) crc: u32,
    /// Size of the file: what is behind the end was not written to its own end.
    pub(crate) length: u64,
}

impl Tail {
    /// Reads the chunks from the beginning, up to the first one that does not check.
    pub(crate) fn read<F: DiskFile>(file: &F, path: &str) -> Result<Self, Error> {
        Ok(Self::of(&content(file).map_err(Error::io("read", path, 0))?))
    }

    /// The same of a tail's bytes. Of one that was begun anew while they were read, what was read first is left: the
    /// chunks behind it name another one before them.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut tail = Self { length: bytes.len() as u64, ..Self::default() };
        while let Some((chunk, header, size)) = bytes.get(tail.end as usize..).and_then(chunk_of) {
            let before = tail.chunks.last();
            if u32_at(&header, 20) != tail.crc || before.is_some_and(|before| chunk.first <= before.last()) {
                break;
            }
            tail.chunks.push(chunk);
            (tail.end, tail.crc) = (tail.end + size, u32_at(&header, CRC_OFFSET));
        }
        tail
    }

    /// The first sequence number, if it has any.
    pub(crate) fn first(&self) -> Option<u64> {
        self.chunks.first().map(|chunk| chunk.first)
    }

    /// Whether it has all of these records.
    pub(crate) fn has(&self, first: u64, last: u64) -> bool {
        self.chunks.first().is_some_and(|chunk| chunk.first <= first)
            && self.chunks.last().is_some_and(|chunk| last <= chunk.last())
    }

    /// Forgets the records up to the sequence number `last`: they are in blocks.
    pub(crate) fn forget(&mut self, last: u64) {
        self.chunks =
            std::mem::take(&mut self.chunks).into_iter().filter_map(|chunk| chunk.after(last)).collect();
    }
}

/// What is in a tail's file.
pub(crate) fn content<F: DiskFile>(file: &F) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.length()? as usize];
    let count = file.read_at(0, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// The sound chunks that are anywhere in bytes, and how much of the file was durable when each was written: 0 in those of
/// earlier versions.
pub(crate) fn sound_chunks(bytes: &[u8]) -> impl Iterator<Item = (Chunk, u64)> {
    let places = (0..bytes.len()).step_by(ALIGNMENT);
    places.filter_map(|at| {
        let (chunk, header, _) = chunk_of(&bytes[at..])?;
        Some((chunk, u32_at(&header, 24).into()))
    })
}

/// The chunk at the beginning of these bytes with its header and its size in the file; `None` if there is none.
fn chunk_of(bytes: &[u8]) -> Option<(Chunk, [u8; HEADER_BYTES], u64)> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    if u32_at(header, 0) != MAGIC {
        return None;
    }
    let length = u32_at(header, 4) as usize;
    let body = rest.get(..length).filter(|_| length <= BODY_BYTES_MAX)?;
    if crc_of(header, body) != u32_at(header, CRC_OFFSET) {
        return None;
    }
    let size = (HEADER_BYTES + length).next_multiple_of(ALIGNMENT) as u64;
    Some((decode(header, body).ok()?, *header, size))
}

fn decode(header: &[u8], mut body: &[u8]) -> Decoded<Chunk> {
    let (first, count) = (u64_at(header, 8), u32_at(header, 16));
    let mut records = Vec::new();
    while !body.is_empty() {
        let (record, length) = LogRecord::decode(body).map_err(|_| Malformed)?;
        body = &body[length..];
        records.push(record);
    }
    let is_sound = first >= 1 && first.checked_add(u64::from(count)).is_some();
    if !is_sound || records.is_empty() || records.len() != count as usize {
        return Err(Malformed);
    }
    Ok(Chunk { first, records: records.into() })
}
