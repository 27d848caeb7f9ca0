//! Reading payloads while the writer goes on, and keeping snapshots, blobs and cold files.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};

use super::cache::ChunkKey;
use super::commit::{CHUNK_BYTES, HEADER_BYTES, Header, chunk_matches};
use super::segment::Segment;
use super::shared::Shared;
use super::{ColdFile, HeldFiles, JournalHandle, Stretch, blobs};
use crate::disk::{Disk, DiskFile};
use crate::{ColdLocation, Error, Location, NewSnapshot, Space, Usage};

/// Bytes read at once: a whole chunk of a commit, or as many small commits as fit.
const READ_BYTES: usize = CHUNK_BYTES + 4096;

/// A handle on a [`SegmentJournal`](crate::SegmentJournal).
pub struct SegmentHandle<D: Disk> {
    shared: Arc<Shared<D>>,
}

impl<D: Disk> Clone for SegmentHandle<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<D: Disk> fmt::Debug for SegmentHandle<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentHandle")
            .field("durable_lsn", &self.shared.durable_lsn())
            .finish_non_exhaustive()
    }
}

impl<D: Disk> SegmentHandle<D> {
    pub(crate) fn new(shared: Arc<Shared<D>>) -> Self {
        Self { shared }
    }

    /// A checked chunk of a commit's body: from memory, or read together with what stands around it.
    fn chunk(&self, lsn: u64, index: u32, location: Location) -> Result<Bytes, Error> {
        let cached = self.shared.chunks.lock().unwrap_or_else(PoisonError::into_inner).get((lsn, index));
        if let Some(chunk) = cached {
            return Ok(chunk);
        }
        let (segment, start) = self.shared.segment_of(lsn)?;
        let read = Read::new(&segment, start, READ_BYTES)?;
        let header = read.header(start, lsn)?;
        if location_end(location) > u64::from(header.body_bytes) {
            return Err(out_of_body(location, header.body_bytes as usize));
        }
        if read.holds(start, &header) {
            let chunks = self.whole_commits(&segment, &read, lsn)?;
            return Ok(self.keep(read.bytes.len(), chunks, (lsn, index)));
        }
        let chunk = read_chunk(&segment, &read, start, &header, index)?;
        Ok(self.keep(chunk.len(), vec![((lsn, index), chunk)], (lsn, index)))
    }

    /// Puts chunks of one read into the cache and returns one of them.
    fn keep(&self, bytes: usize, chunks: Vec<(ChunkKey, Bytes)>, key: ChunkKey) -> Bytes {
        let wanted = chunks.iter().find(|(other, _)| *other == key).map(|(_, chunk)| chunk.clone());
        self.shared.chunks.lock().unwrap_or_else(PoisonError::into_inner).insert(bytes, chunks);
        wanted.expect("the chunk lies in the body, which was checked")
    }

    /// The chunks of all commits from `lsn` on that were read whole. Only the first one has to be good.
    fn whole_commits(
        &self,
        segment: &Segment<D::File>,
        read: &Read,
        lsn: u64,
    ) -> Result<Vec<(ChunkKey, Bytes)>, Error> {
        let mut chunks = Vec::new();
        // What is not durable yet may still be written over, after a full disk.
        for next in lsn..=self.shared.durable_lsn().max(lsn) {
            let Some(start) = segment.start_of(next) else { break };
            let found = read.header(start, next).ok().filter(|header| read.holds(start, header));
            match found.filter(|header| header.body_matches(&read.bytes[read.index(start)..])) {
                Some(header) => read.push_chunks(start, &header, &mut chunks),
                None if next == lsn => return Err(damaged(segment, start)),
                None => break,
            }
        }
        Ok(chunks)
    }

