//! What happens when a journal is opened: find the commits, judge the end, write the tail again.
//!
//! Let D be the greatest LSN that anything readable says was durable. A commit that is bad or missing above D cannot
//! be told from an unfinished write: it is cut, with all that follows. At or below D it is damage, and opening
//! refuses. Whatever survives above D is written to a fresh segment and synced: the pages it was read from may be in
//! memory only, if a sync failed before.

use std::collections::VecDeque;
use std::sync::Arc;

use super::chain::{Chain, Opened, check_snapshot, follow, judge, oldest_mark, synced_lsn};
use super::commit::ALIGNMENT;
use super::fresh::{Fresh, FreshOptions, START_BYTES, Tail, fresh_bytes, write_fresh, write_over};
use super::scan::{Found, scan};
use super::segment::{self, DIRECTORY, HOLE, Segment, SegmentHeader};
use super::snapshots::Loaded;
use super::{preparer, reserve};
use crate::disk::{Disk, DiskFile, OpenMode, is_temporary, join};
use crate::gaps::Gaps;
use crate::{Error, Recovery};

/// The files of `seg/`.
pub(super) struct Listed {
    pub(super) numbers: Vec<u64>,
    spares: Vec<String>,
    reserve_bytes: u64,
    /// Those that never got their name.
    unfinished: Vec<String>,
}

/// An opened journal before it becomes a writer.
pub(crate) struct Recovered<F> {
    pub(crate) recovery: Recovery,
    pub(crate) nonce: u64,
    pub(crate) head_is_seal: bool,
    /// The oldest LSN that must be there, as commits recorded it.
    pub(crate) oldest_mark: u64,
    /// All segments with commits; the last one is fresh and takes the next commit.
    pub(crate) segments: VecDeque<Arc<Segment<F>>>,
    /// Where the next commit goes in the last segment.
    pub(crate) tail_offset: u64,
    pub(crate) spares: Vec<String>,
    /// Size of the reserve; 0 if there is none.
    pub(crate) reserve_bytes: u64,
    /// The disk had room for a fresh segment.
    pub(crate) has_room: bool,
    /// Commits that were given up.
    pub(crate) gaps: Gaps,
}

/// How segments are looked at.
#[derive(Clone, Copy)]
pub(super) struct Look<'a> {
    /// Bodies of commits above this are checked.
    pub(super) verify_after: u64,
    pub(super) mode: OpenMode,
    pub(super) gaps: &'a Gaps,
}

/// Opens the segments.
pub(crate) fn recover<D: Disk>(
    disk: &D,
    Loaded { newest_lsn, snapshot, .. }: Loaded,
    options: FreshOptions,
) -> Result<Recovered<D::File>, Error> {
    let mut listed = list(disk)?;
    listed.unfinished.iter().try_for_each(|name| remove(disk, &join(DIRECTORY, name)))?;
    let gaps = Gaps::load(disk, DIRECTORY)?;
    let snapshot_lsn = snapshot.as_ref().map_or(0, |snapshot| snapshot.lsn);
    let look = Look { verify_after: snapshot_lsn, mode: OpenMode::Write, gaps: &gaps };
    let mut opened = open_all(disk, &listed.numbers, look)?;
    let synced_lsn = synced_lsn(&opened).max(newest_lsn);
    let oldest_mark = oldest_mark(&opened);
    let start_lsn = snapshot.as_ref().map_or(1, |snapshot| snapshot.lsn + 1).min(oldest_mark);
    let chain = follow(&opened, start_lsn, &gaps);
    check_row(&opened, &chain, synced_lsn)?;
    check_has_snapshot(&opened, &chain, snapshot_lsn, newest_lsn)?;
    let cut = judge(&opened, &chain, synced_lsn)?;
    check_snapshot(&opened, &chain, snapshot.as_ref())?;
    let next_number = clear_unused(disk, &mut opened, &chain, &mut listed.spares, options.segment_bytes)?;
    bound_spares(disk, &mut listed.spares)?;

    let header = SegmentHeader::new(next_number, options.seed);
    let tail = Tail { opened: &opened, chain: &chain, synced_lsn };
    let bytes = fresh_bytes(options.segment_bytes);
    let needed_bytes = bytes + tail.bytes() + START_BYTES;
    let free_bytes = disk.free_bytes().map_err(Error::io("measure", ".", 0))?;
    let has_room = free_bytes >= needed_bytes;
    let fresh = if has_room {
        write_fresh(disk, header, tail, bytes)?
    } else {
        tracing::warn!(free_bytes, "the disk is full: the journal goes on in what it has kept back");
        let fresh = fresh_on_a_full_disk(disk, &mut listed, header, tail, bytes);
        fresh.map_err(|error| match error {
            Error::Full { .. } => Error::Full { needed_bytes, free_bytes: Some(free_bytes) },
            other => other,
        })?
    };
    let tail_offset = fresh.tail_offset;
    let recovery = Recovery {
        snapshot,
        head: chain.head,
        oldest_lsn: chain.first_lsn.unwrap_or(0),
        epoch: chain.epoch,
        synced_lsn: synced_lsn.min(chain.head.lsn),
        cut,
    };
    let segments = into_segments(opened, &chain, fresh);
    let Chain { nonce, head_is_seal, .. } = chain;
    let Listed { spares, reserve_bytes, .. } = listed;
    Ok(Recovered {
        recovery,
        nonce,
        head_is_seal,
        oldest_mark,
        segments,
        tail_offset,
        spares,
        gaps,
        reserve_bytes,
        has_room,
    })
}

