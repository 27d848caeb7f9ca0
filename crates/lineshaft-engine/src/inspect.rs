//! Looking at a home from outside, whether a server works in it or not, without changing it.
//!
//! [`Look`] opens journal, state and archive on an overlay of the home's disk, by the code that a start runs, so that
//! it sees what a start would see and nothing is written. A stopped home is locked meanwhile. Beside a running server
//! the look is as if the server had died just then: what it goes on doing is not seen.

mod doctor;
mod export;
mod finding;
mod stats;
mod unreadable;
mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use lineshaft_jobs::{Limits, State};
use lineshaft_store::disk::Locking;
use lineshaft_store::{
    BlockArchive, Error as StoreError, FileDisk, Home, Journal, Options, Overlay, Recovery, SegmentHandle,
    SegmentJournal,
};

use crate::Error;
use crate::open::{Ahead, open_archive};
use crate::recovery::recover;

pub use doctor::{Diagnosis, Loss, diagnose};
pub use export::{Exported, ExportedJob, export};
pub use finding::Finding;
pub use stats::{Memory, SnapshotStats, Stats, stats};
pub use verify::{Checked, Progress, Report, verify};

/// The disk of a home that is looked at.
type Disk = Overlay<FileDisk>;

/// Beside a server files come and go: a look that was disturbed by that is tried so often.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// A home as a start would find it.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) state: State,
    pub(crate) journal: SegmentJournal<Disk>,
    pub(crate) archive: BlockArchive<Disk>,
    pub(crate) recovery: Recovery,
    /// What the archive had beyond the journal; it is left out of the look.
    pub(crate) ahead: Option<Ahead>,
}

/// The process that works in a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, 0 if it is not known.
    pub pid: u32,
    /// Its host, empty if it is not known.
    pub host: String,
}

/// The home on an overlay, and who works in it, if somebody does.
pub(crate) fn overlay(path: &Path) -> Result<(Home<Disk>, Option<Holder>), Error> {
    check_is_home(path)?;
    let disk = FileDisk::new(path);
    match Home::open(Overlay::new(disk.clone(), Locking::Real)) {
        Err(StoreError::Locked { pid, host }) => {
            let home = Home::open(Overlay::new(disk, Locking::Beside))?;
            Ok((home, Some(Holder { pid, host })))
        }
        home => Ok((home?, None)),
    }
}

/// A directory that never was a home must not be shown as an empty one.
///
/// Errors: [`Error::NoHome`], or [`StoreError::Io`] if nobody can tell, as where the directory may not be entered.
pub fn check_is_home(path: &Path) -> Result<(), Error> {
    for name in ["FORMAT", "seg"] {
        match path.join(name).try_exists() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(source) => {
                let path = path.display().to_string();
                return Err(StoreError::Io { action: "look into", path, source }.into());
            }
        }
    }
    Err(Error::NoHome { path: PathBuf::from(path) })
}

impl Look {
    /// Opens everything. Beside a server the tries are repeated, since a segment may be used again meanwhile.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Holder>), Error> {
        let mut tries = 1;
        loop {
            let (home, holder) = overlay(path)?;
            match Self::of(&home) {
                Ok(look) => return Ok((look, holder)),
                Err(_) if holder.is_some() && tries < TRIES => thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
            tries += 1;
        }
    }

    pub(crate) fn of(home: &Home<Disk>) -> Result<Self, Error> {
        let (mut journal, recovery) = SegmentJournal::open(home, options())?;
        let state = recover(&mut journal, &recovery, Limits::default())?.state;
        let (archive, ahead) = open_archive(home, recovery.head.lsn, state.archived())?;
        Ok(Self { state, journal, archive, recovery, ahead })
    }

    pub(crate) fn handle(&self) -> SegmentHandle<Disk> {
        self.journal.handle()
    }
}

/// The smallest segments and no threads: what would be prepared for writing stays in memory.
fn options() -> Options {
    let bytes = 4 << 10;
    Options { segment_bytes_first: bytes, segment_bytes_max: bytes, background: false, ..Options::default() }
}