    fn read_chunks(&self, location: Location) -> Result<Bytes, Error> {
        let range = location.offset as usize..location_end(location) as usize;
        let indexes = range.start / CHUNK_BYTES..=(range.end - 1) / CHUNK_BYTES;
        let mut joined = BytesMut::new();
        for index in indexes.clone() {
            let chunk = self.chunk(location.lsn, index as u32, location)?;
            let part = part_of_chunk(&range, index, chunk.len());
            if part.is_empty() {
                return Err(out_of_body(location, index * CHUNK_BYTES + chunk.len()));
            }
            if indexes.start() == indexes.end() {
                return exact(chunk.slice(part), location);
            }
            joined.extend_from_slice(&chunk[part]);
        }
        exact(joined.freeze(), location)
    }
}

impl<D: Disk> JournalHandle for SegmentHandle<D> {
    fn read_at(&self, location: Location) -> Result<Bytes, Error> {
        if location.length == 0 {
            return Ok(Bytes::new());
        }
        let recent = self.shared.recent.read().unwrap_or_else(PoisonError::into_inner).get(location.lsn);
        let Some(body) = recent else { return self.read_chunks(location) };
        if location_end(location) > body.len() as u64 {
            return Err(out_of_body(location, body.len()));
        }
        Ok(body.slice(location.offset as usize..location_end(location) as usize))
    }

    fn put_snapshot(&self, snapshot: NewSnapshot<'_>) -> Result<u64, Error> {
        self.shared.check_poisoned()?;
        let (lsn, durable_lsn) = (snapshot.lsn, self.shared.durable_lsn());
        if lsn > durable_lsn {
            return Err(Error::SnapshotTooNew { lsn, durable_lsn });
        }
        let lend = |needed_bytes| {
            let is_lent = self.shared.reserve.lend(needed_bytes);
            if is_lent {
                tracing::warn!(needed_bytes, "the disk is full: a snapshot takes space from the reserve");
            }
            is_lent
        };
        let bytes = self.shared.snapshots.put(snapshot, &lend, self.shared.home.holds())?;
        if bytes > 0 {
            self.shared.home.note_snapshot(bytes);
        }
        Ok(bytes)
    }

    fn put_blob(&self, id: u64, bytes: &[u8]) -> Result<(), Error> {
        self.shared.check_poisoned()?;
        self.shared.home.check_room(bytes.len() as u64)?;
        blobs::put(self.shared.home.disk(), id, bytes)
    }

    fn get_blob(&self, id: u64) -> Result<Bytes, Error> {
        blobs::get(self.shared.home.disk(), id)
    }

    fn drop_blob(&self, id: u64) -> Result<(), Error> {
        let Some(_removing) = self.shared.home.holds().removing() else { return Err(Error::Held) };
        blobs::drop_blob(self.shared.home.disk(), id)
    }

    fn blobs(&self) -> Result<Vec<u64>, Error> {
        blobs::list(self.shared.home.disk())
    }

    fn put_cold(
        &self,
        file: u64,
        payloads: &mut dyn Iterator<Item = Result<Bytes, Error>>,
    ) -> Result<Vec<u32>, Error> {
        self.shared.check_poisoned()?;
        self.shared.cold.put(file, payloads)
    }

    fn read_cold(&self, location: ColdLocation) -> Result<Bytes, Error> {
        self.shared.cold.read(location)
    }

    fn drop_cold(&self, file: u64) -> Result<(), Error> {
        let Some(_removing) = self.shared.home.holds().removing() else { return Err(Error::Held) };
        self.shared.cold.remove(file)
    }

    fn cold_files(&self) -> Result<Vec<ColdFile>, Error> {
        self.shared.cold.list()
    }

    fn stretches(&self) -> Vec<Stretch> {
        let segments = self.shared.segments.read().unwrap_or_else(PoisonError::into_inner);
        let stretch = |segment: &Arc<Segment<D::File>>| Stretch {
            first_lsn: segment.first_lsn,
            end_lsn: segment.end_lsn(),
            bytes: segment.bytes(),
        };
        segments.iter().map(stretch).collect()
    }

    fn hold(&self) -> Result<HeldFiles, Error> {
        self.shared.check_poisoned()?;
        let hold = self.shared.home.holds().take();
        Ok(HeldFiles { end: self.shared.end()?, hold })
    }

