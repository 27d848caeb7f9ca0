//! Reading a block: its index, the rows wanted, one job's payloads. Everything read is checked first.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use crc32c::crc32c;
use lineshaft_structures::BloomFilter;
use lineshaft_wire::JobId;
use lz4_flex::block::decompress_into;

use super::codec::{Decoded, Decoder, Malformed};
use super::filters;
use super::header::{BlockHeader, HEADER_BYTES};
use super::index::{Frame, Index};
use super::names::Names;
use super::row::{self, Base, Row};
use super::rows::RowSet;
use super::{ArchivedJob, BLOCK_JOBS_MAX, BLOCK_PAYLOAD_BYTES_MAX, Filter};
use crate::Error;
use crate::disk::DiskFile;

/// Rows are far smaller: the greatest record has about 5 MiB.
const ROWS_BYTES_MAX: u32 = 1 << 30;
/// LZ4 makes at most 255 bytes out of one.
const EXPANSION_MAX: usize = 255;

/// What a search for jobs found in a block.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) jobs: Vec<ArchivedJob>,
    pub(crate) filter: Option<BloomFilter>,
}

/// A block in a file.
pub(crate) struct BlockReader<'a, F> {
    pub(crate) file: &'a F,
    pub(crate) path: &'a str,
    pub(crate) offset: u64,
    pub(crate) header: BlockHeader,
}

impl<F: DiskFile> BlockReader<'_, F> {
    /// Jobs that match and finished before `before`, newest first, `limit` at most.
    pub(crate) fn page(&self, filter: &Filter, before: u64, limit: usize) -> Result<Vec<Row>, Error> {
        let index = self.index()?;
        let matching =
            self.parsed_index(&index)?.matching(filter).map_err(|Malformed| self.damaged("index"))?;
        if matching.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.rows()?;
        self.decode_page(&rows, filter, &matching, before, limit).map_err(|Malformed| self.damaged("rows"))
    }

    fn decode_page(
        &self,
        rows: &[u8],
        filter: &Filter,
        matching: &RowSet,
        before: u64,
        limit: usize,
    ) -> Decoded<Vec<Row>> {
        let (names, rows) = split_rows(rows, self.header.jobs as usize)?;
        let mut found = Vec::new();
        for (_, bytes) in rows.iter().enumerate().rev().filter(|(number, _)| matching.contains(*number)) {
            if found.len() == limit {
                break;
            }
            let row = row::decode(bytes, &names, self.base())?;
            let times = (row.record.created_at, row.record.finalized_at.unwrap_or(0));
            if row.finish_number < before && filter.matches_times(times.0, times.1) {
                found.push(row);
            }
        }
        Ok(found)
    }

    /// The newest job with each of these ids, and a filter of all ids if it `makes_filter`.
    pub(crate) fn get_many(&self, ids: &BTreeSet<JobId>, makes_filter: bool) -> Result<Found, Error> {
        let index = self.index()?;
        let index = self.parsed_index(&index)?;
        let filter = if makes_filter { filters::filter(index.fingerprints()) } else { None };
        let mut candidates = RowSet::EMPTY;
        ids.iter().for_each(|id| candidates.unite(&index.rows_of(*id)));
        let jobs = if candidates.is_empty() { Vec::new() } else { self.jobs(&index, ids, &candidates)? };
        Ok(Found { jobs, filter })
    }

    fn jobs(
        &self,
        index: &Index<'_>,
        ids: &BTreeSet<JobId>,
        candidates: &RowSet,
    ) -> Result<Vec<ArchivedJob>, Error> {
        let rows = self.rows()?;
        let rows = self.find(&rows, ids.clone(), candidates).map_err(|Malformed| self.damaged("rows"))?;
        let frames = index.frames().map_err(|Malformed| self.damaged("index"))?;
        let mut unpacked = vec![None; frames.len()];
        rows.into_iter().map(|row| self.with_payloads(row, &frames, &mut unpacked)).collect()
    }

    fn find(&self, rows: &[u8], mut ids: BTreeSet<JobId>, candidates: &RowSet) -> Decoded<Vec<Row>> {
        let (names, rows) = split_rows(rows, self.header.jobs as usize)?;
        let mut found = Vec::new();
        for (_, bytes) in rows.iter().enumerate().rev().filter(|(number, _)| candidates.contains(*number)) {
            if ids.remove(&row::decode_only_id(bytes)?) {
                found.push(row::decode(bytes, &names, self.base())?);
            }
        }
        Ok(found)
    }

    /// A row with its payloads; `unpacked` keeps frames for the next one.
    fn with_payloads(
        &self,
        row: Row,
        frames: &[Frame],
        unpacked: &mut [Option<Bytes>],
    ) -> Result<ArchivedJob, Error> {
        let place = row.place;
        let lengths =
            [place.arguments_bytes, place.options_bytes, place.result_bytes, place.checkpoint_bytes];
        let lengths = lengths.map(|bytes| bytes as usize);
        let mut payloads = if lengths == [0; 4] {
            Bytes::new()
        } else {
            let number = place.frame as usize;
            let frame = frames.get(number).ok_or_else(|| self.damaged("rows"))?;
            let total: usize = lengths.iter().sum();
            let range = place.offset as usize..(place.offset as usize).saturating_add(total);
            let frame = match &unpacked[number] {
                Some(frame) => frame.clone(),
                None => unpacked[number].insert(self.frame(frame)?).clone(),
            };
            if range.end > frame.len() {
                return Err(self.damaged("rows"));
            }
            part_of(&frame, range)
        };
        let [arguments, options, result, checkpoint] = lengths.map(|length| payloads.split_to(length));
        let Row { finish_number, record, .. } = row;
        Ok(ArchivedJob { finish_number, record, arguments, result, options, checkpoint })
    }

    /// Every job of the block that matches, with its payloads, oldest first.
    pub(crate) fn matching(&self, filter: &Filter) -> Result<Vec<ArchivedJob>, Error> {
        let index = self.index()?;
        let frames = self.parsed_index(&index)?.frames().map_err(|Malformed| self.damaged("index"))?;
        let rows = self.rows()?;
        let decoded = split_rows(&rows, self.header.jobs as usize).and_then(|(names, rows)| {
            rows.into_iter().map(|bytes| row::decode(bytes, &names, self.base())).collect::<Decoded<Vec<_>>>()
        });
        let rows = decoded.map_err(|Malformed| self.damaged("rows"))?;
        let mut unpacked = vec![None; frames.len()];
        let rows = rows.into_iter().filter(|row| filter.matches(&row.record));
        rows.map(|row| self.with_payloads(row, &frames, &mut unpacked)).collect()
    }

    /// Reads every part of the block and checks it.
    pub(crate) fn verify(&self) -> Result<(), Error> {
        let index = self.index()?;
        let frames = self.parsed_index(&index)?.frames().map_err(|Malformed| self.damaged("index"))?;
        self.rows()?;
        frames.iter().try_for_each(|frame| self.frame(frame).map(drop))
    }

    fn base(&self) -> Base {
        Base { finish_number: self.header.first_finish_number, created_ms: self.header.created_ms.0 }
    }

    fn index(&self) -> Result<Vec<u8>, Error> {
        self.read(HEADER_BYTES as u64, self.header.index_bytes, self.header.index_crc, "index")
    }

    fn parsed_index<'b>(&self, bytes: &'b [u8]) -> Result<Index<'b>, Error> {
        let jobs = self.header.jobs as usize;
        if jobs == 0 || jobs > BLOCK_JOBS_MAX {
            return Err(self.damaged("header"));
        }
        Index::new(bytes, jobs).map_err(|Malformed| self.damaged("index"))
    }

    fn rows(&self) -> Result<Vec<u8>, Error> {
        let BlockHeader { rows_bytes, rows_unpacked_bytes, rows_crc, .. } = self.header;
        let stored = self.read(self.header.rows_start(), rows_bytes, rows_crc, "rows")?;
        if rows_unpacked_bytes > ROWS_BYTES_MAX {
            return Err(self.damaged("rows"));
        }
        unpack(stored, rows_unpacked_bytes as usize).map_err(|Malformed| self.damaged("rows"))
    }

    fn frame(&self, frame: &Frame) -> Result<Bytes, Error> {
        if frame.unpacked_bytes as usize > BLOCK_PAYLOAD_BYTES_MAX {
            return Err(self.damaged("payloads"));
        }
        let start = self.header.payloads_start().saturating_add(frame.offset);
        let stored = self.read(start, frame.stored_bytes, frame.crc, "payloads")?;
        let unpacked = unpack(stored, frame.unpacked_bytes as usize);
        unpacked.map(Bytes::from).map_err(|Malformed| self.damaged("payloads"))
    }

    fn read(&self, start: u64, length: u32, crc: u32, part: &str) -> Result<Vec<u8>, Error> {
        if start.saturating_add(u64::from(length)) > self.header.used_bytes() {
            return Err(self.damaged(part));
        }
        let mut bytes = vec![0; length as usize];
        let count = self.file.read_at(self.offset + start, &mut bytes);
        let count = count.map_err(Error::io("read", self.path, 0))?;
        if count == bytes.len() && crc32c(&bytes) == crc { Ok(bytes) } else { Err(self.damaged(part)) }
    }

    fn damaged(&self, part: &str) -> Error {
        Error::damaged(self.path, self.offset, format!("the {part} of the block fail their check"))
    }
}

