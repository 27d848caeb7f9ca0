//! The reserve: one file of zeros in `seg/` that stands ready for a full disk.
//!
//! New jobs are refused before it is touched. It takes what frees space: ends, cancellations, leases, and, if there is
//! no other place for it, the snapshot after which old segments may go.

use std::io;
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
    bytes: Mutex<u64>,
}

impl<D: Disk> Reserve<D> {
    /// The reserve that opening found, 0 bytes for none.
    pub(crate) fn new(disk: D, wanted_bytes: u64, bytes: u64) -> Self {
        Self { disk, wanted_bytes, bytes: Mutex::new(bytes) }
    }

    /// Its path.
    pub(crate) fn path() -> String {
        join(DIRECTORY, NAME)
    }

    /// Its size; 0 while there is none.
    pub(crate) fn bytes(&self) -> u64 {
        *self.lock()
    }

    /// What has to be written before it is whole again.
    pub(crate) fn missing_bytes(&self) -> u64 {
        self.wanted_bytes.saturating_sub(*self.lock())
    }

    /// Makes it with `fill`, which writes that many zeros to the path that it is given, unless it is whole.
    pub(crate) fn make(&self, fill: impl FnOnce(&str, u64) -> io::Result<()>) -> io::Result<()> {
        let mut bytes = self.lock();
        if *bytes >= self.wanted_bytes {
            return Ok(());
        }
        let path = Self::path();
        if std::mem::take(&mut *bytes) > 0 {
            self.disk.remove_file(&path)?;
        }
        let temporary = format!("{path}.tmp");
        fill(&temporary, self.wanted_bytes)?;
        self.disk.rename(&temporary, &path)?;
        self.disk.sync_dir(DIRECTORY)?;
        *bytes = self.wanted_bytes;
        Ok(())
    }

    /// Hands the file over to whoever renames it away; `None` if there is none, or it has less than `least_bytes`.
    pub(crate) fn take(&self, least_bytes: u64) -> Option<String> {
        let mut bytes = self.lock();
        if *bytes == 0 || *bytes < least_bytes {
            return None;
        }
        *bytes = 0;
        Some(Self::path())
    }

    /// Frees space for a file of `needed_bytes`, and a little more, if it has that much. Says whether it did.
    pub(crate) fn lend(&self, needed_bytes: u64) -> bool {
        let mut bytes = self.lock();
        let Some(left @ 1..) = bytes.checked_sub(needed_bytes.saturating_add(self.margin_bytes())) else {
            return false;
        };
        let shortened = shorten(&self.disk, left);
        match &shortened {
            Ok(()) => *bytes = left,
            Err(error) => tracing::warn!(%error, "the reserve cannot be shortened"),
        }
        shortened.is_ok()
    }

    /// What a file system needs beside the content of a file.
    fn margin_bytes(&self) -> u64 {
        (64 << 10).min(self.wanted_bytes / 4)
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts the file of the reserve.
pub(crate) fn shorten<D: Disk>(disk: &D, bytes: u64) -> Result<(), Error> {
    let path = join(DIRECTORY, NAME);
    let file = disk.open(&path, OpenMode::Write).map_err(Error::io("open", &path, 0))?;
    file.set_len(bytes).map_err(Error::io("shorten", &path, 0))?;
    file.sync_data().map_err(Error::io("sync", &path, 0))
}
