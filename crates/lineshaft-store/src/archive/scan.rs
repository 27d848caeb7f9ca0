//! Finding the blocks of an archive when it is opened.

use std::io;

use super::block::BlockReader;
use super::catalogue::{Catalogue, Entry};
use super::day::DayFile;
use super::header::{ALIGNMENT, BlockHeader, HEADER_BYTES};
use super::store::DIRECTORY;
use crate::Error;
use crate::disk::{Disk, DiskFile, OpenMode, join};
use crate::gaps::Gaps;

/// What is at the end of a file behind its last good block.
pub(crate) struct TornEnd {
    path: String,
    /// Where the good blocks end, and the file.
    end: u64,
    length: u64,
}

/// Reads the headers of all blocks. What was not written to its end is left to [`cut`].
///
/// Up to the finish number `archived`, jobs are known to have been archived: if one is missing that nobody gave up, it
/// was lost.
pub(crate) fn scan<D: Disk>(disk: &D, archived: u64) -> Result<(Catalogue, Vec<TornEnd>), Error> {
    let (mut entries, mut torn) = (Vec::new(), Vec::new());
    for file in disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))? {
        if let Some(found) = DayFile::parse(&file.name) {
            torn.extend(scan_file(disk, found, file.bytes, &mut entries)?);
        }
    }
    entries.sort_by_key(|entry| entry.header.first_finish_number);
    if let Some(pair) = entries.windows(2).find(|pair| overlap(pair)) {
        return Err(copied(&pair[0], &pair[1]).unwrap_or_else(|| {
            Error::damaged(&pair[1].path(), pair[1].offset, "the block overlaps another one")
        }));
    }
    check_complete(&entries, archived, &Gaps::load(disk, DIRECTORY)?)?;
    let mut catalogue = Catalogue::default();
    // Within a file, blocks come in the order of their finish numbers, so the last push sets the file's end.
    for entry in entries {
        catalogue.push(entry);
    }
    Ok((catalogue, torn))
}

/// Finish numbers grow without gaps, so a block or a file that is missing between others shows; so does a missing end,
/// and a missing beginning where it is written down how far retention went ([`Gaps::beginning`]).
fn check_complete(entries: &[Entry], archived: u64, gaps: &Gaps) -> Result<(), Error> {
    let missing = |after: &Entry, first: u64, last: u64, before: Option<&Entry>| {
        let file = match before {
            Some(before) if before.file != after.file => {
                format!("between {} and {}", after.path(), before.path())
            }
            _ => format!("behind the last block of {}", after.path()),
        };
        Err(Error::HistoryMissing { first, last, file })
    };
    if let (Some(oldest), Some(beginning)) = (entries.first(), gaps.beginning())
        && oldest.header.first_finish_number > beginning
    {
        let (first, last) = (beginning, oldest.header.first_finish_number - 1);
        let file = format!("before the first block of {}", oldest.path());
        return Err(Error::HistoryMissing { first, last, file });
    }
    for pair in entries.windows(2) {
        let (first, last) = (pair[0].header.last_finish_number + 1, pair[1].header.first_finish_number - 1);
        if !gaps.cover(first, last) {
            return missing(&pair[0], first, last, Some(&pair[1]));
        }
    }
    match entries.last() {
        Some(newest) if !gaps.cover(newest.header.last_finish_number + 1, archived) => {
            missing(newest, newest.header.last_finish_number + 1, archived, None)
        }
        None if archived > 0 && !gaps.cover(archived, archived) => {
            Err(Error::HistoryMissing { first: 1, last: archived, file: "no block is there".to_owned() })
        }
        _ => Ok(()),
    }
}

fn overlap(pair: &[Entry]) -> bool {
    pair[0].header.last_finish_number >= pair[1].header.first_finish_number
}

/// Why two blocks overlap, if one is in a copy of the file of the other: the one whose name is wrong.
fn copied(one: &Entry, other: &Entry) -> Option<Error> {
    let (copy, of) = match (one.is_in_place(), other.is_in_place()) {
        _ if one.file == other.file => return None,
        (false, true) => (one, other),
        (true, false) => (other, one),
        _ if one.header == other.header => (other, one),
        _ => return None,
    };
    Some(Error::Copied { file: copy.path(), other: of.path() })
}

