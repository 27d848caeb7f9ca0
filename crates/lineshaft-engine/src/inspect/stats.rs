//! How much a home holds and how large it is.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use lineshaft_store::inspect::{DirectorySize, JournalSize, directories, journal_size};
use lineshaft_store::{BlockArchive, DayCounts, Disk, FileDisk, Journal};
use lineshaft_wire::JobState;

use super::{Holder, Look, overlay};
use crate::Error;

/// Sizes and counts of a home.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Who works in it, if somebody does: then `jobs` and the rest of memory are that server's to say.
    pub holder: Option<Holder>,
    /// Every directory of the home that exists.
    pub directories: Vec<DirectorySize>,
    /// The segments.
    pub journal: JournalSize,
    /// What lies in memory while the home is served.
    pub memory: Option<Memory>,
    /// The two newest snapshots, the newest last, with what each wrote: pages that did not change are in earlier files.
    pub snapshots: Vec<SnapshotStats>,
    /// The days of the archive, oldest first.
    pub days: Vec<DayCounts>,
    /// Bytes that may still be written.
    pub free_bytes: u64,
}

/// What only the state of a home says.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The newest commit.
    pub head_lsn: u64,
    /// Bytes in the journal that jobs still need: their arguments, results, errors, outputs, checkpoints.
    pub live_bytes: u64,
    /// Bytes of the segments that no job needs: they go after the next snapshots.
    pub dead_bytes: u64,
    /// Jobs by state; finished ones are those that the archive does not have yet.
    pub jobs: [(JobState, u64); 8],
}

/// A snapshot of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotStats {
    /// The commit it includes last.
    pub lsn: u64,
    /// Size of its file.
    pub bytes: u64,
    /// When it was written, Unix milliseconds; `None` where the file system does not say.
    pub written_ms: Option<u64>,
}

/// Sizes and counts of the home at `path`.
///
/// A stopped home is opened as a start would open it, which takes as long; of a served one only files are listed.
pub fn stats(path: &Path) -> Result<Stats, Error> {
    let (home, holder) = overlay(path)?;
    let disk = FileDisk::new(path);
    let (memory, days) = if holder.is_some() {
        (None, BlockArchive::open(&home)?.days())
    } else {
        let look = Look::of(&home)?;
        (Some(memory(&look)), look.archive.days())
    };
    Ok(Stats {
        holder,
        directories: directories(&disk)?.into_iter().chain(lost(path)).collect(),
        journal: journal_size(&disk)?,
        memory,
        snapshots: snapshots(path),
        days,
        free_bytes: disk.free_bytes().unwrap_or(0),
    })
}

/// What the doctor and upgrades kept, in directories of its own: it may be as large as the rest.
fn lost(home: &Path) -> Option<DirectorySize> {
    let mut lost = DirectorySize { name: "lost", files: 0, bytes: 0 };
    let mut left = vec![fs::read_dir(home.join(lost.name)).ok()?];
    while let Some(entries) = left.pop() {
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => left.extend(fs::read_dir(entry.path())),
                Ok(found) => (lost.files, lost.bytes) = (lost.files + 1, lost.bytes + found.len()),
                Err(_) => {}
            }
        }
    }
    Some(lost)
}

fn memory(look: &Look) -> Memory {
    Memory {
        head_lsn: look.recovery.head.lsn,
        live_bytes: look.state.live_below(u64::MAX).bytes,
        dead_bytes: look.journal.dead_bytes(look.state.oldest_kept_lsn().unwrap_or(look.recovery.head.lsn)),
        jobs: look.state.counts_by_state(),
    }
}

fn snapshots(path: &Path) -> Vec<SnapshotStats> {
    let files = fs::read_dir(path.join("snap")).into_iter().flatten().flatten();
    let mut snapshots: Vec<SnapshotStats> = files
        .filter_map(|file| {
            let lsn = file.file_name().to_str()?.parse().ok()?;
            let metadata = file.metadata().ok()?;
            let written = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let written_ms = written.map(|since| since.as_millis() as u64);
            Some(SnapshotStats { lsn, bytes: metadata.len(), written_ms })
        })
        .collect();
    snapshots.sort_unstable_by_key(|snapshot| snapshot.lsn);
    // Earlier files are there for the pages that these did not write again.
    snapshots.split_off(snapshots.len().saturating_sub(2))
}
