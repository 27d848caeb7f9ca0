//! The reserve: one file of zeros in `seg/` that stands ready for a full disk.
//!
//! New jobs are refused before it is touched. It takes what frees space: ends, cancellations, leases, and, if there is
//! no other place for it, the snapshot after which old segments may go.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::segment::DIRECTORY;
use crate::Error;
use crate::disk::{Disk, DiskFile, OpenMode, join};

/// Name of the file while it is the reserve.
pub(crate) const NAME: &str = "reserve";

/// The reserve of a journal.
#[derive(Debug)]
pub(crate) struct Reserve<D> {
    disk: D,
    /// Size that it shall have.
    wanted_bytes: u64,
    /// Size that it has; 0 while there is none. A start on a full disk may have left less than is wanted.
    bytes: AtomicU64,
    /// Held while the file changes. Whoever asks for the size, before each commit, does not wait for that.
    changing: Mutex<()>,
}

impl<D: Disk> Reserve<D> {
    /// The reserve that opening found, 0 bytes for none.
    pub(crate) fn new(disk: D, wanted_bytes: u64, bytes: u64) -> Self {
        Self { disk, wanted_bytes, bytes: AtomicU64::new(bytes), changing: Mutex::new(()) }
    }

    /// Its path.
    pub(crate) fn path() -> String {
        join(DIRECTORY, NAME)
    }

    /// Its size; 0 while there is none.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Its size when it is whole.
    pub(crate) fn wanted_bytes(&self) -> u64 {
        self.wanted_bytes
    }

    /// What has to be written before it is whole again.
    pub(crate) fn missing_bytes(&self) -> u64 {
        self.wanted_bytes.saturating_sub(self.bytes())
    }

    /// Makes it with `fill`, which writes that many zeros to the path that it is given, unless it is whole.
    pub(crate) fn make(&self, fill: impl FnOnce(&str, u64) -> io::Result<()>) -> io::Result<()> {
        let _changing = self.lock();
        if self.bytes() >= self.wanted_bytes {
            return Ok(());
        }
        let path = Self::path();
        if self.bytes.swap(0, Ordering::AcqRel) > 0 {
            self.disk.remove_file(&path)?;
        }
        let temporary = format!("{path}.tmp");
        fill(&temporary, self.wanted_bytes)?;
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(DIRECTORY)?;
        self.bytes.store(self.wanted_bytes, Ordering::Release);
        Ok(())
    }

    /// Hands the file over to whoever renames it away; `None` if there is none, or it has less than `least_bytes`.
    pub(crate) fn take(&self, least_bytes: u64) -> Option<String> {
        let _changing = self.lock();
        if self.bytes() == 0 || self.bytes() < least_bytes {
            return None;
        }
        self.bytes.store(0, Ordering::Release);
        Some(Self::path())
    }

    /// Frees space for a file of `needed_bytes`, and a little more, if it has that much. Says whether it did.
    pub(crate) fn lend(&self, needed_bytes: u64) -> bool {
        let _changing = self.lock();
        let taken = needed_bytes.saturating_add(self.margin_bytes());
        let Some(left @ 1..) = self.bytes().checked_sub(taken) else { return false };
        let shortened = shorten(&self.disk, left);
        match &shortened {
            Ok(()) => self.bytes.store(left, Ordering::Release),
            Err(error) => tracing::warn!(%error, "the reserve cannot be shortened"),
        }
        shortened.is_ok()
    }

    /// What a file system needs beside the content of a file.
    fn margin_bytes(&self) -> u64 {
        (64 << 10).min(self.wanted_bytes / 4)
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts the file of the reserve.
pub(crate) fn shorten<D: Disk>(disk: &D, bytes: u64) -> Result<(), Error> {
    let path = join(DIRECTORY, NAME);
    let file = disk.open(&path, OpenMode::Write).map_err(Error::io("open", &path, 0))?;
    file.set_len(bytes).map_err(Error::io("shorten", &path, 0))?;
    file.sync_data().map_err(Error::io("sync", &path, 0))
}