/// The fresh segment where the disk has no room for it: in a spare, or at the expense of the reserve, of which starts
/// one after the other take no more than they need.
fn fresh_on_a_full_disk<D: Disk>(
    disk: &D,
    listed: &mut Listed,
    header: SegmentHeader,
    tail: Tail<'_, D::File>,
    bytes: u64,
) -> Result<Fresh<D::File>, Error> {
    if let Some(name) = listed.spares.pop() {
        return write_over(disk, &join(DIRECTORY, &name), header, tail);
    }
    let path = join(DIRECTORY, reserve::NAME);
    let left = listed.reserve_bytes.saturating_sub(bytes + tail.bytes() + START_BYTES);
    if left > 0 {
        reserve::shorten(disk, left)?;
        listed.reserve_bytes = left;
    }
    match write_fresh(disk, header, tail, bytes) {
        // Somebody else was faster.
        Err(Error::Full { .. }) if std::mem::take(&mut listed.reserve_bytes) > 0 => {
            write_over(disk, &path, header, tail)
        }
        result => result,
    }
}

/// Sorts the files of `seg/`.
pub(super) fn list<D: Disk>(disk: &D) -> Result<Listed, Error> {
    let mut listed =
        Listed { numbers: Vec::new(), spares: Vec::new(), reserve_bytes: 0, unfinished: Vec::new() };
    for entry in disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))? {
        if let Some(number) = segment::number_of(&entry.name) {
            listed.numbers.push(number);
        } else if entry.name.starts_with("spare-") {
            listed.spares.push(entry.name);
        } else if entry.name == reserve::NAME {
            listed.reserve_bytes = entry.bytes;
        } else if is_temporary(&entry.name) {
            listed.unfinished.push(entry.name);
        }
    }
    Ok(listed)
}

/// Segments are made one after another: one that is missing before others without commits held the newest ones.
pub(super) fn check_row<F>(opened: &[Opened<F>], chain: &Chain, synced_lsn: u64) -> Result<(), Error> {
    let used = opened.iter().rposition(|segment| segment.scanned.headers().next().is_some());
    let unused = &opened[used.unwrap_or(0)..];
    let Some(pair) = unused.windows(2).find(|pair| pair[0].header.number + 1 < pair[1].header.number) else {
        return Ok(());
    };
    let first_lsn = chain.next_lsn();
    Err(Error::DamagedCommits {
        first_lsn,
        last_lsn: synced_lsn.max(first_lsn),
        file: segment::path(pair[0].header.number + 1),
        reason: "the segment is missing".to_owned(),
    })
}

/// What was trimmed is in a snapshot; where none reads, the commits that are there say nothing by themselves.
pub(super) fn check_has_snapshot<F>(
    opened: &[Opened<F>],
    chain: &Chain,
    snapshot_lsn: u64,
    newest_lsn: u64,
) -> Result<(), Error> {
    let oldest = opened.iter().flat_map(|segment| segment.scanned.headers()).map(|header| header.lsn).min();
    let Some(oldest_lsn) = oldest.filter(|_| chain.first_lsn.is_none()) else { return Ok(()) };
    if oldest_lsn > snapshot_lsn + 1 && oldest_lsn <= oldest_mark(opened) {
        return Err(Error::SnapshotsLost { oldest_lsn, newest_lsn });
    }
    Ok(())
}

