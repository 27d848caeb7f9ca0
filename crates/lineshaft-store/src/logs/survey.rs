//! Which records of a home read, and which are lost. Nothing is changed.

use super::block::BlockReader;
use super::extent::{Extent, extent};
use super::header::BlockHeader;
use super::scan::next_header;
use super::store::DIRECTORY;
use super::tail::{self, Tail, sound_chunks};
use crate::Error;
use crate::archive::day::Day;
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
/// may be a block that somebody is writing just now.
pub fn check_logs<D: Disk>(disk: &D, visit: &mut dyn FnMut(CheckedLogs)) -> Result<(), Error> {
    let extent = extent(disk)?;
    for (path, end) in &extent.days {
        let file = match disk.open(path, OpenMode::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.map_err(Error::io("open", path, 0))?,
        };
        let day = DayCheck { file: &file, path, end: *end };
        day.check(extent.first, visit).map_err(Error::io("read", path, 0))?;
    }
    check_tail(&extent, visit);
    Ok(())
}

struct DayCheck<'a, F> {
    file: &'a F,
    path: &'a str,
    end: u64,
}

impl<F: DiskFile> DayCheck<'_, F> {
    fn check(&self, tail_first: Option<u64>, visit: &mut dyn FnMut(CheckedLogs)) -> std::io::Result<()> {
        let (mut offset, mut next) = (0, None);
        while let Some((at, header)) = next_header(self.file, offset, self.end)? {
            if at > offset {
                visit(self.hole(offset, at, next, Some(header.first)));
            }
            visit(self.block(at, &header));
            (offset, next) = (at + header.stored_bytes(), Some(header.last() + 1));
        }
        // Behind them there may be blocks of later records.
        let length = self.file.length()?;
        match next_header(self.file, offset, length)? {
            Some((at, header)) if at > offset => visit(self.hole(offset, at, next, Some(header.first))),
            None if offset < length => visit(self.hole(offset, length, next, tail_first)),
            _ => {}
        }
        Ok(())
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

    /// Bytes that are no block. `next` is the number behind the records before them, `first` that of those behind.
    fn hole(&self, start: u64, end: u64, next: Option<u64>, first: Option<u64>) -> CheckedLogs {
        let records = next.zip(first).map_or(0, |(next, first)| first.saturating_sub(next));
        let bytes = end - start;
        let day = self.path.rsplit('/').next().unwrap_or_default();
        let lost = match records {
            0 => format!("what {day} had there is lost"),
            count => format!("up to {count} records of {day} are lost"),
        };
        let reason = format!("{bytes} bytes are no block of logs: {lost}");
        CheckedLogs { records, bytes, error: Some(Error::damaged(self.path, start, reason)) }
    }
}

/// The UTC days of a block's records.
fn days_of(header: &BlockHeader) -> String {
    let [first, last] = [header.times.0, header.times.1].map(|time_us| Day::of(time_us / 1_000));
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

/// A chunk that was not written to its end is nothing: that is what a crash leaves. With sound ones behind it, it is damage.
fn check_tail(extent: &Extent, visit: &mut dyn FnMut(CheckedLogs)) {
    let tail = Tail::of(&extent.tail);
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
