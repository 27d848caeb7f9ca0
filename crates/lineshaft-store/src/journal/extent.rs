//! A look at the commits of a journal that changes nothing: how far it goes, and where each commit ends.
//!
//! It judges as opening does, so what it refuses, opening refuses too.

use super::chain::{Chain, Opened, check_snapshot, follow, judge, oldest_mark, synced_lsn};
use super::recovery::{Look, check_has_snapshot, check_row, list, open_all};
use super::segment::{COMMITS_START, DIRECTORY};
use super::snapshots::{self, Loaded};
use crate::disk::{Disk, OpenMode};
use crate::gaps::Gaps;
use crate::{Appended, CutTail, Error, JournalEnd};

/// What a journal on disk holds.
#[derive(Clone, Debug, Default)]
pub struct Extent {
    /// Number of the oldest segment.
    pub first_segment: u64,
    /// LSN of the newest snapshot that reads.
    pub snapshot_lsn: Option<u64>,
    /// LSN of the newest snapshot, whether it reads or not; 0 if there is none.
    pub newest_snapshot_lsn: u64,
    /// LSNs of the snapshots that can be gone back to, ascending. Other files of `snap/` have pages of these.
    pub snapshots: Vec<u64>,
    /// The commits, in order; none is missing but those that were given up.
    pub commits: Vec<CommitEnd>,
    /// What an unfinished write left behind.
    pub cut: Option<CutTail>,
}

/// A commit and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitEnd {
    /// Its place in the chain.
    pub appended: Appended,
    /// The oldest commit that the state after this one may still need.
    pub oldest_lsn: u64,
    /// Number of its segment.
    pub segment: u64,
    /// Where it ends there.
    pub end: u64,
}

/// Looks at the journal of a home, or of a copy of one. Checks every body; costs a read of everything.
///
/// Errors as opening the journal does.
pub fn extent<D: Disk>(disk: &D) -> Result<Extent, Error> {
    let (snapshots, Loaded { newest_lsn, snapshot, .. }) = snapshots::look(disk)?;
    let numbers = list(disk)?.numbers;
    let gaps = Gaps::load(disk, DIRECTORY)?;
    let opened = open_all(disk, &numbers, Look { verify_after: 0, mode: OpenMode::Read, gaps: &gaps })?;
    let synced_lsn = synced_lsn(&opened).max(newest_lsn);
    let snapshot_lsn = snapshot.as_ref().map_or(0, |snapshot| snapshot.lsn);
    let chain = follow(&opened, (snapshot_lsn + 1).min(oldest_mark(&opened)), &gaps);
    check_row(&opened, &chain, synced_lsn)?;
    check_has_snapshot(&opened, &chain, snapshot_lsn, newest_lsn)?;
    let cut = judge(&opened, &chain, synced_lsn)?;
    check_snapshot(&opened, &chain, snapshot.as_ref())?;
    Ok(Extent {
        first_segment: numbers.first().copied().unwrap_or(0),
        snapshot_lsn: snapshot.map(|snapshot| snapshot.lsn),
        newest_snapshot_lsn: newest_lsn,
        snapshots,
        commits: commits(&opened, &chain),
        cut,
    })
}

fn commits<F>(opened: &[Opened<F>], chain: &Chain) -> Vec<CommitEnd> {
    let counted = opened.iter().zip(&chain.kept);
    let of_segment = counted.flat_map(|(segment, count)| {
        segment.scanned.commits[..*count].iter().map(|found| CommitEnd {
            appended: found.header.appended(),
            oldest_lsn: found.header.oldest_lsn.max(1),
            segment: segment.header.number,
            end: found.offset + found.header.stored_bytes(),
        })
    });
    of_segment.collect()
}

impl Extent {
    /// The oldest commit; 0 if there is none.
    pub fn first_lsn(&self) -> u64 {
        self.commits.first().map_or(0, |commit| commit.appended.lsn)
    }

    /// The newest commit; 0 if there is none.
    pub fn last_lsn(&self) -> u64 {
        self.commits.last().map_or(0, |commit| commit.appended.lsn)
    }

    /// The end of the journal as it would be if `lsn` were the newest commit; `None` if that is not there.
    pub fn end_at(&self, lsn: u64) -> Option<JournalEnd> {
        let index = self.commits.binary_search_by_key(&lsn, |commit| commit.appended.lsn).ok()?;
        let commit = self.commits[index];
        Some(JournalEnd {
            newest: commit.appended,
            first_segment: self.first_segment,
            last_segment: commit.segment,
            last_segment_bytes: commit.end,
        })
    }

    /// The end of the journal. Without commits it is the header of the oldest segment, if there is one.
    pub fn end(&self) -> JournalEnd {
        let nothing = JournalEnd {
            first_segment: self.first_segment,
            last_segment: self.first_segment,
            last_segment_bytes: COMMITS_START,
            ..JournalEnd::default()
        };
        self.end_at(self.last_lsn()).unwrap_or(nothing)
    }

    /// The oldest commit whose state can be had with all payloads that lie in commits: there is a snapshot of it or an
    /// older one, and the commits that it needed were not forgotten yet. `None` if there is no commit.
    pub fn first_restorable_lsn(&self) -> Option<u64> {
        let first_lsn = self.first_lsn();
        let oldest_snapshot = if first_lsn == 1 { 0 } else { *self.snapshots.first()? };
        let whole =
            |commit: &&CommitEnd| commit.oldest_lsn >= first_lsn && commit.appended.lsn >= oldest_snapshot;
        self.commits.iter().find(whole).map(|commit| commit.appended.lsn)
    }
}