fn scan_file<D: Disk>(
    disk: &D,
    found: DayFile,
    length: u64,
    entries: &mut Vec<Entry>,
) -> Result<Option<TornEnd>, Error> {
    let path = join(DIRECTORY, &found.to_string());
    let file = disk.open(&path, OpenMode::Read).map_err(Error::io("open", &path, 0))?;
    let first = entries.len();
    let mut offset = 0;
    let header = |offset| read_header(&file, offset).map_err(Error::io("read", &path, 0));
    while let Some(header) = header(offset)?.filter(|header| fits(header, offset, length)) {
        entries.push(Entry { file: found, offset, header });
        offset += header.stored_bytes();
    }
    if let Some(last) = entries[first..].last().copied()
        && offset == length
        && let Err(error) =
            (BlockReader { file: &file, path: &path, offset: last.offset, header: last.header }).verify()
    {
        // Only its own bytes could be torn; anything but damage is a reason to stop.
        if !matches!(error, Error::Damaged { .. }) {
            return Err(error);
        }
        entries.pop();
        offset = last.offset;
    }
    if offset < length { torn_end(disk, path, offset, length).map(Some) } else { Ok(None) }
}

fn fits(header: &BlockHeader, offset: u64, length: u64) -> bool {
    header.stored_bytes() <= length - offset
}

/// What is after the last good block: a torn block may be cut, but never one with good blocks behind it.
fn torn_end<D: Disk>(disk: &D, path: String, end: u64, length: u64) -> Result<TornEnd, Error> {
    let file = disk.open(&path, OpenMode::Read).map_err(Error::io("open", &path, 0))?;
    if first_header_from(&file, end, length).map_err(Error::io("read", &path, 0))?.is_some() {
        return Err(Error::damaged(&path, end, "the block cannot be read, but later ones can"));
    }
    Ok(TornEnd { path, end, length })
}

/// Cuts a block that was not written to its end.
pub(crate) fn cut<D: Disk>(disk: &D, torn: &TornEnd) -> Result<(), Error> {
    let TornEnd { path, end, length } = torn;
    tracing::warn!(path, bytes = length - end, "cut a block of the archive that was not written to its end");
    if *end > 0 {
        return cut_file(disk, path, *end);
    }
    disk.remove_file(path).map_err(Error::io("remove", path, 0))?;
    disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))
}

/// Makes what was found durable.
///
/// Every block but the newest was synced before the next one was put. The newest is written again, since a failed
/// sync may have left it in memory only.
pub(crate) fn settle<D: Disk>(disk: &D, catalogue: &Catalogue) -> Result<(), Error> {
    let Some(newest) = catalogue.last_before(u64::MAX) else { return Ok(()) };
    let path = join(DIRECTORY, &newest.file.to_string());
    let rewrite = || {
        let file = disk.open(&path, OpenMode::Write)?;
        let mut bytes = vec![0; newest.header.stored_bytes() as usize];
        file.read_at(newest.offset, &mut bytes)?;
        file.write_all_at(newest.offset, &bytes)?;
        file.sync_data()?;
        disk.sync_dir(DIRECTORY)
    };
    rewrite().map_err(Error::io("write", &path, 0))
}

/// Shortens a file, durable on return.
pub(crate) fn cut_file<D: Disk>(disk: &D, path: &str, length: u64) -> Result<(), Error> {
    let cut = || {
        let file = disk.open(path, OpenMode::Write)?;
        file.set_len(length)?;
        file.sync_data()
    };
    cut().map_err(Error::io("cut", path, 0))
}

/// Where the first block behind `offset` begins.
pub(crate) fn first_header_from<F: DiskFile>(file: &F, offset: u64, length: u64) -> io::Result<Option<u64>> {
    let mut at = offset + ALIGNMENT;
    while at < length {
        if read_header(file, at)?.is_some() {
            return Ok(Some(at));
        }
        at += ALIGNMENT;
    }
    Ok(None)
}

fn read_header<F: DiskFile>(file: &F, offset: u64) -> io::Result<Option<BlockHeader>> {
    let mut bytes = [0; HEADER_BYTES];
    let count = file.read_at(offset, &mut bytes)?;
    Ok(BlockHeader::decode(&bytes[..count]))
}
