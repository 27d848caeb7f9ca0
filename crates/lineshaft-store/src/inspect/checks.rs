//! Which files of a home are whole, each checked by itself.

use crate::Error;
use crate::disk::{Disk, join, list_if_there};
use crate::journal::{blobs, cold, snapshots};

/// A file that was checked.
#[derive(Debug)]
pub struct CheckedFile {
    /// Its path in the home.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What is wrong with it, if anything.
    pub error: Option<Error>,
}

/// Reads every snapshot and checks it.
pub fn check_snapshots<D: Disk>(disk: &D, visit: &mut dyn FnMut(CheckedFile)) -> Result<(), Error> {
    check(disk, snapshots::DIRECTORY, visit, |name| snapshots::check(disk, name))
}

/// The commit of the newest snapshot that can be read; 0 if there is none.
pub fn newest_snapshot<D: Disk>(disk: &D) -> Result<u64, Error> {
    let (_, loaded) = snapshots::look(disk)?;
    Ok(loaded.snapshot.map_or(0, |snapshot| snapshot.lsn))
}

/// Reads every blob and checks it.
pub fn check_blobs<D: Disk>(disk: &D, visit: &mut dyn FnMut(CheckedFile)) -> Result<(), Error> {
    check(disk, blobs::DIRECTORY, visit, |name| blobs::check(disk, name))
}

/// Reads every cold file and checks every payload in it, whether a job needs it or not.
pub fn check_cold_files<D: Disk>(disk: &D, visit: &mut dyn FnMut(CheckedFile)) -> Result<(), Error> {
    check(disk, cold::DIRECTORY, visit, |name| cold::check(disk, name))
}

fn check<D: Disk>(
    disk: &D,
    directory: &str,
    visit: &mut dyn FnMut(CheckedFile),
    read: impl Fn(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    let entries = list_if_there(disk, directory)?.unwrap_or_default();
    for entry in entries.into_iter().filter(|entry| !crate::disk::is_temporary(&entry.name)) {
        let error = read(&entry.name).err();
        visit(CheckedFile { path: join(directory, &entry.name), bytes: entry.bytes, error });
    }
    Ok(())
}
