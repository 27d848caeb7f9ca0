//! Writing a snapshot's file, page by page.

use crc32c::crc32c;

use super::layout::{HEADER_BYTES, Header, Manifest, PageAt, Part, encode_manifest};
use super::{DIRECTORY, name};
use crate::Error;
use crate::disk::{Disk, DiskFile, OpenMode, join};

/// The file is synced each time that this much was written, so that commits never wait behind all of it.
const SYNC_BYTES: u64 = 4 << 20;

/// A snapshot's file that has no name yet.
pub(super) struct Writer<'a, D: Disk> {
    disk: &'a D,
    /// Frees so many bytes, or says that it cannot.
    lend: &'a dyn Fn(u64) -> bool,
    file: D::File,
    lsn: u64,
    path: String,
    offset: u64,
    unsynced: u64,
}

impl<'a, D: Disk> Writer<'a, D> {
    pub(super) fn create(disk: &'a D, lsn: u64, lend: &'a dyn Fn(u64) -> bool) -> Result<Self, Error> {
        let path = join(DIRECTORY, &format!("{}.tmp", name(lsn)));
        let file = disk.open(&path, OpenMode::Create).map_err(Error::io("create", &path, 0))?;
        Ok(Self { disk, lend, file, lsn, path, offset: HEADER_BYTES as u64, unsynced: 0 })
    }

    pub(super) fn page(&mut self, bytes: &[u8]) -> Result<PageAt, Error> {
        let Ok(length) = u32::try_from(bytes.len()) else {
            let max_bytes = u64::from(u32::MAX);
            return Err(Error::TooLarge {
                what: "a page of a snapshot",
                bytes: bytes.len() as u64,
                max_bytes,
            });
        };
        let Part { offset, crc, .. } = self.part(bytes)?;
        Ok(PageAt { file: self.lsn, offset, length, crc })
    }

    /// Bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.offset
    }

    fn part(&mut self, bytes: &[u8]) -> Result<Part, Error> {
        let part = Part { offset: self.offset, length: bytes.len() as u64, crc: crc32c(bytes) };
        if !bytes.is_empty() {
            self.write(self.offset, bytes)?;
        }
        self.offset += part.length;
        self.unsynced += part.length;
        if self.unsynced >= SYNC_BYTES {
            self.sync()?;
        }
        Ok(part)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let write = || {
            let error = Error::io("write", &self.path, bytes.len() as u64);
            self.file.write_all_at(offset, bytes).map_err(error)
        };
        write().or_else(|error| match error {
            Error::Full { needed_bytes, .. } if (self.lend)(needed_bytes) => write(),
            error => Err(error),
        })
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.unsynced = 0;
        self.file.sync_data().map_err(Error::io("sync", &self.path, 0))
    }

    /// Writes what is left and gives the file its name; it is durable on return.
    pub(super) fn publish(mut self, crc: u32, tables: &[u8], manifest: &Manifest) -> Result<u64, Error> {
        let tables = self.part(tables)?;
        let manifest = self.part(&encode_manifest(manifest))?;
        self.write(0, &Header { lsn: self.lsn, crc, tables, manifest }.encode())?;
        self.sync()?;
        let path = join(DIRECTORY, &name(self.lsn));
        self.disk.rename(&self.path, &path).map_err(Error::io("rename", &self.path, 0))?;
        self.disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))?;
        Ok(self.offset)
    }
}

/// Removes what a failed write left. The error that matters is that one, and the next open removes it anyway.
pub(super) fn discard<D: Disk>(disk: &D, lsn: u64) {
    let _ = disk.remove_file(&join(DIRECTORY, &format!("{}.tmp", name(lsn))));
}
