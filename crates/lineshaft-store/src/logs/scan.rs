//! Finding blocks and tail when a store is opened.
//!
//! A block is durable before the tail is begun anew. So of a block whose records the tail has too, nobody knows whether
//! it was written to its end: it is checked whole, and kept or cut. All others are taken by their headers.

use std::collections::BTreeMap;
use std::io;

use super::block::BlockReader;
use super::catalogue::{Catalogue, Entry};
use super::header::{ALIGNMENT, BlockHeader, HEADER_BYTES};
use super::next;
use super::store::DIRECTORY;
use super::tail::{NAME, Tail};
use crate::Error;
use crate::archive::day::DayFile;
use crate::disk::{Disk, DiskFile, OpenMode, join, settle as settle_names};

/// What an opening found.
pub(crate) struct Scanned<F> {
    pub(crate) catalogue: Catalogue,
    /// The tail's file, where its chunks end, and the CRC of the last of them.
    pub(crate) file: F,
    pub(crate) end: u64,
    pub(crate) crc: u32,
    /// The next record's sequence number.
    pub(crate) next: u64,
}

pub(crate) fn scan<D: Disk>(disk: &D) -> Result<Scanned<D::File>, Error> {
    settle_names(disk, DIRECTORY).map_err(Error::io("look through", DIRECTORY, 0))?;
    let (file, mut tail) = open_tail(disk)?;
    let Found { entries, ends, holes, torn_bytes } = Found::scan(disk)?;
    let mut catalogue = Catalogue::new(entries, ends);
    if let Some(first) = tail.first() {
        settle(disk, &mut catalogue, &holes, first)?;
    }
    holes.iter().for_each(|hole| catalogue.note_hole(hole.file, hole.start));
    let first_kept = next::read(disk)?;
    tail.forget(catalogue.head().max(first_kept.saturating_sub(1)));
    // Blocks whose headers are gone may have had numbers that were given out: no record gets one of them again.
    let skipped = if tail.chunks.is_empty() { records_in(torn_bytes) } else { 0 };
    trim(&file, &mut tail)?;
    tail.chunks.into_iter().for_each(|chunk| catalogue.push_chunk(chunk));
    catalogue.tail_bytes = tail.end;
    let next = (catalogue.newest() + 1 + skipped).max(first_kept);
    Ok(Scanned { catalogue, file, end: tail.end, crc: tail.crc, next })
}

/// How many records blocks of so many bytes may have had: the smallest one takes as much as their alignment.
fn records_in(bytes: u64) -> u64 {
    bytes.div_ceil(ALIGNMENT) * super::BLOCK_RECORDS_MAX as u64
}

fn open_tail<D: Disk>(disk: &D) -> Result<(D::File, Tail), Error> {
    let path = join(DIRECTORY, NAME);
    let file = match disk.open(&path, OpenMode::Write) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            disk.open(&path, OpenMode::Create).map_err(Error::io("create", &path, 0))?
        }
        opened => opened.map_err(Error::io("open", &path, 0))?,
    };
    // A dead process may have created it without that.
    disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))?;
    let tail = Tail::read(&file, &path)?;
    Ok((file, tail))
}

/// Cuts what is no part of the tail any more, or was not written to its end.
fn trim<F: DiskFile>(file: &F, tail: &mut Tail) -> Result<(), Error> {
    let path = join(DIRECTORY, NAME);
    if tail.end < tail.length {
        tracing::warn!(path, bytes = tail.length - tail.end, "cut logs that were not written to their end");
    }
    if tail.chunks.is_empty() {
        (tail.end, tail.crc) = (0, 0);
    }
    if tail.end < tail.length {
        file.set_len(tail.end).map_err(Error::io("cut", &path, 0))?;
    }
    Ok(())
}

