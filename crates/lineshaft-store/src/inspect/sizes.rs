//! How much space the parts of a home take.

use crate::Error;
use crate::archive::DIRECTORY as ARCHIVE;
use crate::disk::{Disk, OpenMode, join, list_if_there};
use crate::journal::commit::{HEADER_BYTES, Header};
use crate::journal::reserve;
use crate::journal::segment::{self, COMMITS_START, DIRECTORY as SEGMENTS};
use crate::logs::DIRECTORY as LOGS;

/// What a home may contain. Only files directly in a directory count; nothing of a home lies deeper.
const DIRECTORIES: [&str; 9] = ["", SEGMENTS, "cold", "snap", "blob", ARCHIVE, LOGS, "output", "run"];

/// A directory of a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectorySize {
    /// Its name in the home; empty for the home itself.
    pub name: &'static str,
    /// Files directly in it.
    pub files: u64,
    /// Their lengths together.
    pub bytes: u64,
}

/// The directories that exist, the home itself first.
pub fn directories<D: Disk>(disk: &D) -> Result<Vec<DirectorySize>, Error> {
    let mut sizes = Vec::new();
    for name in DIRECTORIES {
        if let Some(entries) = list_if_there(disk, name)? {
            let bytes = entries.iter().map(|entry| entry.bytes).sum();
            sizes.push(DirectorySize { name, files: entries.len() as u64, bytes });
        }
    }
    Ok(sizes)
}

/// The files of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalSize {
    /// Segments with a number.
    pub segments: u64,
    /// Their bytes, zeros prepared for further commits included.
    pub bytes: u64,
    /// Files kept to be used again.
    pub spares: u64,
    /// Their bytes.
    pub spare_bytes: u64,
    /// Bytes kept back for a full disk.
    pub reserve_bytes: u64,
    /// The first commit of the oldest segment; `None` if it has none that reads.
    pub oldest_lsn: Option<u64>,
}

/// The size of the journal, from its directory and one header.
pub fn journal_size<D: Disk>(disk: &D) -> Result<JournalSize, Error> {
    let mut size = JournalSize::default();
    let mut oldest = None;
    for entry in list_if_there(disk, SEGMENTS)?.unwrap_or_default() {
        if segment::number_of(&entry.name).is_some() {
            (size.segments, size.bytes) = (size.segments + 1, size.bytes + entry.bytes);
            oldest.get_or_insert(entry.name);
        } else if entry.name == reserve::NAME {
            size.reserve_bytes = entry.bytes;
        } else if entry.name.starts_with("spare-") {
            (size.spares, size.spare_bytes) = (size.spares + 1, size.spare_bytes + entry.bytes);
        }
    }
    size.oldest_lsn = oldest.and_then(|name| first_lsn(disk, &join(SEGMENTS, &name)));
    Ok(size)
}

fn first_lsn<D: Disk>(disk: &D, path: &str) -> Option<u64> {
    use crate::disk::DiskFile;
    let mut bytes = [0; HEADER_BYTES];
    let file = disk.open(path, OpenMode::Read).ok()?;
    file.read_at(COMMITS_START, &mut bytes).ok()?;
    Header::decode(&bytes).map(|header| header.lsn)
}
