//! Payloads that outlived their segments: immutable files in `cold/`, named by number.
//!
//! A segment is freed as a whole and only after all before it, so one job that waits for next month would pin all that
//! came after. Its payloads are copied here, a commit says where they are now, and the segment can go. Each payload has
//! a length and a CRC of its own in front of it, so that one is checked by reading nothing else. The CRC covers file
//! number and offset too: a block that the disk wrote elsewhere is not taken for the right one.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};

use super::ColdFile;
use super::commit::{u32_at, u64_at};
use super::scan::Window;
use super::segment::number_of;
use crate::disk::{self, Disk, DiskFile, OpenMode, join};
use crate::{ColdLocation, Error};

/// The directory of cold files.
pub(crate) const DIRECTORY: &str = "cold";

const MAGIC: [u8; 4] = *b"LSm1";
const HEADER_BYTES: usize = 32;
/// What stands before each payload: its length, its CRC.
const RECORD_BYTES: usize = 8;
/// Size beyond which an offset would not fit into a reference.
const FILE_BYTES_MAX: u64 = (1 << 31) - 1;
/// Bytes written between two syncs, so that a commit never waits behind much of them.
const STEP_BYTES: usize = 1 << 20;
/// Files held open for reading.
const OPEN_MAX: usize = 16;

/// The cold files of a home.
pub(crate) struct Cold<D: Disk> {
    disk: D,
    /// The files read last, newest at the back.
    open: Mutex<VecDeque<Arc<Opened<D::File>>>>,
}

/// A file whose header was checked.
struct Opened<F> {
    number: u64,
    file: F,
    bytes: u64,
}

/// Removes what unfinished puts left, and makes what is found durable.
pub(crate) fn open<D: Disk>(disk: &D) -> Result<(), Error> {
    disk::settle(disk, DIRECTORY).map_err(Error::io("settle", DIRECTORY, 0))
}

impl<D: Disk> Cold<D> {
    pub(crate) fn new(disk: D) -> Self {
        Self { disk, open: Mutex::default() }
    }

    pub(crate) fn put(
        &self,
        number: u64,
        payloads: &mut dyn Iterator<Item = Result<Bytes, Error>>,
    ) -> Result<Vec<u32>, Error> {
        let path = path(number);
        let temporary = format!("{path}.tmp");
        let written = self.write(number, &temporary, payloads);
        if written.is_err() {
            // The error that matters is the one above; what is left is removed at the next open anyway.
            let _ = self.disk.remove_file(&temporary);
            return written;
        }
        self.disk.rename(&temporary, &path).map_err(Error::io("rename", &temporary, 0))?;
        self.disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))?;
        written
    }

    fn write(
        &self,
        number: u64,
        temporary: &str,
        payloads: &mut dyn Iterator<Item = Result<Bytes, Error>>,
    ) -> Result<Vec<u32>, Error> {
        let failed = || Error::io("write", temporary, STEP_BYTES as u64);
        let file = self.disk.open(temporary, OpenMode::Create).map_err(failed())?;
        let mut writer = Writer { file, number, offset: HEADER_BYTES as u64, pending: Vec::new() };
        let mut offsets = Vec::new();
        for payload in payloads {
            offsets.push(writer.push(&payload?)?);
            if writer.pending.len() >= STEP_BYTES {
                writer.flush().map_err(failed())?;
            }
        }
        writer.finish(offsets.len() as u32).map_err(failed())?;
        Ok(offsets)
    }

    pub(crate) fn read(&self, location: ColdLocation) -> Result<Bytes, Error> {
        let ColdLocation { file: number, offset, length } = location;
        let path = path(number);
        let damaged = |reason| Error::damaged(&path, u64::from(offset), reason);
        let opened = self.opened(number)?;
        let is_inside = u64::from(offset) + u64::from(length) <= opened.bytes;
        if !is_inside || (offset as usize) < HEADER_BYTES + RECORD_BYTES {
            return Err(damaged("no such payload is there"));
        }
        let mut bytes = vec![0; RECORD_BYTES + length as usize];
        let start = u64::from(offset) - RECORD_BYTES as u64;
        let count = opened.file.read_at(start, &mut bytes).map_err(Error::io("read", &path, 0))?;
        let is_whole = count == bytes.len() && u32_at(&bytes, 0) == length;
        if !is_whole || u32_at(&bytes, 4) != record_crc(number, offset, &bytes[RECORD_BYTES..]) {
            return Err(damaged("the payload fails its check"));
        }
        Ok(Bytes::from(bytes).slice(RECORD_BYTES..))
    }

    /// The file, opened and its header checked unless it was read lately.
    fn opened(&self, number: u64) -> Result<Arc<Opened<D::File>>, Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter().position(|opened| opened.number == number);
        let opened = match known.and_then(|at| open.remove(at)) {
            Some(opened) => opened,
            None => Arc::new(self.open_file(number)?),
        };
        open.push_back(Arc::clone(&opened));
        if open.len() > OPEN_MAX {
            open.pop_front();
        }
        Ok(opened)
    }

    fn open_file(&self, number: u64) -> Result<Opened<D::File>, Error> {
        let path = path(number);
        let file = match self.disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoCold { file: number });
            }
            Err(error) => return Err(Error::io("open", &path, 0)(error)),
        };
        let bytes = read_header(&file, number)?.file_bytes;
        Ok(Opened { number, file, bytes })
    }

    pub(crate) fn remove(&self, number: u64) -> Result<(), Error> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|opened| opened.number != number);
        drop(open);
        let path = path(number);
        disk::remove(&self.disk, &path).map_err(Error::io("remove", &path, 0))
    }

    pub(crate) fn list(&self) -> Result<Vec<ColdFile>, Error> {
        let entries = self.disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))?;
        let cold = |entry: &disk::DirEntry| Some((number_of(&entry.name)?, entry.bytes));
        Ok(entries.iter().filter_map(cold).map(|(number, bytes)| ColdFile { number, bytes }).collect())
    }
}