/// Opens and scans every segment. The newest one with commits, and all after it, are searched to their end.
pub(super) fn open_all<D: Disk>(
    disk: &D,
    numbers: &[u64],
    look: Look<'_>,
) -> Result<Vec<Opened<D::File>>, Error> {
    let mut opened = VecDeque::new();
    let mut to_the_end = true;
    for number in numbers.iter().rev() {
        let segment = open_one(disk, *number, to_the_end, look)?;
        to_the_end &= segment.scanned.headers().next().is_none();
        opened.push_front(segment);
    }
    Ok(opened.into())
}

fn open_one<D: Disk>(
    disk: &D,
    number: u64,
    to_the_end: bool,
    look: Look<'_>,
) -> Result<Opened<D::File>, Error> {
    let path = segment::path(number);
    let file = disk.open(&path, look.mode).map_err(Error::io("open", &path, 0))?;
    let header = SegmentHeader::read(&file, number)?;
    let bytes = file.length().map_err(Error::io("read", &path, 0))?;
    let scanned = scan(&file, &header, look.verify_after, to_the_end, look.gaps)
        .map_err(Error::io("read", &path, 0))?;
    Ok(Opened { header, file, bytes, scanned })
}

/// Clears away, last first, the segments after those that hold commits; returns the next free number.
///
/// A prepared segment becomes a spare; one with leftovers goes, since it must not be taken for damage later.
fn clear_unused<D: Disk>(
    disk: &D,
    opened: &mut Vec<Opened<D::File>>,
    chain: &Chain,
    spares: &mut Vec<String>,
    spare_bytes_min: u64,
) -> Result<u64, Error> {
    let used = chain.kept.iter().rposition(|count| *count > 0).map_or(0, |index| index + 1);
    while opened.len() > used {
        let Some(segment) = opened.pop() else { break };
        let path = segment::path(segment.header.number);
        if segment.scanned.headers().next().is_none() && segment.bytes >= spare_bytes_min {
            let name = preparer::spare_name(segment.header.number);
            disk.rename(&path, &join(DIRECTORY, &name)).map_err(Error::io("rename", &path, 0))?;
            spares.push(name);
        } else {
            remove(disk, &path)?;
        }
        disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))?;
    }
    Ok(opened.last().map_or(1, |segment| segment.header.number + 1))
}

fn bound_spares<D: Disk>(disk: &D, spares: &mut Vec<String>) -> Result<(), Error> {
    while spares.len() > preparer::SPARES_MAX {
        remove(disk, &join(DIRECTORY, &spares.remove(0)))?;
    }
    Ok(())
}

/// Shares the segments with readers; what was written again is found in the fresh one only.
fn into_segments<F>(opened: Vec<Opened<F>>, chain: &Chain, fresh: Fresh<F>) -> VecDeque<Arc<Segment<F>>> {
    let mut segments = VecDeque::new();
    let mut next_lsn = chain.first_lsn.unwrap_or(1);
    for (segment, count) in opened.into_iter().zip(&chain.kept) {
        let counted = &segment.scanned.commits[..*count];
        let old: Vec<&Found> =
            counted.iter().take_while(|found| found.header.lsn < fresh.segment.first_lsn).collect();
        // A segment whose commits all moved on stays in the row, empty, until it is trimmed.
        let first_lsn = old.first().map_or(next_lsn, |found| found.header.lsn);
        next_lsn = old.last().map_or(next_lsn, |found| found.header.lsn + 1);
        let starts = starts(&old, first_lsn, next_lsn);
        segments.push_back(Arc::new(Segment::new(
            segment.header,
            segment.file,
            segment.bytes,
            first_lsn,
            starts,
        )));
    }
    segments.push_back(Arc::new(fresh.segment));
    segments
}

/// Where each commit begins, with holes for those that were given up.
fn starts(commits: &[&Found], first_lsn: u64, end_lsn: u64) -> Vec<u32> {
    let mut starts = vec![HOLE; (end_lsn - first_lsn) as usize];
    for found in commits {
        starts[(found.header.lsn - first_lsn) as usize] = (found.offset / ALIGNMENT) as u32;
    }
    starts
}

fn remove<D: Disk>(disk: &D, path: &str) -> Result<(), Error> {
    disk.remove_file(path).map_err(Error::io("remove", path, 0))
}
