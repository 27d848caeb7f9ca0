//! Snapshots: one file each in `snap/`, named by LSN, with the pages that changed since the one before.
//!
//! A snapshot's manifest says where each of its pages lies, in its own file or in an earlier one, so a file lives as
//! long as one of the two newest snapshots points into it. `layout` has the bytes, `compact` what moves out of old
//! files.

mod compact;
mod layout;
mod read;
mod write;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::disk::{Disk, is_temporary, join};
use crate::holds::Holds;
use crate::{Error, NewSnapshot, Snapshot};
use layout::Manifest;
use read::Described;
use write::Writer;

pub(crate) const DIRECTORY: &str = "snap";
/// Bytes of pages that one snapshot takes over from old files, about.
const MOVE_BYTES_MAX: u64 = 64 << 20;

/// The snapshots of a home.
#[derive(Debug)]
pub(crate) struct Snapshots<D> {
    disk: D,
    /// The newest snapshot, upon which the next one builds. Locked while that is written.
    newest: Mutex<Option<Kept>>,
    /// LSN of the one before, which is gone back to if the newest turns out to be damaged: commits above it stay.
    both_past: AtomicU64,
}

/// A snapshot that can be gone back to.
#[derive(Debug)]
struct Kept {
    lsn: u64,
    manifest: Manifest,
}

impl Kept {
    /// The files that it needs.
    fn files(&self) -> impl Iterator<Item = u64> {
        self.manifest.values().map(|page| page.file).chain([self.lsn])
    }
}

/// What was found at open.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The newest snapshot that is whole.
    pub(crate) snapshot: Option<Snapshot>,
    /// The LSN of the newest file, readable or not, and its size.
    pub(crate) newest_lsn: u64,
    pub(crate) newest_bytes: u64,
}

impl<D: Disk> Snapshots<D> {
    /// Finds the snapshots, removes what an unfinished put left, makes what is found durable, and reads the newest one
    /// that is whole. A damaged one is passed over with a warning.
    pub(crate) fn open(disk: D) -> Result<(Self, Loaded), Error> {
        let (mut lsns, mut loaded) = (Vec::new(), Loaded::default());
        // Sorted by name, and so by LSN.
        for entry in disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))? {
            match entry.name.parse::<u64>() {
                Ok(lsn) => {
                    lsns.push(lsn);
                    (loaded.newest_lsn, loaded.newest_bytes) = (lsn, entry.bytes);
                }
                Err(_) if is_temporary(&entry.name) => remove(&disk, &entry.name)?,
                Err(_) => {}
            }
        }
        // What a dead process renamed may not be durable yet, but is going to be built upon.
        disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))?;
        let mut kept = Vec::new();
        for lsn in lsns.iter().rev() {
            if let Some(described) = look_at(&disk, *lsn, &mut loaded)? {
                kept.push(described.kept);
            }
            if kept.len() == 2 {
                break;
            }
        }
        let mut kept = kept.into_iter();
        let snapshots = Self {
            disk,
            newest: Mutex::new(kept.next()),
            both_past: AtomicU64::new(kept.next().map_or(0, |kept| kept.lsn)),
        };
        Ok((snapshots, loaded))
    }

    /// The directory, to be created before.
    pub(crate) const fn directory() -> &'static str {
        DIRECTORY
    }

    /// What trimming must leave: commits above this LSN. 0 before there are two snapshots. Never waits for one that is
    /// being written.
    pub(crate) fn both_past(&self) -> u64 {
        self.both_past.load(Ordering::Acquire)
    }

    /// Publishes a snapshot and removes the files that neither it nor the one before needs. Returns the bytes written:
    /// none if there is a snapshot of that commit or a later one.
    ///
    /// On a full disk `lend` is asked to free some bytes, and says whether it did. While files are held, removing is left
    /// to a later snapshot.
    pub(crate) fn put(
        &self,
        snapshot: NewSnapshot<'_>,
        lend: &dyn Fn(u64) -> bool,
        holds: &Holds,
    ) -> Result<u64, Error> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let lsn = snapshot.lsn;
        if newest.as_ref().is_some_and(|newest| newest.lsn >= lsn) {
            return Ok(0);
        }
        let before = newest.as_ref().map_or_else(Manifest::new, |newest| newest.manifest.clone());
        let (manifest, bytes) =
            self.write(snapshot, before, lend).inspect_err(|_| write::discard(&self.disk, lsn))?;
        let previous = newest.replace(Kept { lsn, manifest });
        let needed: BTreeSet<u64> = newest.iter().chain(&previous).flat_map(Kept::files).collect();
        self.both_past.store(previous.map_or(0, |kept| kept.lsn), Ordering::Release);
        if let Some(_removing) = holds.removing() {
            self.clear_away(&needed);
        }
        Ok(bytes)
    }

    fn write(
        &self,
        snapshot: NewSnapshot<'_>,
        mut manifest: Manifest,
        lend: &dyn Fn(u64) -> bool,
    ) -> Result<(Manifest, u64), Error> {
        let NewSnapshot { lsn, crc, tables, pages, changed } = snapshot;
        let mut writer = Writer::create(&self.disk, lsn, lend)?;
        for (number, bytes) in changed {
            manifest.insert(number, writer.page(&bytes)?);
        }
        manifest.retain(|number, _| pages.iter().any(|range| range.contains(number)));
        check_whole(lsn, &manifest, pages)?;
        self.move_pages(&mut writer, &mut manifest, lsn)?;
        let bytes = writer.publish(crc, tables, &manifest)?;
        Ok((manifest, bytes))
    }

    /// Takes over pages of files that hold little else.
    fn move_pages(&self, writer: &mut Writer<'_, D>, manifest: &mut Manifest, lsn: u64) -> Result<(), Error> {
        let entries = self.disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))?;
        for (number, page) in compact::plan(manifest, &entries, (lsn, writer.bytes()), MOVE_BYTES_MAX) {
            match read::open(&self.disk, page.file).and_then(|file| read::read_page(&file, page)) {
                Ok(bytes) => _ = manifest.insert(number, writer.page(&bytes)?),
                Err(error @ Error::Damaged { .. }) => {
                    tracing::error!(%error, "a snapshot's page is damaged and stays where it is");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes every file that is not needed. What cannot be removed now goes with the next snapshot.
    fn clear_away(&self, needed: &BTreeSet<u64>) {
        let Ok(entries) = self.disk.list(DIRECTORY) else { return };
        for entry in entries {
            if entry.name.parse().is_ok_and(|lsn| !needed.contains(&lsn))
                && let Err(error) = remove(&self.disk, &entry.name)
            {
                tracing::warn!(%error, "an old snapshot stays until the next one");
            }
        }
    }
}

/// Finds the snapshots and changes nothing. Gives the LSNs of those whose files are all there, ascending: others are there
/// for their pages alone, and cannot be gone back to.
pub(crate) fn look<D: Disk>(disk: &D) -> Result<(Vec<u64>, Loaded), Error> {
    let listed = disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))?;
    let files: BTreeSet<u64> = listed.iter().filter_map(|entry| entry.name.parse().ok()).collect();
    let newest_lsn = files.last().copied().unwrap_or(0);
    let mut loaded = Loaded { newest_lsn, ..Loaded::default() };
    let mut whole = Vec::new();
    for lsn in files.iter().rev() {
        let described = look_at(disk, *lsn, &mut loaded)?;
        if described.is_some_and(|described| described.kept.files().all(|file| files.contains(&file))) {
            whole.push(*lsn);
        }
    }
    whole.reverse();
    Ok((whole, loaded))
}

