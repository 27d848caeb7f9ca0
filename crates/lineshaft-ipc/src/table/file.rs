//! A table that processes find by the name of a file, and that is gone when the last of them has left.
//!
//! Whoever has it open holds a shared `flock` on the file. To make it, or to remove it, takes the exclusive one, which
//! nobody gets while another has it open. One that was left behind by processes that were killed is used by the next.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::Table;
use super::layout::Layout;
use super::words::{Header, MAGIC};
use crate::segment::{Segment, bad_segment};
use crate::sync::Owner;
use crate::{Error, Result};

/// Processes that make it at once stand in each other's way for a moment.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(5);

/// A [`Table`] in a file.
#[derive(Debug)]
pub struct TableFile {
    table: Table,
    path: PathBuf,
    /// With the shared lock.
    file: File,
    owner: Owner,
}

impl TableFile {
    /// The table in the file at `path`, which is made with room for so many bytes if there is none; one that is there has
    /// the room that it has.
    ///
    /// [`Error::BadSegment`] if the file is another user's, can be opened by others, or is used by processes of another
    /// version; [`Error::Os`] where there is no memory for it.
    pub fn open(path: &Path, room_bytes: usize) -> Result<Self> {
        for _ in 0..TRIES {
            let file = opened(path)?;
            if !lock(&file, FlockOperation::NonBlockingLockShared, path)? || !is_at(&file, path) {
                std::thread::sleep(PAUSE);
                continue;
            }
            if is_made(&file)? {
                let table = Table::open(Segment::of_file(file.try_clone().map_err(trouble(path))?)?)?;
                return Ok(Self { table, path: path.to_owned(), file, owner: Owner::current()? });
            }
            if lock(&file, FlockOperation::NonBlockingLockExclusive, path)? && is_at(&file, path) {
                let made = make(&file, room_bytes);
                if made.is_err() {
                    // What is left would be in the way of whoever has more room later.
                    let _ = std::fs::remove_file(path);
                }
                made?;
            }
            // Closing it gives the lock back; the next look finds what was made.
            drop(file);
            std::thread::sleep(PAUSE);
        }
        Err(bad_segment(format!("{} is used by processes of another version", path.display())))
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// As [`Self::open`], in a forked child: the parent's lock says nothing of the child. The same table.
    pub fn reopen(&self) -> Result<Self> {
        let file = opened(&self.path)?;
        let is_same = same(&file, &self.file);
        if is_same
            && lock(&file, FlockOperation::NonBlockingLockShared, &self.path)?
            && is_at(&file, &self.path)
        {
            return Ok(Self {
                table: self.table.clone(),
                path: self.path.clone(),
                file,
                owner: Owner::current()?,
            });
        }
        Self::open(
            &self.path,
            self.table.parts.header().room_bytes.load(std::sync::atomic::Ordering::Relaxed) as usize,
        )
    }

    /// Whether this process opened it, and is not a forked child of who did.
    pub fn is_own(&self) -> bool {
        Owner::current().is_ok_and(|me| me == self.owner)
    }
}

impl Drop for TableFile {
    /// Removes the file if nobody else has it open.
    fn drop(&mut self) {
        // The lock of a forked child is its parent's.
        if self.is_own()
            && matches!(lock(&self.file, FlockOperation::NonBlockingLockExclusive, &self.path), Ok(true))
            && is_at(&self.file, &self.path)
        {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn opened(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path).map_err(trouble(path))?;
    let metadata = file.metadata().map_err(trouble(path))?;
    let is_for_all = metadata.mode() & 0o077;
    let is_ours =
        metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw() && is_for_all == 0;
    if is_ours {
        return Ok(file);
    }
    Err(bad_segment(format!("{} is not a file that this user alone may open", path.display())))
}

/// Whether the table was made to its end.
fn is_made(file: &File) -> Result<bool> {
    let length = file.metadata().map_err(Error::os("look at a table"))?.len();
    if length < size_of::<Header>() as u64 {
        return Ok(false);
    }
    let mut magic = [0; 8];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut magic, 0).map_err(Error::os("read a table"))?;
    Ok(u64::from_le_bytes(magic) == MAGIC)
}

/// Makes it anew, whatever somebody who died left of it.
fn make(file: &File, room_bytes: usize) -> Result<()> {
    let layout = Layout::of(room_bytes);
    file.set_len(0).map_err(Error::os("make a table"))?;
    file.set_len(layout.bytes as u64).map_err(Error::os("make a table"))?;
    let segment = Segment::of_file(file.try_clone().map_err(Error::os("make a table"))?)?;
    segment.reserve(0, layout.reserved())?;
    Table::begin_in(segment, room_bytes).map(|_| ())
}

/// Whether it got the lock.
fn lock(file: &File, operation: FlockOperation, path: &Path) -> Result<bool> {
    match flock(file, operation) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(trouble(path)(error.into())),
    }
}

/// Whether the file has still that name.
fn is_at(file: &File, path: &Path) -> bool {
    File::open(path).is_ok_and(|there| same(file, &there))
}

fn same(one: &File, other: &File) -> bool {
    let number = |file: &File| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((number(one), number(other)), (Ok(one), Ok(other)) if one == other)
}

fn trouble(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    Error::os(format!("open {}", path.display()))
}
