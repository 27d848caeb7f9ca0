//! Finding the blocks of an archive when it is opened.

use super::block::BlockReader;
use super::catalogue::{Catalogue, Entry};
use super::day::Day;
use super::header::{ALIGNMENT, BlockHeader, HEADER_BYTES};
use super::store::DIRECTORY;
use crate::Error;
use crate::disk::{Disk, DiskFile, OpenMode, join};

/// Reads the headers of all blocks, cutting a torn one at the end of a day.
pub(crate) fn scan<D: Disk>(disk: &D) -> Result<Catalogue, Error> {
    let mut entries = Vec::new();
    for file in disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))? {
        if let Some(day) = Day::parse(&file.name) {
            scan_day(disk, day, file.bytes, &mut entries)?;
        }
    }
    entries.sort_by_key(|entry| entry.header.first_finish_number);
    if let Some(pair) = entries.windows(2).find(|pair| overlap(pair)) {
        let path = join(DIRECTORY, &pair[1].day.to_string());
        return Err(Error::damaged(&path, pair[1].offset, "the block overlaps another one"));
    }
    let mut catalogue = Catalogue::default();
    // Within a day, blocks come in the order of their finish numbers, so the last push sets the file's end.
    for entry in entries {
        catalogue.push(entry);
    }
    Ok(catalogue)
}

fn overlap(pair: &[Entry]) -> bool {
    pair[0].header.last_finish_number >= pair[1].header.first_finish_number
}

fn scan_day<D: Disk>(disk: &D, day: Day, length: u64, entries: &mut Vec<Entry>) -> Result<(), Error> {
    let path = join(DIRECTORY, &day.to_string());
    let file = disk.open(&path, OpenMode::Read).map_err(Error::io("open", &path, 0))?;
    let first = entries.len();
    let mut offset = 0;
    while let Some(header) = read_header(&file, &path, offset)?.filter(|header| fits(header, offset, length))
    {
        entries.push(Entry { day, offset, header });
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
    if offset < length { end_day(disk, &path, offset, length) } else { Ok(()) }
}

fn fits(header: &BlockHeader, offset: u64, length: u64) -> bool {
    header.stored_bytes() <= length - offset
}

/// Deals with what is after the last good block: a torn block is cut, but never one with good blocks behind it.
fn end_day<D: Disk>(disk: &D, path: &str, end: u64, length: u64) -> Result<(), Error> {
    let file = disk.open(path, OpenMode::Read).map_err(Error::io("open", path, 0))?;
    let mut offset = end + ALIGNMENT;
    while offset < length {
        if read_header(&file, path, offset)?.is_some() {
            return Err(Error::damaged(path, end, "the block cannot be read, but later ones can"));
        }
        offset += ALIGNMENT;
    }
    tracing::warn!(path, bytes = length - end, "cut a block of the archive that was not written to its end");
    drop(file);
    if end > 0 {
        return cut_file(disk, path, end);
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
    let path = join(DIRECTORY, &newest.day.to_string());
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

fn read_header<F: DiskFile>(file: &F, path: &str, offset: u64) -> Result<Option<BlockHeader>, Error> {
    let mut bytes = [0; HEADER_BYTES];
    let count = file.read_at(offset, &mut bytes).map_err(Error::io("read", path, 0))?;
    Ok(BlockHeader::decode(&bytes[..count]))
}