/// Checks the blocks that have records from the sequence number `first` on, cuts those that are torn and makes the others
/// durable: a failed sync may have left them in memory only.
fn settle<D: Disk>(disk: &D, catalogue: &mut Catalogue, holes: &[Hole], first: u64) -> Result<(), Error> {
    let doubtful = catalogue.entries().iter().filter(|entry| entry.header.last() >= first);
    for entry in doubtful.cloned().collect::<Vec<_>>() {
        let path = entry.path();
        let file = disk.open(&path, OpenMode::Write).map_err(Error::io("open", &path, 0))?;
        // Of several blocks that were written together, one may be there without the one before it.
        let hole = holes.iter().find(|hole| (hole.file, hole.end) == (entry.file, entry.offset));
        let start = hole.map_or(entry.offset, |hole| hole.start);
        let block = BlockReader { file: &file, path: &path, offset: entry.offset, header: &entry.header };
        match block.verify() {
            Ok(()) if hole.is_none() => write_again(&file, &entry).map_err(Error::io("write", &path, 0))?,
            Ok(()) | Err(Error::Damaged { .. }) => {
                catalogue.cut_file(entry.file, start);
                cut(disk, &path, start, entry.end() - start)?;
                break;
            }
            Err(error) => return Err(error),
        }
    }
    disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))
}

fn write_again<F: DiskFile>(file: &F, entry: &Entry) -> io::Result<()> {
    let mut bytes = vec![0; entry.header.stored_bytes() as usize];
    file.read_at(entry.offset, &mut bytes)?;
    file.write_all_at(entry.offset, &bytes)?;
    file.sync_data()
}

/// What is in the files of days.
#[derive(Default)]
struct Found {
    /// In the order of their sequence numbers.
    entries: Vec<Entry>,
    ends: BTreeMap<DayFile, u64>,
    holes: Vec<Hole>,
    torn_bytes: u64,
}

/// A place between blocks that do read, where one does not.
struct Hole {
    file: DayFile,
    start: u64,
    end: u64,
}

impl Found {
    /// Reads the headers of all blocks, and cuts what is at the ends of files and is none.
    fn scan<D: Disk>(disk: &D) -> Result<Self, Error> {
        let mut found = Self::default();
        for file in disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))? {
            if let Some(day) = DayFile::parse(&file.name) {
                found.scan_file(disk, day, file.bytes)?;
            }
        }
        found.entries.sort_by_key(|entry| entry.header.first);
        found.leave_out_copies();
        Ok(found)
    }

    fn scan_file<D: Disk>(&mut self, disk: &D, day: DayFile, length: u64) -> Result<(), Error> {
        let path = join(DIRECTORY, &day.to_string());
        let file = disk.open(&path, OpenMode::Read).map_err(Error::io("open", &path, 0))?;
        let (mut offset, mut end) = (0, 0);
        while let Some((at, header)) =
            next_header(&file, offset, length).map_err(Error::io("read", &path, 0))?
        {
            if at > end {
                self.holes.push(Hole { file: day, start: end, end: at });
            }
            let entry = Entry { file: day, offset: at, header };
            (offset, end) = (entry.end(), entry.end());
            self.entries.push(entry);
        }
        if end < length {
            self.torn_bytes += length - end;
            cut(disk, &path, end, length - end)?;
        }
        if end > 0 {
            self.ends.insert(day, end);
        }
        Ok(())
    }

    /// A file that was copied has the records of another one: they are shown once.
    fn leave_out_copies(&mut self) {
        let (mut last, holes) = (0, &mut self.holes);
        self.entries.retain(|entry| {
            let is_new = entry.header.first > last;
            if is_new {
                last = entry.header.last();
            } else {
                holes.push(Hole { file: entry.file, start: entry.offset, end: entry.end() });
            }
            is_new
        });
    }
}

/// The first header at `offset` or behind it whose block fits into the file.
pub(crate) fn next_header<F: DiskFile>(
    file: &F,
    offset: u64,
    length: u64,
) -> io::Result<Option<(u64, BlockHeader)>> {
    let mut bytes = [0; HEADER_BYTES];
    for at in (offset..length).step_by(ALIGNMENT as usize) {
        let count = file.read_at(at, &mut bytes)?;
        let header = BlockHeader::decode(&bytes[..count]);
        if let Some(header) = header.filter(|header| header.stored_bytes() <= length - at) {
            return Ok(Some((at, header)));
        }
    }
    Ok(None)
}

/// Cuts a file where its good blocks end.
fn cut<D: Disk>(disk: &D, path: &str, end: u64, bytes: u64) -> Result<(), Error> {
    tracing::warn!(path, bytes, "cut a block of logs that was not written to its end");
    if end == 0 {
        disk.remove_file(path).map_err(Error::io("remove", path, 0))?;
        return disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0));
    }
    let cut = || {
        let file = disk.open(path, OpenMode::Write)?;
        file.set_len(end)?;
        file.sync_data()
    };
    cut().map_err(Error::io("cut", path, 0))
}
