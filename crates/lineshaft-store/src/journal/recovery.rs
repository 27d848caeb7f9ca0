//! What happens when a journal is opened: find the commits, judge the end, write the tail again.
//!
//! Let D be the greatest LSN that anything readable says was durable. A commit that is bad or missing above D cannot
//! be told from an unfinished write: it is cut, with all that follows. At or below D it is damage, and opening
//! refuses. Whatever survives above D is written to a fresh segment and synced: the pages it was read from may be in
//! memory only, if a sync failed before.

use std::collections::VecDeque;
use std::sync::Arc;

use super::commit::{self, ALIGNMENT, Header};
use super::preparer;
use super::scan::{Found, Scanned, Window, scan};
use super::segment::{self, COMMITS_START, DIRECTORY, Segment, SegmentHeader};
use super::snapshots::Snapshots;
use crate::disk::{Disk, DiskFile, OpenMode, is_temporary, join};
use crate::{Appended, CutTail, Error, Recovery, Snapshot};

/// A segment file and what was found in it.
struct Opened<F> {
    header: SegmentHeader,
    file: F,
    bytes: u64,
    scanned: Scanned,
}

/// The files of `seg/`.
struct Listed {
    numbers: Vec<u64>,
    spares: Vec<String>,
}

/// The good commits: how many of each segment, and where the row ends.
#[derive(Debug, Default)]
struct Chain {
    /// The commit it begins with, or an earlier one: from there on all are needed.
    start_lsn: u64,
    /// Commits that count, for every segment that has some place in the row.
    kept: Vec<usize>,
    first_lsn: Option<u64>,
    head: Appended,
    epoch: u64,
    nonce: u64,
    head_is_seal: bool,
    /// Where the row ends although there is more: which segment, and why.
    broken: Option<(usize, String)>,
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
}

/// How the segment that takes the tail is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreshOptions {
    pub(crate) seed: u64,
    /// Size of an ordinary segment; unused ones at least as large are kept as spares.
    pub(crate) segment_bytes: u64,
}

/// Opens the segments.
pub(crate) fn recover<D: Disk>(
    disk: &D,
    snapshots: &Snapshots<D>,
    options: FreshOptions,
) -> Result<Recovered<D::File>, Error> {
    let snapshot = snapshots.load()?;
    let mut listed = list(disk)?;
    let mut opened = open_all(disk, &listed.numbers, snapshot.as_ref().map_or(0, |snapshot| snapshot.lsn))?;
    let synced_lsn = synced_lsn(&opened).max(snapshots.newest_lsn());
    let oldest_mark = oldest_mark(&opened);
    let start_lsn = snapshot.as_ref().map_or(1, |snapshot| snapshot.lsn + 1).min(oldest_mark);
    let chain = follow(&opened, start_lsn);
    let cut = judge(&opened, &chain, synced_lsn)?;
    check_snapshot(&opened, &chain, snapshot.as_ref())?;
    let next_number = clear_unused(disk, &mut opened, &chain, &mut listed.spares, options.segment_bytes)?;
    bound_spares(disk, &mut listed.spares)?;

    let header = SegmentHeader::new(next_number, options.seed);
    let fresh = write_fresh(disk, header, &opened, &chain, synced_lsn, fresh_bytes(options.segment_bytes))?;
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
    Ok(Recovered { recovery, nonce, head_is_seal, oldest_mark, segments, tail_offset, spares: listed.spares })
}

/// Sorts the files of `seg/` and removes those that never got their name.
fn list<D: Disk>(disk: &D) -> Result<Listed, Error> {
    let mut listed = Listed { numbers: Vec::new(), spares: Vec::new() };
    for entry in disk.list(DIRECTORY).map_err(Error::io("list", DIRECTORY, 0))? {
        if let Some(number) = segment::number_of(&entry.name) {
            listed.numbers.push(number);
        } else if entry.name.starts_with("spare-") {
            listed.spares.push(entry.name);
        } else if is_temporary(&entry.name) {
            remove(disk, &join(DIRECTORY, &entry.name))?;
        }
    }
    let gap = listed.numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]);
    gap.map_or(Ok(()), |pair| Err(Error::damaged(&segment::path(pair[0] + 1), 0, "the segment is missing")))?;
    Ok(listed)
}

/// Opens and scans every segment. The newest one with commits, and all after it, are searched to their end.
fn open_all<D: Disk>(disk: &D, numbers: &[u64], verify_after: u64) -> Result<Vec<Opened<D::File>>, Error> {
    let mut opened = VecDeque::new();
    let mut to_the_end = true;
    for number in numbers.iter().rev() {
        let segment = open_one(disk, *number, verify_after, to_the_end)?;
        to_the_end &= segment.scanned.headers().next().is_none();
        opened.push_front(segment);
    }
    Ok(opened.into())
}