    fn durable_lsn(&self) -> u64 {
        self.shared.durable_lsn()
    }

    fn space(&self) -> Space {
        self.shared.space()
    }

    fn usage(&self) -> Result<Usage, Error> {
        self.shared.home.usage()
    }
}

/// Bytes of a segment around a commit.
struct Read {
    start: u64,
    path: String,
    bytes: Bytes,
}

impl Read {
    fn new<F: DiskFile>(segment: &Segment<F>, start: u64, length: usize) -> Result<Self, Error> {
        let path = segment.path();
        // No more than there is, since all of it stays with what is kept.
        let left = segment.bytes().saturating_sub(start);
        let mut bytes = vec![0; left.min(length as u64) as usize];
        let count = segment.file.read_at(start, &mut bytes).map_err(Error::io("read", &path, 0))?;
        bytes.truncate(count);
        Ok(Self { start, path, bytes: bytes.into() })
    }

    fn index(&self, offset: u64) -> usize {
        ((offset - self.start) as usize).min(self.bytes.len())
    }

    fn header(&self, offset: u64, lsn: u64) -> Result<Header, Error> {
        Header::decode(&self.bytes[self.index(offset)..])
            .filter(|header| header.lsn == lsn)
            .ok_or_else(|| Error::damaged(&self.path, offset, "the header of a commit fails its check"))
    }

    fn holds(&self, offset: u64, header: &Header) -> bool {
        self.index(offset) + header.body_start() + header.body_bytes as usize <= self.bytes.len()
    }

    fn push_chunks(&self, offset: u64, header: &Header, chunks: &mut Vec<(ChunkKey, Bytes)>) {
        let start = self.index(offset) + header.body_start();
        let body = self.bytes.slice(start..start + header.body_bytes as usize);
        for index in 0..header.chunks() {
            let end = body.len().min((index + 1) * CHUNK_BYTES);
            chunks.push(((header.lsn, index as u32), body.slice(index * CHUNK_BYTES..end)));
        }
    }
}

/// Reads one chunk of a commit too large to be read whole.
fn read_chunk<F: DiskFile>(
    segment: &Segment<F>,
    read: &Read,
    start: u64,
    header: &Header,
    index: u32,
) -> Result<Bytes, Error> {
    let offset = index as usize * CHUNK_BYTES;
    let length = (header.body_bytes as usize).saturating_sub(offset).min(CHUNK_BYTES);
    let table = read.bytes.get(HEADER_BYTES..header.body_start()).filter(|table| header.table_matches(table));
    let crc = table.and_then(|table| table.get(4 * index as usize..4 * index as usize + 4));
    let chunk = Read::new(segment, start + (header.body_start() + offset) as u64, length)?.bytes;
    match crc {
        Some(crc) if chunk_matches(&chunk, crc) => Ok(chunk),
        _ => Err(damaged(segment, start)),
    }
}

fn damaged<F>(segment: &Segment<F>, start: u64) -> Error {
    Error::damaged(&segment.path(), start, "the body of a commit fails its check")
}

/// The part of a body's `range` that lies in its chunk `index`, counted from the chunk's start.
fn part_of_chunk(range: &Range<usize>, index: usize, chunk_bytes: usize) -> Range<usize> {
    let base = index * CHUNK_BYTES;
    let start = range.start.saturating_sub(base).min(chunk_bytes);
    start..range.end.saturating_sub(base).min(chunk_bytes).max(start)
}

fn exact(bytes: Bytes, location: Location) -> Result<Bytes, Error> {
    if bytes.len() == location.length as usize { Ok(bytes) } else { Err(out_of_body(location, bytes.len())) }
}

fn location_end(location: Location) -> u64 {
    u64::from(location.offset) + u64::from(location.length)
}

fn out_of_body(location: Location, body_bytes: usize) -> Error {
    let Location { lsn, offset, .. } = location;
    Error::OutOfBody { lsn, offset, end: location_end(location), body_bytes: body_bytes as u64 }
}
