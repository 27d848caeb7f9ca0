//! Looking for records, part by part: blocks and the chunks of the tail.

use std::time::Instant;

use lineshaft_wire::LogRecord;

use super::block::{BlockReader, Search};
use super::catalogue::{Catalogue, Entry, Part};
use super::store::{DIRECTORY, LogStore};
use super::tail::Chunk;
use super::wanted::Wanted;
use super::{LogCursor, LogPage, LogPageRequest, fit};
use crate::Error;
use crate::archive::open_file::OpenFile;
use crate::disk::Disk;

/// A page that has so much ends, however few records that are. The last block may add what it holds.
const PAGE_BYTES_MAX: usize = 4 << 20;

impl<D: Disk> LogStore<D> {
    /// Records that match, as many as were found in time.
    ///
    /// A block that is damaged is passed over with a warning. [`Error::Io`] if the disk does not answer.
    pub fn page(&self, request: &LogPageRequest) -> Result<LogPage, Error> {
        let began = Instant::now();
        let wanted = Wanted::new(&request.filter);
        let (mut files, mut bytes) = (OpenFile::new(DIRECTORY), 0);
        let (mut records, count) = (Vec::new(), request.count.max(1));
        let mut place = self.with_catalogue(|catalogue| Place::of(request, catalogue));
        while let Some(part) = self.with_catalogue(|catalogue| place.next(catalogue)) {
            let (numbers, limit) = (place.numbers(), count - records.len());
            let search = Search { wanted: &wanted, numbers, newest_first: request.newest_first, limit };
            let found = match &part {
                Part::Block(entry) => self.search(entry, &mut files, &search)?,
                Part::Chunk(chunk) => search_chunk(chunk, &search),
            };
            bytes += found.iter().map(|(_, record)| fit::weight(record)).sum::<usize>();
            let is_full = found.len() == limit;
            match found.last() {
                Some((number, _)) if is_full => place.number = *number,
                _ => place.pass(&part),
            }
            records.extend(found.into_iter().map(|(_, record)| record));
            if is_full || bytes >= PAGE_BYTES_MAX || began.elapsed() >= request.budget {
                break;
            }
        }
        let is_end = self.with_catalogue(|catalogue| place.next(catalogue).is_none());
        let next = (!request.newest_first || !is_end).then_some(LogCursor(place.number));
        Ok(LogPage { records, next, is_end })
    }

    /// Records of one block; none if it is damaged, or retention took it away meanwhile.
    fn search(
        &self,
        entry: &Entry,
        files: &mut OpenFile<D>,
        search: &Search<'_>,
    ) -> Result<Vec<(u64, LogRecord)>, Error> {
        if !search.wanted.may_be_in(&entry.header) {
            return Ok(Vec::new());
        }
        let Some((file, path)) = files.get(self.disk(), entry.file)? else { return Ok(Vec::new()) };
        let block = BlockReader { file, path, offset: entry.offset, header: &entry.header };
        match block.search(search) {
            Err(_) if !self.with_catalogue(|catalogue| catalogue.contains(entry)) => Ok(Vec::new()),
            Err(error @ Error::Damaged { .. }) => {
                self.note_damaged(entry, &error);
                Ok(Vec::new())
            }
            searched => searched,
        }
    }
}

/// Where a page has come to: all on one side of `number` was looked at.
struct Place {
    number: u64,
    newest_first: bool,
}

impl Place {
    fn of(request: &LogPageRequest, catalogue: &Catalogue) -> Self {
        let newest_first = request.newest_first;
        let number = match request.after {
            // Beyond the newest only if records were lost since it was given out: who follows goes on with the next ones.
            Some(LogCursor(number)) if !newest_first => number.min(catalogue.newest()),
            Some(LogCursor(number)) => number,
            None if newest_first => u64::MAX,
            None => 0,
        };
        Self { number, newest_first }
    }

    fn next(&self, catalogue: &Catalogue) -> Option<Part> {
        if self.newest_first {
            catalogue.last_before(self.number)
        } else {
            catalogue.first_after(self.number)
        }
    }

    /// The sequence numbers that are left.
    fn numbers(&self) -> std::ops::Range<u64> {
        if self.newest_first { 0..self.number } else { self.number + 1..u64::MAX }
    }

    fn pass(&mut self, part: &Part) {
        self.number = if self.newest_first { part.first() } else { part.last() };
    }
}

fn search_chunk(chunk: &Chunk, search: &Search<'_>) -> Vec<(u64, LogRecord)> {
    let each = (chunk.first..).zip(chunk.records.iter());
    let wanted = |(number, record): &(u64, &LogRecord)| {
        search.numbers.contains(number) && search.wanted.filter.takes(record)
    };
    let is_attached = search.wanted.filter.attached;
    let whole = |(number, record): (u64, &LogRecord)| {
        (number, if is_attached { record.clone() } else { record.without_attachment() })
    };
    if search.newest_first {
        let each: Vec<_> = each.collect();
        return each.into_iter().rev().filter(wanted).take(search.limit).map(whole).collect();
    }
    each.filter(wanted).take(search.limit).map(whole).collect()
}