fn open_one<D: Disk>(
    disk: &D,
    number: u64,
    verify_after: u64,
    to_the_end: bool,
) -> Result<Opened<D::File>, Error> {
    let path = segment::path(number);
    let file = disk.open(&path, OpenMode::Write).map_err(Error::io("open", &path, 0))?;
    let header = SegmentHeader::read(&file, number)?;
    let bytes = file.length().map_err(Error::io("read", &path, 0))?;
    let scanned = scan(&file, &header, verify_after, to_the_end).map_err(Error::io("read", &path, 0))?;
    Ok(Opened { header, file, bytes, scanned })
}

fn synced_lsn<F>(opened: &[Opened<F>]) -> u64 {
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
fn oldest_mark<F>(opened: &[Opened<F>]) -> u64 {
    let headers = opened.iter().flat_map(|segment| segment.scanned.headers());
    headers.map(|header| header.oldest_lsn).max().unwrap_or(1).max(1)
}

/// Follows the commits from segment to segment for as long as each continues the one before.
fn follow<F>(opened: &[Opened<F>], start_lsn: u64) -> Chain {
    let mut chain = Chain { start_lsn, ..Chain::default() };
    for (index, (segment, end)) in opened.iter().zip(ends(opened)).enumerate() {
        let counted = segment.scanned.commits.iter().take_while(|found| found.header.lsn < end).count();
        if let Some(reason) = chain.extend(&segment.scanned.commits[..counted]) {
            chain.broken = Some((index, reason));
            break;
        }
        chain.kept.push(counted);
        // Beyond the end of what counts here, a break does not matter.
        let complete = counted < segment.scanned.commits.len() || end <= chain.head.lsn + 1;
        if let (false, Some(reason)) = (complete, &segment.scanned.broken) {
            chain.broken = Some((index, reason.clone()));
            break;
        }
    }
    chain
}

impl Chain {
    /// Adds a row of commits; says why it cannot.
    fn extend(&mut self, commits: &[Found]) -> Option<String> {
        let (Some(first), Some(last)) = (commits.first(), commits.last()) else { return None };
        if self.first_lsn.is_none() && first.header.lsn > self.start_lsn {
            return Some(format!(
                "it begins with commit {}, but {} is needed",
                first.header.lsn, self.start_lsn
            ));
        }
        let continues = (first.header.lsn, first.header.previous_crc) == (self.head.lsn + 1, self.head.crc);
        if self.first_lsn.is_some() && !continues {
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
fn judge<F>(opened: &[Opened<F>], chain: &Chain, synced_lsn: u64) -> Result<Option<CutTail>, Error> {
    let last_trace =
        opened.iter().flat_map(|segment| segment.scanned.headers()).map(|header| header.lsn).max();
    let (index, reason) = chain
        .broken
        .clone()
        .unwrap_or_else(|| (chain.kept.len().saturating_sub(1), "it ends too early".into()));
    let file = opened
        .get(index)
        .map_or_else(|| DIRECTORY.to_owned(), |segment| segment::path(segment.header.number));
    let first_lsn = bad_lsn(opened, chain);
    if synced_lsn >= first_lsn {
        return Err(Error::DamagedCommits { first_lsn, last_lsn: synced_lsn, file, reason });
    }
    let last_lsn = last_trace.unwrap_or(0);
    Ok((last_lsn > chain.head.lsn).then_some(CutTail { first_lsn, last_lsn, file, reason }))
}

/// The LSN of the first commit that is bad or missing.
///
/// It is the one after the head, unless a segment that begins with something unreadable held an earlier one: the
/// copy elsewhere may be older than what was durable.
fn bad_lsn<F>(opened: &[Opened<F>], chain: &Chain) -> u64 {
    let after_head = chain.first_lsn.map_or(chain.start_lsn, |_| chain.head.lsn + 1);
    let unreadable = chain.broken.as_ref().map(|(index, _)| &opened[*index].scanned);
    let earliest = unreadable
        .filter(|scanned| scanned.commits.is_empty())
        .and_then(|scanned| scanned.beyond.first())
        .map(|found| if found.offset == COMMITS_START { found.header.lsn } else { found.header.lsn - 1 });
    earliest.map_or(after_head, |lsn| after_head.min(lsn))
}

/// A snapshot must be one of this very chain; commits that were cut or replaced do not count.
fn check_snapshot<F>(opened: &[Opened<F>], chain: &Chain, snapshot: Option<&Snapshot>) -> Result<(), Error> {
    let Some(snapshot) = snapshot else { return Ok(()) };
    let counted = opened.iter().zip(&chain.kept).map(|(segment, count)| &segment.scanned.commits[..*count]);
    let mut commits = counted.flatten().map(|found| &found.header);
    let wrong = commits.any(|header| {
        let appended = header.appended();
        (appended.lsn == snapshot.lsn && appended.crc != snapshot.crc)
            || (header.lsn == snapshot.lsn + 1 && header.previous_crc != snapshot.crc)
    });
    if !wrong {
        return Ok(());
    }
    let path = format!("snap/{:020}", snapshot.lsn);
    Err(Error::damaged(&path, 0, "the snapshot does not belong to the commits of this journal"))
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

struct Fresh<F> {
    segment: Segment<F>,
    tail_offset: u64,
}

/// Writes the commits above `synced_lsn` to a new segment, durable before it gets its name.
fn write_fresh<D: Disk>(
    disk: &D,
    header: SegmentHeader,
    opened: &[Opened<D::File>],
    chain: &Chain,
    synced_lsn: u64,
    fresh_bytes: u64,
) -> Result<Fresh<D::File>, Error> {
    let path = segment::path(header.number);
    let temporary = format!("{path}.tmp");
    let file =
        disk.open(&temporary, OpenMode::Create).map_err(Error::io("create", &temporary, fresh_bytes))?;
    let mut fresh = FreshWriter { file, header, path: temporary, offset: COMMITS_START, starts: Vec::new() };
    fresh.write(0, &header.encode())?;
    for (segment, count) in opened.iter().zip(&chain.kept) {
        let tail = segment.scanned.commits[..*count].iter().filter(|found| found.header.lsn > synced_lsn);
        fresh.copy(segment, tail)?;
    }
    let first_lsn = chain.head.lsn + 1 - fresh.starts.len() as u64;
    fresh.finish(disk, &path, fresh_bytes, first_lsn)
}

struct FreshWriter<F> {
    file: F,
    header: SegmentHeader,
    path: String,
    offset: u64,
    starts: Vec<u32>,
}

impl<F: DiskFile> FreshWriter<F> {
    fn copy<'a>(&mut self, from: &Opened<F>, commits: impl Iterator<Item = &'a Found>) -> Result<(), Error> {
        let mut window = Window::new(&from.file);
        for found in commits {
            let size = found.header.body_start() + found.header.body_bytes as usize;
            let path = segment::path(from.header.number);
            let stored = window.get(found.offset, size).map_err(Error::io("read", &path, 0))?;
            // Commits a snapshot covers were not checked before.
            if !found.header.body_matches(stored) {
                return Err(Error::damaged(&path, found.offset, "the body of a commit fails its check"));
            }
            let body = &stored[found.header.body_start()..];
            let bytes = commit::encode(&mut Header { salt: self.header.salt, ..found.header }, body);
            self.write(self.offset, &bytes)?;
            self.starts.push((self.offset / ALIGNMENT) as u32);
            self.offset += bytes.len() as u64;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all_at(offset, bytes).map_err(Error::io("write", &self.path, bytes.len() as u64))
    }

    fn finish<D: Disk<File = F>>(
        self,
        disk: &D,
        path: &str,
        bytes: u64,
        first_lsn: u64,
    ) -> Result<Fresh<F>, Error> {
        let zeros = vec![0; bytes.saturating_sub(self.offset) as usize];
        self.write(self.offset, &zeros)?;
        self.file.sync_data().map_err(Error::io("sync", &self.path, bytes))?;
        disk.rename(&self.path, path).map_err(Error::io("rename", &self.path, 0))?;
        disk.sync_dir(DIRECTORY).map_err(Error::io("sync", DIRECTORY, 0))?;
        let bytes = self.offset.max(bytes);
        let segment = Segment::new(self.header, self.file, bytes, first_lsn, self.starts);
        Ok(Fresh { segment, tail_offset: self.offset })
    }
}

/// Shares the segments with readers; what was written again is found in the fresh one only.
fn into_segments<F>(opened: Vec<Opened<F>>, chain: &Chain, fresh: Fresh<F>) -> VecDeque<Arc<Segment<F>>> {
    let mut segments = VecDeque::new();
    let mut next_lsn = chain.first_lsn.unwrap_or(1);
    for (segment, count) in opened.into_iter().zip(&chain.kept) {
        let counted = &segment.scanned.commits[..*count];
        let old: Vec<&Found> =
            counted.iter().take_while(|found| found.header.lsn < fresh.segment.first_lsn).collect();
        let starts = old.iter().map(|found| (found.offset / ALIGNMENT) as u32).collect();
        // A segment whose commits all moved on stays in the row, empty, until it is trimmed.
        let first_lsn = next_lsn;
        next_lsn += old.len() as u64;
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

fn remove<D: Disk>(disk: &D, path: &str) -> Result<(), Error> {
    disk.remove_file(path).map_err(Error::io("remove", path, 0))
}

/// Size of a fresh segment: small, so that opening is fast.
fn fresh_bytes(segment_bytes: u64) -> u64 {
    segment_bytes.min(256 << 10)
}
