//! Backups of a home that stands still, and from a backup to a home again, which begins a history of its own.
//!
//! The home from which the backup was made may have gone on, and clients and workers of it may still be there. So that
//! none of them takes part in the new history by accident, its first commits end what they hold: the epoch is above
//! every one that the old history can have had, leases are lost, sessions are closed and their numbers not given again.

use std::path::Path;

use lineshaft_jobs::{Command, Limits, Now, State};
use lineshaft_store::backup::{Backup, Facts, Manifest, Watch, take_stopped};
use lineshaft_store::journal::extent;
use lineshaft_store::{
    Append, Appended, Archive, BlockArchive, CutTail, Disk, Dropped, Error as StoreError, FileDisk, Home,
    Journal, JournalEnd, JournalHandle, Options as JournalOptions, SegmentJournal,
};

use crate::Error;
use crate::core::Core;
use crate::inspect::check_is_home;
use crate::options::Options;
use crate::recovery::recover;

/// How much later than everything known the new epoch is, in seconds as epochs count: the old history may have gone on
/// under a clock that is ahead of ours.
const EPOCH_MARGIN: u64 = 86_400;
/// Session numbers of a history begin at its epoch times this; it will not open as many in a second.
pub(crate) const SESSIONS_PER_EPOCH: u64 = 1 << 20;

/// What a restore came to.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The commit whose state was restored.
    pub lsn: u64,
    /// The epoch that the home has now.
    pub epoch: u64,
    /// Jobs that are not finished, leases that were lost included.
    pub unfinished: u64,
    /// Attempts that ran when the backup was made, or at the commit that was asked for, and are lost.
    pub lost: u64,
    /// Jobs in the archive.
    pub archived: u64,
    /// What was taken out of the archive because it was written after that commit.
    pub dropped: Dropped,
}

/// Copies a home in which nobody works; it is locked meanwhile. [`take`](lineshaft_store::backup::take) copies one whose files
/// a server holds.
///
/// Errors as a start would refuse the home, and those of the disks.
pub fn of_stopped<D: Disk>(
    home: &Path,
    backup: &D,
    facts: Facts,
    watch: &mut dyn Watch,
) -> Result<Manifest, Error> {
    check_is_home(home)?;
    let home = Home::open(FileDisk::new(home))?;
    let found = extent(home.disk())?;
    if let Some(CutTail { first_lsn, last_lsn, .. }) = found.cut {
        tracing::warn!(first_lsn, last_lsn, "an unfinished tail of the journal is left out");
    }
    Ok(take_stopped(&home, backup, found.end(), facts, watch)?)
}

/// A backup that was read and compared with its manifest, to be restored to one of its commits.
#[derive(Debug)]
pub struct Checked<D> {
    backup: Backup<D>,
    end: JournalEnd,
}

/// Reads a whole backup, to be restored to commit `until_lsn` or to the newest one.
///
/// Errors: [`StoreError::Backup`] for a backup that is not whole, [`StoreError::NotInBackup`] if it does not reach back
/// so far.
pub fn check<D: Disk>(backup: D, until_lsn: Option<u64>, watch: &mut dyn Watch) -> Result<Checked<D>, Error> {
    let backup = Backup::open(backup)?;
    backup.check(watch)?;
    let end = backup.end(until_lsn)?;
    Ok(Checked { backup, end })
}

impl<D: Disk> Checked<D> {
    /// What the backup holds.
    pub fn manifest(&self) -> &Manifest {
        &self.backup.manifest
    }