/// A part of a frame: shared where it is most of it, else copied, so that a small result does not keep a whole frame.
fn part_of(frame: &Bytes, range: Range<usize>) -> Bytes {
    if range.len() >= frame.len() / 2 { frame.slice(range) } else { Bytes::copy_from_slice(&frame[range]) }
}

/// What was packed as `stored`.
pub(crate) fn unpack(stored: Vec<u8>, unpacked_bytes: usize) -> Decoded<Vec<u8>> {
    if stored.len() == unpacked_bytes {
        return Ok(stored);
    }
    // Before room is made for what the bytes cannot hold.
    if unpacked_bytes / EXPANSION_MAX > stored.len() {
        return Err(Malformed);
    }
    let mut unpacked = vec![0; unpacked_bytes];
    let count = decompress_into(&stored, &mut unpacked).map_err(|_| Malformed)?;
    if count == unpacked_bytes { Ok(unpacked) } else { Err(Malformed) }
}

/// The names, and the bytes of each row.
fn split_rows(bytes: &[u8], jobs: usize) -> Decoded<(Names, Vec<&[u8]>)> {
    let mut decoder = Decoder::new(bytes);
    let names = Names::decode(&mut decoder)?;
    let rows = (0..jobs).map(|_| decoder.bytes()).collect::<Decoded<_>>()?;
    Ok((names, rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room was made for whatever a block claimed to hold, up to a gigabyte.
    #[test]
    fn no_room_is_made_for_what_the_bytes_cannot_hold() {
        assert_eq!(unpack(vec![0; 10], isize::MAX as usize), Err(Malformed));
        assert_eq!(unpack(vec![7; 10], 10), Ok(vec![7; 10]));
    }
}