/// Describes the snapshot of a file, and loads it if none was loaded yet. `None` if it is damaged.
fn look_at<D: Disk>(disk: &D, lsn: u64, loaded: &mut Loaded) -> Result<Option<Described>, Error> {
    let described = read::describe(disk, lsn).and_then(|described| {
        if loaded.snapshot.is_none() {
            loaded.snapshot = Some(read::load(disk, &described)?);
        }
        Ok(described)
    });
    match described {
        Ok(described) => Ok(Some(described)),
        Err(error @ Error::Damaged { .. }) => {
            tracing::warn!(lsn, %error, "trying the snapshot before");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Checks a file: all of its snapshot if that is one of the two newest, else what lies in the file itself, since others
/// are there for their pages alone.
pub(crate) fn check<D: Disk>(disk: &D, name: &str) -> Result<(), Error> {
    let path = join(DIRECTORY, name);
    let lsn = name.parse().map_err(|_| Error::damaged(&path, 0, "its name is no commit's number"))?;
    let listed = disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))?;
    let later = listed.iter().filter(|entry| entry.name.parse().is_ok_and(|other: u64| other > lsn));
    let is_newest = later.count() < 2;
    let Described { kept, .. } = read::describe(disk, lsn)?;
    let pages = kept.manifest.values().filter(|page| is_newest || page.file == lsn);
    pages.copied().try_for_each(|page| read::read_page(&read::open(disk, page.file)?, page).map(drop))
}

/// Errors if a page is neither new nor known from before.
fn check_whole(lsn: u64, manifest: &Manifest, pages: &[std::ops::Range<u64>]) -> Result<(), Error> {
    let missing = pages.iter().cloned().flatten().find(|number| !manifest.contains_key(number));
    missing.map_or(Ok(()), |page| Err(Error::PageMissing { lsn, page }))
}

fn name(lsn: u64) -> String {
    format!("{lsn:020}")
}

fn remove<D: Disk>(disk: &D, name: &str) -> Result<(), Error> {
    let path = join(DIRECTORY, name);
    disk.remove_file(&path).map_err(Error::io("remove", &path, 0))
}
