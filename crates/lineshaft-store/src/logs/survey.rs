//! Which records of a home read, and which are lost. Nothing is changed.

use super::block::BlockReader;
use super::close;
use super::extent::{Extent, extent};
use super::header::BlockHeader;
use super::scan::next_header;
use super::store::DIRECTORY;
use super::tail::{self, Tail, sound_chunks};
use crate::Error;
use crate::archive::day::{Day, DayFile};
use crate::disk::{Disk, DiskFile, OpenMode, join};

/// A part of the logs that was looked at: a block, what stands in the place of one, or the tail.
#[derive(Debug)]
pub struct CheckedLogs {
    /// Its records; of one that does not read, those that are lost, as far as that is known.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
    /// What is wrong with it, if anything, and what is lost by that.
    pub error: Option<Error>,
}

/// Reads all that attempts logged and checks it, as of the moment at which it is called.
///
/// Errors only if files cannot be listed or read; damage is passed on. What stands behind the last sound block of a file
/// may be a block that somebody is writing just now, or was when a crash came: that is none while the tail has its records.
pub fn check_logs<D: Disk>(disk: &D, visit: &mut dyn FnMut(CheckedLogs)) -> Result<(), Error> {
    let extent = extent(disk)?;
    let tail = Tail::of(&extent.tail);
    let mut known = Known { ranges: Vec::new(), tail_day: close::day_of(&tail.chunks), first: extent.first };
    let mut ends = Vec::new();
    for (path, end) in &extent.days {
        let file = match disk.open(path, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.map_err(Error::io("open", path, 0))?,
        };
        let day = DayCheck { file: &file, path, end: *end, tail_first: extent.first };
        ends.extend(day.check(&mut known.ranges, visit).map_err(Error::io("read", path, 0))?);
    }
    known.ranges.sort_unstable();
    ends.iter().filter(|hole| !known.has_all_of(hole)).for_each(|hole| visit(hole.told()));
    check_tail(&extent, &tail, visit);
    Ok(())
}

/// The numbers of records that blocks have, and from which one on the tail has them.
struct Known {
    ranges: Vec<(u64, u64)>,
    tail_day: Day,
    first: Option<u64>,
}

impl Known {
    /// Whether the records that a block at the end of a file would have are in other blocks or the tail, as far as can be
    /// known.
    fn has_all_of(&self, hole: &Hole) -> bool {
        let Some(tail_first) = self.first else { return false };
        let is_of_tail = || DayFile::parse(hole.file_name()).is_some_and(|file| file.day == self.tail_day);
        // In a file without any other block there may have been anything, unless it is where the tail would go.
        let oldest = || self.ranges.first().map_or(1, |range| range.0);
        let next = hole.next.or_else(|| is_of_tail().then(oldest));
        next.is_some_and(|next| self.end_of_row(next) >= tail_first)
    }

    /// The first number from `next` on that no block has.
    fn end_of_row(&self, next: u64) -> u64 {
        self.ranges
            .iter()
            .fold(next, |next, (first, last)| if *first <= next { next.max(last + 1) } else { next })
    }
}

/// Bytes that are no block.
struct Hole<'a> {
    path: &'a str,
    start: u64,
    end: u64,
    /// The number behind the records before them, and that of those behind.
    next: Option<u64>,
    first: Option<u64>,
}

impl Hole<'_> {
    fn told(&self) -> CheckedLogs {
        let records = self.next.zip(self.first).map_or(0, |(next, first)| first.saturating_sub(next));
        let bytes = self.end - self.start;
        let day = self.file_name();
        let lost = match records {
            0 => format!("what {day} had there is lost"),
            count => format!("up to {count} records of {day} are lost"),
        };
        let reason = format!("{bytes} bytes are no block of logs: {lost}");
        CheckedLogs { records, bytes, error: Some(Error::damaged(self.path, self.start, reason)) }
    }

    fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}

struct DayCheck<'a, 'f, F> {
    file: &'f F,
    path: &'a str,
    end: u64,
    tail_first: Option<u64>,
}

impl<'a, F: DiskFile> DayCheck<'a, '_, F> {
    /// Adds the numbers of its blocks to `ranges`, and gives what is at its end and is no block.
    fn check(
        &self,
        ranges: &mut Vec<(u64, u64)>,
        visit: &mut dyn FnMut(CheckedLogs),
    ) -> std::io::Result<Option<Hole<'a>>> {
        let (mut offset, mut next) = (0, None);
        while let Some((at, header)) = next_header(self.file, offset, self.end)? {
            if at > offset {
                visit(self.hole(offset, at, next, Some(header.first)).told());
            }
            visit(self.block(at, &header));
            ranges.push((header.first, header.last()));
            (offset, next) = (at + header.stored_bytes(), Some(header.last() + 1));
        }
        // Behind them there may be blocks of later records.
        let length = self.file.length()?;
        Ok(match next_header(self.file, offset, length)? {
            Some((at, header)) => (at > offset).then(|| self.hole(offset, at, next, Some(header.first))),
            None => (offset < length).then(|| self.hole(offset, length, next, self.tail_first)),
        })
    }

    fn hole(&self, start: u64, end: u64, next: Option<u64>, first: Option<u64>) -> Hole<'a> {
        Hole { path: self.path, start, end, next, first }
    }

    fn block(&self, offset: u64, header: &BlockHeader) -> CheckedLogs {
        let reader = BlockReader { file: self.file, path: self.path, offset, header };
        let error = reader.verify().err().map(|error| match error {
            Error::Damaged { file, offset, reason } => {
                let lost = format!("{reason}: {} records of {} are lost", header.records, days_of(header));
                Error::Damaged { file, offset, reason: lost }
            }
            error => error,
        });
        CheckedLogs { records: header.records.into(), bytes: header.stored_bytes(), error }
    }
}

/// The UTC days of a block's records.
fn days_of(header: &BlockHeader) -> String {
    let [first, last] = [header.times.0, header.times.1].map(|time_us| Day::of(time_us / 1_000));
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

/// A chunk that was not written to its end is nothing: that is what a crash leaves. With sound ones behind it, it is damage.
fn check_tail(extent: &Extent, tail: &Tail, visit: &mut dyn FnMut(CheckedLogs)) {
    let records = tail.chunks.iter().map(|chunk| chunk.records.len() as u64).sum();
    visit(CheckedLogs { records, bytes: tail.end, error: None });
    let behind: u64 = sound_chunks(&extent.tail[tail.end as usize..]).map(|(_, records)| records).sum();
    if behind > 0 {
        let reason =
            format!("a chunk of the newest logs fails its check: {behind} records behind it are lost");
        let error = Error::damaged(&join(DIRECTORY, tail::NAME), tail.end, reason);
        visit(CheckedLogs { records: behind, bytes: tail.length - tail.end, error: Some(error) });
    }
}
