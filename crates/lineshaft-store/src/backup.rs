//! Copies of a home from which it can be made again: taking one, checking it, and putting it back.
//!
//! A backup is a directory with the home's own files under their own names, as of one commit, and a [`Manifest`] with
//! the size and CRC of each, which is written last: a directory without one is an unfinished backup. It lacks the file
//! `FORMAT`, so that nobody serves it in place of restoring it.
//!
//! Read [`take`] and [`take_stopped`] for what is copied and in what order, [`Backup`] for the way back. What the copied
//! state means, and what must be changed in it so that it does not take part in the history that went on without it, is the
//! engine's to say.

mod copy;
mod manifest;
mod put_back;
mod take;

pub use manifest::{FileEntry, MANIFEST, Manifest};
pub use put_back::Backup;
pub use take::{Facts, take, take_stopped};

use crate::{Error, logs};

/// Directories of a home that belong to a backup, in the order in which they are copied.
///
/// The journal comes before what it names, and the archive behind it: it may be ahead of the journal, which is cut when it
/// is opened, but never behind. What attempts logged stands for itself, and may be left out.
pub const DIRECTORIES: [&str; 6] = ["snap", "seg", "blob", "cold", "archive", logs::DIRECTORY];

/// Whether a file of a backup is of what attempts logged.
fn is_of_logs(path: &str) -> bool {
    path.split_once('/').is_some_and(|(directory, _)| directory == logs::DIRECTORY)
}

/// Hears how far a copy is, and may slow it down or stop it.
pub trait Watch {
    /// How much there is to do: files, bytes.
    fn began(&mut self, files: u64, bytes: u64) {
        let _ = (files, bytes);
    }

    /// So many bytes more are done. An error ends the copy.
    fn advanced(&mut self, bytes: u64) -> Result<(), Error> {
        let _ = bytes;
        Ok(())
    }

    /// Everything is copied and checked. An error leaves the backup unfinished: what it needs was not held all the time.
    fn copied(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Does not care.
impl Watch for () {}
