//! What the files of logs hold at one moment, for those who read them from outside, where a crash left them or while somebody
//! writes.
//!
//! Blocks are durable before the tail is begun anew. So when a tail has been read that begins with record *n*, every record
//! before *n* is in a block. One that is cut while it is read may end too early, and does not begin with *n* any more: it is
//! read again. Blocks with records from *n* on are being made of it; or, where no server has opened the home since a power cut,
//! they were, and what came back is a part of a tail that was cut.

use std::io;
use std::thread;
use std::time::Duration;

use super::scan::next_header;
use super::store::DIRECTORY;
use super::tail::{self, HEADER_BYTES, Tail};
use crate::Error;
use crate::archive::day::DayFile;
use crate::disk::{DirEntry, Disk, DiskFile, OpenMode, join, list_if_there, read_if_there};

/// A tail that was just begun anew tells nothing: it is looked at so often.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// What the files held at one moment.
#[derive(Debug)]
pub(crate) struct Extent {
    /// Files of days, and how long they were. At their ends there may be blocks of records that the tail has too.
    pub(crate) days: Vec<(String, u64)>,
    /// The tail as it was read.
    pub(crate) tail: Vec<u8>,
}

/// What has the records that were appended before this was called, and perhaps some more.
pub(crate) fn extent<D: Disk>(disk: &D) -> Result<Extent, Error> {
    let mut tries = 1;
    loop {
        let before = days(disk)?;
        let tail = read_if_there(disk, &join(DIRECTORY, tail::NAME))?.unwrap_or_default();
        let is_empty = Tail::of(&tail).chunks.is_empty();
        let after = days(disk)?;
        // With an empty tail, blocks are whole if none is being written.
        let is_whole = if is_empty { before == after } else { beginning(disk)? == tail[..HEADER_BYTES] };
        if is_whole || tries == TRIES {
            let day = |DirEntry { name, bytes }| (join(DIRECTORY, &name), bytes);
            return Ok(Extent { days: after.into_iter().map(day).collect(), tail });
        }
        tries += 1;
        thread::sleep(PAUSE);
    }
}

impl Extent {
    /// Leaves out what a server that has opened the home may be writing: blocks of records that the tail has, since they go
    /// again where the disk is full, and what is behind the tail's last sound chunk. Of a home that no server has opened that
    /// may be the only place of a record.
    pub(crate) fn without_what_is_written<D: Disk>(mut self, disk: &D) -> Result<Self, Error> {
        let tail = Tail::of(&self.tail);
        if let Some(first) = tail.first() {
            for (path, length) in &mut self.days {
                *length = end_before(disk, path, *length, first).map_err(Error::io("read", path, 0))?;
            }
        }
        self.tail.truncate(tail.end as usize);
        Ok(self)
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

/// Where the blocks end that have only records before this one; 0 if retention took the file meanwhile.
fn end_before<D: Disk>(disk: &D, path: &str, length: u64, first: u64) -> io::Result<u64> {
    let file = match disk.open(path, OpenMode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
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
    Ok(end)
}
