//! The commits that count, and the judgement about those that do not.

use super::scan::{Found, Scanned};
use super::segment::{self, COMMITS_START, DIRECTORY, SegmentHeader};
use crate::gaps::Gaps;
use crate::{Appended, CutTail, Error, Snapshot};

/// A segment file and what was found in it.
pub(super) struct Opened<F> {
    pub(super) header: SegmentHeader,
    pub(super) file: F,
    pub(super) bytes: u64,
    pub(super) scanned: Scanned,
}

/// The good commits: how many of each segment, and where the row ends.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// What may be missing in the row.
    gaps: Gaps,
    /// The commit it begins with, or an earlier one: from there on all are needed.
    pub(super) start_lsn: u64,
    /// Commits that count, for every segment that has some place in the row.
    pub(super) kept: Vec<usize>,
    pub(super) first_lsn: Option<u64>,
    pub(super) head: Appended,
    pub(super) epoch: u64,
    pub(super) nonce: u64,
    pub(super) head_is_seal: bool,
    /// Where the row ends although there is more: which segment, and why.
    pub(super) broken: Option<(usize, String)>,
}

pub(super) fn synced_lsn<F>(opened: &[Opened<F>]) -> u64 {
    opened.iter().map(|segment| segment.scanned.synced_lsn()).max().unwrap_or(0)
}

/// Where the commits of each segment end because a later segment begins: a tail written again counts there.
fn ends<F>(opened: &[Opened<F>]) -> Vec<u64> {
    let mut ends = vec![u64::MAX; opened.len()];
    let mut end = u64::MAX;
    for (index, segment) in opened.iter().enumerate().rev() {
        ends[index] = end;
        if let Some(first) = segment.scanned.commits.first() {
            end = end.min(first.header.lsn);
        }
    }
    ends
}

/// The oldest LSN that commits say was kept.
pub(super) fn oldest_mark<F>(opened: &[Opened<F>]) -> u64 {
    let headers = opened.iter().flat_map(|segment| segment.scanned.headers());
    headers.map(|header| header.oldest_lsn).max().unwrap_or(1).max(1)
}

/// Follows the commits from segment to segment for as long as each continues the one before.
pub(super) fn follow<F>(opened: &[Opened<F>], start_lsn: u64, gaps: &Gaps) -> Chain {
    let mut chain = Chain { start_lsn, gaps: gaps.clone(), ..Chain::default() };
    for (index, (segment, end)) in opened.iter().zip(ends(opened)).enumerate() {
        let counted = segment.scanned.commits.iter().take_while(|found| found.header.lsn < end).count();
        if let Some(reason) = chain.extend(&segment.scanned.commits[..counted]) {
            chain.broken = Some((index, reason));
            break;
        }
        chain.kept.push(counted);
        // Beyond the end of what counts here, a break does not matter.
        let complete = counted < segment.scanned.commits.len() || end <= chain.next_lsn();
        if let (false, Some(reason)) = (complete, &segment.scanned.broken) {
            chain.broken = Some((index, reason.clone()));
            break;
        }
    }
    chain
}

impl Chain {
    /// The commit that is needed next.
    pub(super) fn next_lsn(&self) -> u64 {
        self.first_lsn.map_or(self.start_lsn, |_| self.gaps.after(self.head.lsn))
    }

    /// Adds a row of commits; says why it cannot.
    fn extend(&mut self, commits: &[Found]) -> Option<String> {
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else { return None };
        if self.first_lsn.is_none() && !self.gaps.cover(self.start_lsn, first.header.lsn - 1) {
            return Some(format!(
                "it begins with commit {}, but {} is needed",
                first.header.lsn, self.start_lsn
            ));
        }
        if self.first_lsn.is_some() && !self.gaps.join(self.head, &first.header) {
            return Some(format!(
                "it begins with commit {}, which does not follow the one before",
                first.header.lsn
            ));
        }
        self.first_lsn.get_or_insert(first.header.lsn);
        self.head = last.header.appended();
        (self.epoch, self.nonce) = (last.header.epoch, last.header.nonce);
        self.head_is_seal = last.header.body_bytes == 0;
        None
    }
}

/// Decides whether what does not belong to the chain is an unfinished write (and tells of it) or damage.
pub(super) fn judge<F>(
    opened: &[Opened<F>],
    chain: &Chain,
    synced_lsn: u64,
) -> Result<Option<CutTail>, Error> {
    let last_trace =
        opened.iter().flat_map(|segment| segment.scanned.headers()).map(|header| header.lsn).max();
    let (index, reason) = chain
        .broken
        .clone()
        .unwrap_or_else(|| (chain.kept.len().saturating_sub(1), "it ends too early".into()));
    let missing = missing_before(opened, index);
    let file = missing.or(opened.get(index).map(|segment| segment.header.number));
    let file = file.map_or_else(|| DIRECTORY.to_owned(), segment::path);
    let reason = if missing.is_some() { "the segment is missing".to_owned() } else { reason };
    let first_lsn = bad_lsn(opened, chain);
    if synced_lsn >= first_lsn {
        return Err(Error::DamagedCommits { first_lsn, last_lsn: synced_lsn, file, reason });
    }
    let last_lsn = last_trace.unwrap_or(0);
    Ok((last_lsn > chain.head.lsn).then_some(CutTail { first_lsn, last_lsn, file, reason }))
}

/// The number of a segment that should stand before the one at `index` and is missing.
fn missing_before<F>(opened: &[Opened<F>], index: usize) -> Option<u64> {
    let (before, at) = (opened.get(index.checked_sub(1)?)?, opened.get(index)?);
    let expected = before.header.number + 1;
    (expected < at.header.number).then_some(expected)
}

/// The LSN of the first commit that is bad or missing.
///
/// It is the one after the head, unless a segment that begins with something unreadable held an earlier one: the
/// copy elsewhere may be older than what was durable.
fn bad_lsn<F>(opened: &[Opened<F>], chain: &Chain) -> u64 {
    let after_head = chain.next_lsn();
    let unreadable = chain.broken.as_ref().map(|(index, _)| &opened[*index].scanned);
    let earliest = unreadable
        .filter(|scanned| scanned.commits.is_empty())
        .and_then(|scanned| scanned.beyond.first())
        .map(|found| if found.offset == COMMITS_START { found.header.lsn } else { found.header.lsn - 1 });
    earliest.map_or(after_head, |lsn| after_head.min(lsn))
}

/// A snapshot must be one of this very chain; commits that were cut or replaced do not count.
pub(super) fn check_snapshot<F>(
    opened: &[Opened<F>],
    chain: &Chain,
    snapshot: Option<&Snapshot>,
) -> Result<(), Error> {
    let Some(snapshot) = snapshot else { return Ok(()) };
    let counted = opened.iter().zip(&chain.kept).map(|(segment, count)| &segment.scanned.commits[..*count]);
    let mut commits = counted.flatten().map(|found| &found.header);
    let wrong = commits.any(|header| {
        let appended = header.appended();
        (appended.lsn == snapshot.lsn && appended.crc != snapshot.crc)
            // Behind a gap no commit names the one before it.
            || (header.lsn == snapshot.lsn + 1
                && header.previous_crc != snapshot.crc
                && !chain.gaps.end_before(header.lsn))
    });
    if !wrong {
        return Ok(());
    }
    let path = format!("snap/{:020}", snapshot.lsn);
    Err(Error::damaged(&path, 0, "the snapshot does not belong to the commits of this journal"))
}
