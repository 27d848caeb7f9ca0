//! From a backup to a home again, which begins a history of its own.
//!
//! The home from which the backup was made may have gone on, and clients and workers of it may still be there. So that
//! none of them takes part in the new history by accident, its first commits end what they hold: the epoch is above
//! every one that the old history can have had, leases are lost, sessions are closed and their numbers not given again.

use lineshaft_jobs::{Command, Limits, Now, State};
use lineshaft_store::backup::{Backup, Watch};
use lineshaft_store::{
    Append, Appended, Archive, BlockArchive, Disk, Dropped, Error as StoreError, Home, Journal,
    JournalHandle, Options as JournalOptions, SegmentJournal,
};

use crate::Error;
use crate::core::Core;
use crate::options::Options;
use crate::recovery::recover;

/// How much later than everything known the new epoch is, in seconds as epochs count: the old history may have gone on
/// under a clock that is ahead of ours.
const EPOCH_MARGIN: u64 = 86_400;
/// Session numbers of a history begin at its epoch times this; it will not open as many in a second.
const SESSIONS_PER_EPOCH: u64 = 1 << 20;

/// What a restore came to.
#[derive(Clone, Debug)]
pub struct Restored {
    /// The commit whose state was restored.
    pub lsn: u64,
    /// The newest commit that the backup could give.
    pub newest_lsn: u64,
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

/// Makes `home`, an empty directory, what it was at commit `until_lsn` of the backup, or at the newest one.
///
/// Everything is checked before anything is written. The home can be opened only when this has returned; after an error
/// it holds the remains. `wall_ms` is what time it is.
///
/// Errors: [`StoreError::Backup`] for a backup that is not whole, [`StoreError::NotInBackup`] if it does not reach back
/// so far, [`StoreError::Locked`] if somebody works in the home, and those of the disks.
pub fn restore<B: Disk, H: Disk>(
    backup: B,
    home: H,
    until_lsn: Option<u64>,
    wall_ms: u64,
    watch: &mut dyn Watch,
) -> Result<Restored, Error> {
    let backup = Backup::open(backup)?;
    backup.check(watch)?;
    let end = backup.end(until_lsn)?;
    let home = Home::begin_restore(home)?;
    backup.put_back(&home, &end, watch)?;
    let options = JournalOptions { background: false, ..JournalOptions::default() };
    let (mut journal, recovery) = SegmentJournal::open(&home, options)?;
    let archive = BlockArchive::open(&home)?;
    let dropped = archive.drop_beyond(recovery.head.lsn)?;
    let state = recover(&mut journal, &recovery, Limits::default())?.state;
    check_payloads(&journal.handle(), &state, end.newest.lsn, backup.manifest.lsn)?;

    let newest_ms = wall_ms.max(backup.manifest.created_ms).max(state.clock().0);
    let epoch = recovery.epoch.max(state.epoch()).max(newest_ms / 1000) + EPOCH_MARGIN;
    let mut history = History { journal, head: recovery.head, epoch, nonce: fastrand::u64(..) };
    let now = Now { wall_ms, logical_ms: state.clock().1, random: fastrand::u64(..) };
    let (state, lost) = history.begin(state, now)?;
    home.finish_restore()?;
    let counts = archive.counts();
    Ok(Restored {
        lsn: end.newest.lsn,
        newest_lsn: backup.manifest.lsn,
        epoch,
        unfinished: state.unfinished(),
        lost,
        archived: counts.completed + counts.cancelled + counts.discarded,
        dropped,
    })
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
