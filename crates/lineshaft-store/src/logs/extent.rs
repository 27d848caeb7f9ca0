//! What the files of logs hold at one moment, for those who read them while somebody may write: up to a record behind which
//! nothing is looked at, and before which nothing changes but by retention.
//!
//! Blocks are durable before the tail is begun anew. So when a tail has been read that begins with record *n*, every record
//! before *n* is in a block, and blocks with others are of a later time. One that is cut while it is read may end too early,
//! and does not begin with *n* any more: it is read again.

use std::io;
use std::thread;
use std::time::Duration;

use super::next;
use super::scan::next_header;
use super::store::DIRECTORY;
use super::tail::{self, HEADER_BYTES, Tail};
use crate::Error;
use crate::archive::day::DayFile;
use crate::disk::{DirEntry, Disk, DiskFile, OpenMode, join, list_if_there, read_all};

/// A tail that was just begun anew tells nothing: it is looked at so often.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// The records up to one of them.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    /// Files of days, and how much of each belongs to it; 0 of those that have only other bytes.
    pub(crate) days: Vec<(String, u64)>,
    /// Small files with their whole content: what is sound of the tail, and what else there is.
    pub(crate) small: Vec<(String, Vec<u8>)>,
    /// The tail as it was read.
    pub(crate) tail: Vec<u8>,
    /// Its first sequence number, if it has any.
    pub(crate) first: Option<u64>,
}

/// The records that were appended before this was called, and perhaps some more.
pub(crate) fn extent<D: Disk>(disk: &D) -> Result<Extent, Error> {
    let mut tries = 1;
    loop {
        let before = days(disk)?;
        let tail = read_if_there(disk, tail::NAME)?.unwrap_or_default();
        let first = Tail::of(&tail).chunks.first().map(|chunk| chunk.first);
        let after = days(disk)?;
        let is_whole = match first {
            Some(_) => beginning(disk)? == tail[..HEADER_BYTES],
            // With an empty tail, blocks are whole if none is being written.
            None => before == after,
        };
        if is_whole || tries == TRIES {
            return Extent::of(disk, after, tail, first);
        }
        tries += 1;
        thread::sleep(PAUSE);
    }
}

impl Extent {
    fn of<D: Disk>(disk: &D, files: Vec<DirEntry>, tail: Vec<u8>, first: Option<u64>) -> Result<Self, Error> {
        let mut extent = Self { first, ..Self::default() };
        for DirEntry { name, bytes } in files {
            let path = join(DIRECTORY, &name);
            let end = first.map_or(Ok(Some(bytes)), |first| end_before(disk, &path, bytes, first));
            let end = end.map_err(Error::io("read", &path, 0))?;
            extent.days.extend(end.map(|end| (path, end)));
        }
        let sound = tail[..Tail::of(&tail).end as usize].to_vec();
        extent.small = vec![(join(DIRECTORY, tail::NAME), sound)];
        if let Some(bytes) = read_if_there(disk, next::NAME)? {
            extent.small.push((join(DIRECTORY, next::NAME), bytes));
        }
        extent.tail = tail;
        Ok(extent)
    }
}

/// The files of days, sorted by name.
fn days<D: Disk>(disk: &D) -> Result<Vec<DirEntry>, Error> {
    let files = list_if_there(disk, DIRECTORY)?.unwrap_or_default();
    Ok(files.into_iter().filter(|file| DayFile::parse(&file.name).is_some()).collect())
}

/// The header of the tail's first chunk, as far as it is there.
fn beginning<D: Disk>(disk: &D) -> Result<Vec<u8>, Error> {
    let path = join(DIRECTORY, tail::NAME);
    let file = disk.open(&path, OpenMode::Read).map_err(Error::io("open", &path, 0))?;
    let mut bytes = vec![0; HEADER_BYTES];
    let count = file.read_at(0, &mut bytes).map_err(Error::io("read", &path, 0))?;
    bytes.truncate(count);
    Ok(bytes)
}

fn read_if_there<D: Disk>(disk: &D, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let path = join(DIRECTORY, name);
    match read_all(disk, &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(Error::io("read", &path, 0)),
    }
}

/// Where the blocks end that have only records before this one; `None` if retention took the file meanwhile.
fn end_before<D: Disk>(disk: &D, path: &str, length: u64, first: u64) -> io::Result<Option<u64>> {
    let file = match disk.open(path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let length = length.min(file.length()?);
    let (mut end, mut offset) = (0, 0);
    while let Some((at, header)) = next_header(&file, offset, length)? {
        offset = at + header.stored_bytes();
        if header.last() < first {
            end = offset;
        }
    }
    Ok(Some(end))
}
