//! Checking a backup, and making a home of it again.

use super::copy::{Copied, Copier, crc_of};
use super::manifest::unusable;
use super::{DIRECTORIES, FileEntry, Manifest, Watch};
use crate::disk::Disk;
use crate::gaps::{self, Gaps};
use crate::journal::{extent, segment};
use crate::{Error, Home, JournalEnd};

/// A backup that was finished.
#[derive(Debug)]
pub struct Backup<D> {
    disk: D,
    /// What it holds.
    pub manifest: Manifest,
}

impl<D: Disk> Backup<D> {
    /// Opens a backup. [`Error::Backup`] if it was not finished, or is one of another layout.
    pub fn open(disk: D) -> Result<Self, Error> {
        let manifest = Manifest::read(&disk)?;
        Ok(Self { disk, manifest })
    }

    /// Reads every file and compares it with the manifest. [`Error::Backup`] names the first one that is not as it was.
    pub fn check(&self, watch: &mut dyn Watch) -> Result<(), Error> {
        watch.began(self.manifest.files.len() as u64, self.manifest.bytes());
        for entry in &self.manifest.files {
            match crc_of(&self.disk, entry, watch)? {
                Some(crc) if crc == entry.crc => {}
                Some(_) => return Err(unusable(&entry.path, "its content is not what was copied")),
                None => {
                    let reason = format!("it is missing, or has not its {} bytes any more", entry.bytes);
                    return Err(unusable(&entry.path, &reason));
                }
            }
        }
        Ok(())
    }

    /// The end of the journal after `lsn`, or the newest one.
    ///
    /// [`Error::NotInBackup`] if the backup cannot give the state after that commit.
    pub fn end(&self, lsn: Option<u64>) -> Result<JournalEnd, Error> {
        let extent = extent(&self.disk)?;
        let Some(lsn) = lsn else { return Ok(extent.end()) };
        let Manifest { first_lsn, lsn: last_lsn, .. } = self.manifest;
        let end = extent.end_at(lsn).filter(|_| first_lsn > 0 && lsn >= first_lsn);
        end.ok_or(Error::NotInBackup { lsn, first_lsn, last_lsn })
    }

    /// Writes the files that lead to `end` into a home that was begun for it. Durable on return.
    ///
    /// Errors: [`Error::Backup`] if a file changed since [`Backup::check`], and those of the disks.
    pub fn put_back<H: Disk>(
        &self,
        home: &Home<H>,
        end: &JournalEnd,
        watch: &mut dyn Watch,
    ) -> Result<(), Error> {
        let wanted: Vec<(&FileEntry, u64)> =
            self.manifest.files.iter().filter_map(|entry| Some((entry, bytes_until(entry, end)?))).collect();
        watch.began(wanted.len() as u64, wanted.iter().map(|(_, bytes)| bytes).sum());
        for directory in DIRECTORIES {
            home.create_dir(directory)?;
        }
        let mut copier = Copier::new(&self.disk, home.disk(), watch);
        for (entry, bytes) in wanted {
            let is_immutable = !entry.path.starts_with("seg/");
            let copied = copier.copy(&Copied { path: entry.path.clone(), bytes, is_immutable })?;
            if bytes == entry.bytes && copied.crc != entry.crc {
                return Err(unusable(&entry.path, "it changed while it was restored"));
            }
        }
        DIRECTORIES.into_iter().try_for_each(|directory| copier.sync_dir(directory))?;
        forget_gaps(home.disk(), end.newest.lsn)
    }
}

/// Commits that were given up after `lsn` are to come: they may not be missing.
fn forget_gaps<D: Disk>(disk: &D, lsn: u64) -> Result<(), Error> {
    let mut gaps = Gaps::load(disk, segment::DIRECTORY)?;
    if gaps.forget_beyond(lsn) { gaps.save(disk, segment::DIRECTORY) } else { Ok(()) }
}

/// How much of a file belongs to the state at `end`; `None` if nothing does.
fn bytes_until(entry: &FileEntry, end: &JournalEnd) -> Option<u64> {
    let (directory, name) = entry.path.split_once('/')?;
    match directory {
        "snap" => name.parse().is_ok_and(|lsn: u64| lsn <= end.newest.lsn).then_some(entry.bytes),
        "seg" if name == gaps::NAME => Some(entry.bytes),
        "seg" => match segment::number_of(name)? {
            number if number < end.last_segment => Some(entry.bytes),
            number if number == end.last_segment => Some(end.last_segment_bytes),
            _ => None,
        },
        _ => Some(entry.bytes),
    }
}
