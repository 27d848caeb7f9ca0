//! Which records of a home read, and which are lost. Nothing is changed.

use super::block::BlockReader;
use super::extent::extent;
use super::header::BlockHeader;
use super::scan::next_header;
use super::store::DIRECTORY;
use super::tail::{self, Tail, sound_chunks};
use super::{close, next};
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

/// Reads all that attempts logged and checks it, as of the moment at which it is called. What has no error has the records
/// that an opening would show, each once.
///
/// Errors only if files cannot be listed or read; damage is passed on. A block at the end of a file that is not whole may be
/// one that somebody is writing just now, or was when a crash came: that is none while the tail has its records.
pub fn check_logs<D: Disk>(disk: &D, visit: &mut dyn FnMut(CheckedLogs)) -> Result<(), Error> {
    let extent = extent(disk)?;
    let mut tail = Tail::of(&extent.tail);
    let (mut ranges, mut ends) = (Vec::new(), Vec::new());
    for (path, length) in &extent.days {
        let file = match disk.open(path, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.map_err(Error::io("open", path, 0))?,
        };
        let day = DayCheck { file: &file, path, length: *length, tail: &tail };
        ends.extend(day.check(&mut ranges, visit).map_err(Error::io("read", path, 0))?);
    }
    ranges.sort_unstable();
    let first_kept = next::read(disk)?.max(1);
    let forgotten = ranges.last().map_or(0, |range| range.1).max(first_kept - 1);
    tail.forget(forgotten);
    let known = Known { ranges, first_kept, tail_day: close::day_of(&tail.chunks), first: tail.first() };
    ends.iter().filter(|hole| !known.has_all_of(hole)).for_each(|hole| visit(hole.told()));
    check_tail(&extent.tail, &tail, forgotten, visit);
    Ok(())
}

/// The numbers of records that blocks have, and from which one on the tail has them.
struct Known {
    ranges: Vec<(u64, u64)>,
    /// Where no block is left, the least number that there may be.
    first_kept: u64,
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
        let oldest = || self.ranges.first().map_or(self.first_kept, |range| range.0);
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

struct DayCheck<'a, 't, F> {
    file: &'t F,
    path: &'a str,
    length: u64,
    tail: &'t Tail,
}

impl<'a, F: DiskFile> DayCheck<'a, '_, F> {
    /// Adds the numbers of its blocks to `ranges`, and gives what is at its end and is no block.
    fn check(
        &self,
        ranges: &mut Vec<(u64, u64)>,
        visit: &mut dyn FnMut(CheckedLogs),
    ) -> std::io::Result<Option<Hole<'a>>> {
        let length = self.length.min(self.file.length()?);
        let (mut offset, mut next) = (0, None);
        while let Some((at, header)) = next_header(self.file, offset, length)? {
            let (is_behind_hole, block) = (at > offset, self.block(at, &header));
            let is_sound = !is_behind_hole && block.error.is_none();
            if !is_sound && self.tail.has(header.first, header.last()) {
                // An opening cuts the file here, and shows what the tail has.
                break;
            }
            if is_behind_hole {
                visit(self.hole(offset, at, next, Some(header.first)).told());
            }
            visit(block);
            ranges.push((header.first, header.last()));
            (offset, next) = (at + header.stored_bytes(), Some(header.last() + 1));
        }
        Ok((offset < length).then(|| self.hole(offset, length, next, self.tail.first())))
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

/// A chunk that was not written to its end is nothing: that is what a crash leaves. A power cut may leave sound ones behind it,
/// since the tail is not synced for each; it is damage if one of them says that it was durable. Those with records up to
/// `forgotten` are of an earlier use of the file.
fn check_tail(bytes: &[u8], tail: &Tail, forgotten: u64, visit: &mut dyn FnMut(CheckedLogs)) {
    let records = tail.chunks.iter().map(|chunk| chunk.records.len() as u64).sum();
    visit(CheckedLogs { records, bytes: tail.end, error: None });
    let rest = bytes.get(tail.end as usize..).unwrap_or_default();
    let (mut behind, mut was_durable) = (0, false);
    for (chunk, durable_bytes) in sound_chunks(rest) {
        if let Some(chunk) = chunk.after(forgotten) {
            behind += chunk.records.len() as u64;
            was_durable |= durable_bytes > tail.end;
        }
    }
    if was_durable {
        let reason =
            format!("a chunk of the newest logs fails its check: {behind} records behind it are lost");
        let error = Error::damaged(&join(DIRECTORY, tail::NAME), tail.end, reason);
        visit(CheckedLogs { records: behind, bytes: rest.len() as u64, error: Some(error) });
    }
}