/// What a cold file's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    number: u64,
    file_bytes: u64,
    payloads: u32,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.file_bytes.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.payloads.to_le_bytes());
        let crc = crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Reads and checks the header, and that the file is as long as it says.
fn read_header(file: &impl DiskFile, number: u64) -> Result<Header, Error> {
    let path = path(number);
    let mut bytes = [0; HEADER_BYTES];
    file.read_at(0, &mut bytes).map_err(Error::io("read", &path, 0))?;
    let length = file.length().map_err(Error::io("read", &path, 0))?;
    let header =
        Header { number: u64_at(&bytes, 8), file_bytes: u64_at(&bytes, 16), payloads: u32_at(&bytes, 24) };
    let is_right = bytes == header.encode() && header.number == number && header.file_bytes == length;
    if is_right { Ok(header) } else { Err(Error::damaged(&path, 0, "its header fails its check")) }
}

/// Reads a whole cold file and checks every payload in it.
pub(crate) fn check<D: Disk>(disk: &D, name: &str) -> Result<(), Error> {
    let path = join(DIRECTORY, name);
    let damaged = |offset, reason| Error::damaged(&path, offset, reason);
    let number = number_of(name).ok_or_else(|| damaged(0, "its name is no number"))?;
    let file = disk.open(&path, OpenMode::Read).map_err(Error::io("open", &path, 0))?;
    let header = read_header(&file, number)?;
    let mut window = Window::new(&file);
    let mut offset = HEADER_BYTES as u64;
    for _ in 0..header.payloads {
        let start = window.get(offset, RECORD_BYTES).map_err(Error::io("read", &path, 0))?;
        let length = if start.len() == RECORD_BYTES { u32_at(start, 0) as usize } else { 0 };
        let bytes = RECORD_BYTES + length;
        if length == 0 || offset + bytes as u64 > header.file_bytes {
            return Err(damaged(offset, "a payload has a length that cannot be"));
        }
        let record = window.get(offset, bytes).map_err(Error::io("read", &path, 0))?;
        let at = (offset as usize + RECORD_BYTES) as u32;
        if u32_at(record, 4) != record_crc(number, at, &record[RECORD_BYTES..]) {
            return Err(damaged(offset, "a payload fails its check"));
        }
        offset += bytes as u64;
    }
    let is_all = offset == header.file_bytes;
    if is_all { Ok(()) } else { Err(damaged(offset, "something follows the last payload")) }
}

/// A cold file that is being written; its header comes last.
struct Writer<F> {
    file: F,
    number: u64,
    /// Where `pending` begins.
    offset: u64,
    pending: Vec<u8>,
}

impl<F: DiskFile> Writer<F> {
    /// Adds a payload; returns its offset.
    fn push(&mut self, payload: &[u8]) -> Result<u32, Error> {
        let offset = self.offset + (self.pending.len() + RECORD_BYTES) as u64;
        let end = offset + payload.len() as u64;
        if end > FILE_BYTES_MAX {
            let (what, max_bytes) = ("a cold file", FILE_BYTES_MAX);
            return Err(Error::TooLarge { what, bytes: end, max_bytes });
        }
        let offset = offset as u32;
        self.pending.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        self.pending.extend_from_slice(&record_crc(self.number, offset, payload).to_le_bytes());
        self.pending.extend_from_slice(payload);
        Ok(offset)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(self.offset, &self.pending)?;
        self.offset += self.pending.len() as u64;
        self.pending.clear();
        self.file.sync_data()
    }

    fn finish(mut self, payloads: u32) -> io::Result<()> {
        self.flush()?;
        let header = Header { number: self.number, file_bytes: self.offset, payloads };
        self.file.write_all_at(0, &header.encode())?;
        self.file.sync_data()
    }
}

/// The CRC of a payload at its place.
fn record_crc(number: u64, offset: u32, payload: &[u8]) -> u32 {
    let crc = crc32c(&number.to_le_bytes());
    let crc = crc32c_append(crc, &offset.to_le_bytes());
    let crc = crc32c_append(crc, &(payload.len() as u32).to_le_bytes());
    crc32c_append(crc, payload)
}

pub(crate) fn path(number: u64) -> String {
    join(DIRECTORY, &format!("{number:020}"))
}
