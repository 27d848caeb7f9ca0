//! The files of a home, as little of them as the store needs.
//!
//! Paths are relative to the home, with `/` between the parts. [`FileDisk`] is the real one, [`Overlay`] keeps
//! changes of another one in memory; the test kit has one that forgets, tears and reorders what was not synced.

mod file;
mod overlay;

use std::io;
use std::os::fd::BorrowedFd;

use crate::Error;

pub use file::{FileDisk, FileLock};
pub use overlay::{Changed, Locking, Overlay, OverlayFile};

/// A directory tree of files. Clones are handles on the same tree.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;
    /// A lock that ends when it is dropped or its process dies.
    type Lock: Send + Sync + 'static;

    /// Creates a directory and its parents; one that exists is fine.
    fn create_dir_all(&self, path: &str) -> io::Result<()>;
    /// Opens a file.
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Self::File>;
    /// Gives a file a new name, replacing what had it. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; open handles keep reading it. Durable after [`Disk::sync_dir`].
    fn remove_file(&self, path: &str) -> io::Result<()>;
    /// The files directly in a directory, sorted by name; directories are left out.
    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>>;
    /// Makes creations, renames and removals in a directory (`""` is the root) durable.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
    /// Takes the exclusive lock of a file and writes `owner` into it, without waiting.
    fn lock(&self, path: &str, owner: &str) -> io::Result<LockAttempt<Self::Lock>>;
    /// Bytes an ordinary process may still write.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file; all methods take positions, so threads share one handle.
pub trait DiskFile: Send + Sync + 'static {
    /// Reads from `offset` until the buffer is full or the file ends; returns how many bytes were read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes at `offset`, growing the file if need be. Durable after [`DiskFile::sync_data`].
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes every finished write durable, and the size if it grew.
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts the file, or extends it by zeros that take no space.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Size in bytes.
    fn length(&self) -> io::Result<u64>;
    /// The file as the operating system knows it, where it does.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
    /// Makes this file's content that of `other`, sharing its space until either is written to.
    ///
    /// [`io::ErrorKind::Unsupported`] or another error where the file system cannot: nothing has changed then.
    fn share(&self, other: BorrowedFd<'_>) -> io::Result<()> {
        let _ = other;
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A file without content, to read and write: a new one, or an existing one emptied.
    Create,
}

/// A file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Name without the directory.
    pub name: String,
    /// Size.
    pub bytes: u64,
}

/// What came of trying to lock.
#[derive(Debug)]
pub enum LockAttempt<L> {
    /// The lock is ours until it is dropped.
    Taken(L),
    /// Somebody has it; the text is what they wrote.
    HeldBy(String),
}

/// Whether a file never got its name: what an unfinished [`publish`] leaves.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension == "tmp")
}

/// Removes what unfinished writes left in a directory, and makes what is found durable: what a dead process renamed may
/// not be yet, but is going to be built upon.
pub(crate) fn settle<D: Disk>(disk: &D, directory: &str) -> io::Result<()> {
    for entry in disk.list(directory)? {
        if is_temporary(&entry.name) {
            disk.remove_file(&join(directory, &entry.name))?;
        }
    }
    disk.sync_dir(directory)
}

/// Removes a file; one that does not exist is fine.
pub(crate) fn remove<D: Disk>(disk: &D, path: &str) -> io::Result<()> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a whole file so that either nothing or all of it is found after a crash, at the price of two syncs.
///
/// The parts are written to `directory/name.tmp`, which is synced and renamed.
pub(crate) fn publish<D: Disk>(disk: &D, directory: &str, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let path = join(directory, name);
    let temporary = format!("{path}.tmp");
    let written = write_parts(disk, &temporary, parts);
    if written.is_err() {
        // The error that matters is the one above; what is left is removed at the next open anyway.
        let _ = disk.remove_file(&temporary);
        return written;
    }
    disk.rename(&temporary, &path)?;
    disk.sync_dir(directory)
}

fn write_parts<D: Disk>(disk: &D, path: &str, parts: &[&[u8]]) -> io::Result<()> {
    let file = disk.open(path, OpenMode::Create)?;
    let mut offset = 0;
    for part in parts {
        file.write_all_at(offset, part)?;
        offset += part.len() as u64;
    }
    file.sync_data()
}

/// The whole content of a file.
pub(crate) fn read_all<D: Disk>(disk: &D, path: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut bytes = vec![0; file.length()? as usize];
    let count = file.read_at(0, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// The whole content of a file; `None` if it does not exist.
pub(crate) fn read_if_there<D: Disk>(disk: &D, path: &str) -> Result<Option<Vec<u8>>, Error> {
    match read_all(disk, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).map_err(Error::io("read", path, 0)),
    }
}

/// The files of a directory; `None` if it does not exist.
pub(crate) fn list_if_there<D: Disk>(disk: &D, directory: &str) -> Result<Option<Vec<DirEntry>>, Error> {
    match disk.list(directory) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("list", directory, 0)(error)),
    }
}

/// `directory/name`, or `name` in the root.
pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}
