//! What a backup holds: a list of files with their sizes and CRCs, as JSON, and a line with the CRC of that.

use std::collections::BTreeSet;
use std::io;

use crc32c::crc32c;
use serde::{Deserialize, Serialize};

use crate::disk::{Disk, publish, read_all};
use crate::home::FORMAT_VERSION;
use crate::{Appended, Error, archive, logs};

/// The file's name.
pub const MANIFEST: &str = "MANIFEST";

/// The layout of backups that this version writes, and the first one that it reads.
const LAYOUT: u32 = 2;
/// Without what attempts logged: earlier versions know no other.
const LAYOUT_1: u32 = 1;

/// What stands before the CRC in the last line.
const SEAL: &str = "crc32c=";

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The layout of the backup.
    pub backup: u32,
    /// The format of the home.
    pub home_format: u32,
    /// The version of Lineshaft that wrote it.
    pub version: String,
    /// When it was begun, Unix milliseconds.
    pub created_ms: u64,
    /// The newest commit in it; everything acknowledged before the backup was asked for is in it or before it.
    pub lsn: u64,
    /// That commit's CRC.
    pub crc: u32,
    /// The oldest commit that it can be restored to.
    pub first_lsn: u64,
    /// Its files, in the order in which they were copied.
    pub files: Vec<FileEntry>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path in home and backup alike.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// CRC-32C of its content.
    pub crc: u32,
}

impl Manifest {
    pub(super) fn new(facts: super::Facts, newest: Appended, first_lsn: u64, files: Vec<FileEntry>) -> Self {
        let super::Facts { version, created_ms, .. } = facts;
        let Appended { lsn, crc } = newest;
        let has_logs = files.iter().any(|file| super::is_of_logs(&file.path));
        let backup = if has_logs { LAYOUT } else { LAYOUT_1 };
        Self { backup, home_format: FORMAT_VERSION, version, created_ms, lsn, crc, first_lsn, files }
    }

    /// Whether what attempts logged is in it.
    pub fn has_logs(&self) -> bool {
        self.backup != LAYOUT_1
    }

    /// Size of all files together.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Publishes the manifest: from now on the backup is whole.
    pub(super) fn write<D: Disk>(&self, disk: &D) -> Result<(), Error> {
        let text = self.encode();
        publish(disk, "", MANIFEST, &[text.as_bytes()]).map_err(Error::io(
            "write",
            MANIFEST,
            text.len() as u64,
        ))
    }

    /// Reads the manifest of a backup.
    pub(super) fn read<D: Disk>(disk: &D) -> Result<Self, Error> {
        match read_all(disk, MANIFEST) {
            Ok(bytes) => Self::decode(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(unusable(MANIFEST, "there is none: this is no backup, or one that was not finished"))
            }
            Err(error) => Err(Error::io("read", MANIFEST, 0)(error)),
        }
    }

    fn encode(&self) -> String {
        let json = serde_json::to_string_pretty(self).expect("a manifest has nothing that JSON lacks") + "\n";
        format!("{json}{SEAL}{:08x}\n", crc32c(json.as_bytes()))
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let wrong = |reason: &str| unusable(MANIFEST, reason);
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it fails its check"))?;
        let (json, seal) = text.rsplit_once(SEAL).ok_or_else(|| wrong("it has no end"))?;
        if u32::from_str_radix(seal.trim_end(), 16) != Ok(crc32c(json.as_bytes())) {
            return Err(wrong("it fails its check"));
        }
        let manifest: Self = serde_json::from_str(json).map_err(|error| wrong(&error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), Error> {
        if !(LAYOUT_1..=LAYOUT).contains(&self.backup) || self.home_format != FORMAT_VERSION {
            let reason = format!(
                "version {} wrote it, of layout {} for homes of format {}; this version reads up to {LAYOUT}, and \
                 {FORMAT_VERSION}: restore it with that version",
                self.version, self.backup, self.home_format
            );
            return Err(unusable(MANIFEST, &reason));
        }
        let mut paths = BTreeSet::new();
        // Paths come from outside and must not lead there again.
        let foreign = self.files.iter().find(|file| !is_ours(&file.path) || !paths.insert(&file.path));
        foreign.map_or(Ok(()), |file| {
            Err(unusable(MANIFEST, &format!("it names {:?}, which no backup holds", file.path)))
        })
    }
}

/// `directory/name` with one of the directories of a backup, and a plain name, or that of a day's file.
fn is_ours(path: &str) -> bool {
    let good = |char: char| char.is_ascii_alphanumeric() || char == '-';
    path.split_once('/').is_some_and(|(directory, name)| {
        let is_plain = !name.is_empty() && name.chars().all(good);
        let has_days = [archive::DIRECTORY, logs::DIRECTORY].contains(&directory);
        super::DIRECTORIES.contains(&directory) && (is_plain || (has_days && archive::is_day(name)))
    })
}

pub(super) fn unusable(file: &str, reason: &str) -> Error {
    Error::Backup { file: file.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::Facts;

    fn manifest(path: &str) -> Manifest {
        let facts = Facts { version: "1.2.3".into(), created_ms: 1_790_000_000_000, logs: true };
        let files = vec![FileEntry { path: path.into(), bytes: 7, crc: 0xfeed }];
        Manifest::new(facts, Appended { lsn: 9, crc: 3 }, 2, files)
    }

    #[test]
    fn a_manifest_comes_back_and_every_flipped_bit_and_cut_is_noticed() {
        let manifest = manifest("seg/00000000000000000001");
        let text = manifest.encode();
        assert_eq!(Manifest::decode(text.as_bytes()).unwrap(), manifest);
        for bit in 0..8 * (text.len() - 1) {
            let mut bytes = text.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // Hexadecimal digits may be capitals.
            let same = bytes.eq_ignore_ascii_case(text.as_bytes()) && bit / 8 > text.len() - 10;
            assert!(same || Manifest::decode(&bytes).is_err(), "bit {bit}");
        }
        for length in 0..text.len() - 1 {
            assert!(Manifest::decode(&text.as_bytes()[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn paths_that_lead_elsewhere_and_other_layouts_are_refused() {
        let refused =
            |manifest: Manifest| Manifest::decode(manifest.encode().as_bytes()).unwrap_err().to_string();
        for path in ["FORMAT", "seg/../LOCK", "/etc/passwd", "run/token", "seg/", "archive/x/y", "snap/a.tmp"]
        {
            let message = refused(manifest(path));
            assert!(message.contains("which no backup holds"), "{path}: {message}");
        }
        for newer in
            [Manifest { home_format: 99, ..manifest("snap/1") }, Manifest { backup: 3, ..manifest("snap/1") }]
        {
            assert!(refused(newer).contains("restore it with that version"));
        }
    }

    #[test]
    fn files_of_full_days_are_ours_and_logs_make_a_layout_of_their_own() {
        for (path, layout) in [("archive/2026-11-28.1", 1), ("logs/2026-11-28.12", 2), ("logs/open", 2)] {
            let manifest = Manifest::decode(manifest(path).encode().as_bytes()).unwrap();
            assert_eq!((manifest.backup, manifest.has_logs()), (layout, layout == 2), "{path}");
        }
    }
}