    /// Makes `home`, an empty directory, what it was at that commit. It can be opened only when this has returned; after
    /// an error it holds the remains. `wall_ms` is what time it is.
    ///
    /// Errors: [`StoreError::Locked`] if somebody works in the home, [`StoreError::PayloadGone`] if a payload of that
    /// time is not in the backup, and those of the disks.
    pub fn restore<H: Disk>(&self, home: H, wall_ms: u64, watch: &mut dyn Watch) -> Result<Restored, Error> {
        let home = Home::begin_restore(home)?;
        self.backup.put_back(&home, &self.end, watch)?;
        let options = JournalOptions { background: false, ..JournalOptions::default() };
        let (mut journal, recovery) = SegmentJournal::open(&home, options)?;
        let archive = BlockArchive::open(&home)?;
        let dropped = archive.drop_beyond(recovery.head.lsn)?;
        let state = recover(&mut journal, &recovery, Limits::default())?.state;
        let (lsn, manifest) = (self.end.newest.lsn, self.manifest());
        check_payloads(&journal.handle(), &state, lsn, manifest.lsn)?;

        let newest_ms = wall_ms.max(manifest.created_ms).max(state.clock().0);
        let epoch = recovery.epoch.max(state.epoch()).max(newest_ms / 1000) + EPOCH_MARGIN;
        let mut history = History { journal, head: recovery.head, epoch, nonce: fastrand::u64(..) };
        let now = Now { wall_ms, logical_ms: state.clock().1, random: fastrand::u64(..) };
        let (state, lost) = history.begin(state, now)?;
        home.finish_restore()?;
        let archived = archive.counts().jobs();
        Ok(Restored { lsn, epoch, unfinished: state.unfinished(), lost, archived, dropped })
    }
}

/// Whether a restore into this directory was begun and has not come to its end.
pub fn is_unfinished(home: &Path) -> bool {
    Home::is_being_restored(&FileDisk::new(home))
}

/// A state of the past may name blobs and cold files that were removed before the backup was made.
fn check_payloads(
    journal: &impl JournalHandle,
    state: &State,
    lsn: u64,
    newest_lsn: u64,
) -> Result<(), StoreError> {
    let blobs = journal.blobs()?;
    let cold: Vec<u64> = journal.cold_files()?.iter().map(|file| file.number).collect();
    let blob = state.blobs().find(|blob| blobs.binary_search(blob).is_err());
    let file = state.cold_files().find(|(file, _)| cold.binary_search(file).is_err());
    match (blob, file) {
        (None, None) => Ok(()),
        _ if lsn < newest_lsn => Err(StoreError::PayloadGone { lsn, newest_lsn }),
        (Some(id), _) => Err(StoreError::NoBlob { id }),
        (None, Some((file, _))) => Err(StoreError::NoCold { file }),
    }
}

/// The first commits of the new history.
struct History<J> {
    journal: J,
    head: Appended,
    epoch: u64,
    nonce: u64,
}

impl<J: Journal> History<J> {
    /// Ends what those outside hold of the old history; gives the state, and how many attempts were lost.
    fn begin(&mut self, state: State, now: Now) -> Result<(State, u64), Error> {
        let children: Vec<(u32, u64)> =
            state.child_reports().map(|child| (child.child, u64::from(child.leases))).collect();
        let mut core = Core::new(state, self.head.lsn, Options::default(), now);
        core.start(self.epoch, self.nonce, now);
        for (child, _) in &children {
            self.run(&mut core, Command::ChildForgotten { child: *child }, now)?;
        }
        let sessions_from = self.epoch.saturating_mul(SESSIONS_PER_EPOCH);
        self.run(&mut core, Command::Restored { sessions_from }, now)?;
        self.journal.seal()?;
        Ok((core.into_state(), children.iter().map(|(_, leases)| leases).sum()))
    }

    /// A commit for each: what a child held may be much.
    fn run(&mut self, core: &mut Core, command: Command, now: Now) -> Result<(), Error> {
        core.run(command, now).expect("what ends the old history is never refused");
        let body = core.take_commit().body;
        let Self { head, epoch, nonce, .. } = *self;
        let append = Append { epoch, nonce, expected_lsn: head.lsn + 1, previous_crc: head.crc, body: &body };
        self.head = self.journal.append(append)?;
        Ok(())
    }
}
