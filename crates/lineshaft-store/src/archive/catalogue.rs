//! Which blocks there are: the headers of all of them, in memory.

use std::collections::{BTreeMap, BTreeSet};

use lineshaft_structures::BloomFilter;
use lineshaft_wire::JobId;

use super::day::{Day, DayFile};
use super::filters::{self, Filters};
use super::header::BlockHeader;
use super::store::DIRECTORY;
use super::{ArchiveCounts, ArchiveHead, DayCounts, Dropped};
use crate::disk::join;

/// A block and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) file: DayFile,
    pub(crate) offset: u64,
    pub(crate) header: BlockHeader,
}

impl Entry {
    /// The day whose file it belongs to.
    pub(crate) fn day(&self) -> Day {
        Day::of(self.header.finished_ms.1)
    }

    /// Whether its file has the name of its day: it may have been copied or renamed.
    pub(crate) fn is_in_place(&self) -> bool {
        self.file.day == self.day()
    }

    /// The path of its file in the home.
    pub(crate) fn path(&self) -> String {
        join(DIRECTORY, &self.file.to_string())
    }
}

/// A file that has so much is followed by another one of its day: whole files go when there is too much history, and a day
/// may have any number of jobs.
const FILE_BYTES: u64 = 64 << 20;
/// Less where there is little room: the newest file never goes, so one file must not be most of what there is.
const FILES_MIN: u64 = 32;
const FILE_BYTES_MIN: u64 = 1 << 20;

/// All blocks by finish number. Files mostly follow the same order, unless the clock was set back.
#[derive(Debug)]
pub(crate) struct Catalogue {
    entries: Vec<Entry>,
    /// Size of each file.
    ends: BTreeMap<DayFile, u64>,
    counts: ArchiveCounts,
    filters: Filters,
    /// See [`FILE_BYTES`].
    pub(crate) file_bytes: u64,
}

impl Default for Catalogue {
    fn default() -> Self {
        let (entries, ends, counts, filters) = Default::default();
        Self { entries, ends, counts, filters, file_bytes: FILE_BYTES }
    }
}

impl Catalogue {
    /// Adds a block after all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.ends.insert(entry.file, entry.offset + entry.header.stored_bytes());
        self.counts.add(&entry.header);
        self.entries.push(entry);
    }

    pub(crate) fn head(&self) -> ArchiveHead {
        self.entries.last().map_or_else(ArchiveHead::default, |entry| ArchiveHead {
            last_finish_number: entry.header.last_finish_number,
            lsn: entry.header.lsn,
        })
    }

    pub(crate) fn counts(&self) -> ArchiveCounts {
        self.counts
    }

    /// What each day holds, oldest day first.
    pub(crate) fn days(&self) -> Vec<DayCounts> {
        let mut days: BTreeMap<Day, ArchiveCounts> = BTreeMap::new();
        self.entries.iter().for_each(|entry| days.entry(entry.file.day).or_default().add(&entry.header));
        days.into_iter().map(|(day, counts)| DayCounts { day: day.to_string(), counts }).collect()
    }

    /// All blocks, finish numbers ascending.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where the next block of a day goes: its newest file and the end of that, or one that is not there yet. With
    /// `free_bytes` left on the disk.
    pub(crate) fn place_in(&self, day: Day, free_bytes: u64) -> (DayFile, Option<u64>) {
        let room = free_bytes.saturating_add(self.counts.bytes);
        let file_bytes = self.file_bytes.min((room / FILES_MIN).max(FILE_BYTES_MIN));
        let first = DayFile::first_of(day);
        let newest = self.ends.range(first..).take_while(|(file, _)| file.day == day).last();
        match newest {
            Some((file, end)) if *end < file_bytes => (*file, Some(*end)),
            Some((file, _)) => (file.next(), None),
            None => (first, None),
        }
    }

    /// Files that do not have the name of the day whose blocks they hold, and the one that they should have.
    pub(crate) fn misnamed(&self) -> Vec<(DayFile, DayFile)> {
        let mut found: BTreeMap<DayFile, DayFile> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| !entry.is_in_place()) {
            found.entry(entry.file).or_insert_with(|| match self.place_in(entry.day(), u64::MAX) {
                (newest, Some(_)) => newest.next(),
                (free, None) => free,
            });
        }
        found.into_iter().collect()
    }

    /// The newest block with a finish number below `before`.
    pub(crate) fn last_before(&self, before: u64) -> Option<Entry> {
        let count = self.entries.partition_point(|entry| entry.header.first_finish_number < before);
        count.checked_sub(1).map(|index| self.entries[index])
    }

    pub(crate) fn contains(&self, entry: &Entry) -> bool {
        let before = entry.header.first_finish_number.saturating_add(1);
        self.last_before(before).as_ref() == Some(entry)
    }

    /// The newest block below `before` that may have some of these jobs, which those are, and whether a filter of its
    /// ids would tell more.
    pub(crate) fn last_with(
        &self,
        before: u64,
        wanted: &BTreeSet<JobId>,
    ) -> Option<(Entry, BTreeSet<JobId>, bool)> {
        if wanted.is_empty() {
            return None;
        }
        let count = self.entries.partition_point(|entry| entry.header.first_finish_number < before);
        self.entries[..count].iter().rev().find_map(|entry| {
            let ids = entry.header.ids().filter(|ids| !ids.is_empty())?;
            let mut near = wanted.range(ids).peekable();
            near.peek()?;
            let block = entry.header.first_finish_number;
            let filter = self.filters.get(block);
            let here: BTreeSet<JobId> = near
                .filter(|id| filter.is_none_or(|filter| filters::may_have(filter, **id)))
                .copied()
                .collect();
            (!here.is_empty()).then_some((*entry, here, self.filters.want(block)))
        })
    }

    /// Keeps the filter of a block, unless it is not there any more: another one may have its finish numbers by now.
    pub(crate) fn keep_filter(&mut self, entry: &Entry, filter: BloomFilter) {
        if self.contains(entry) {
            self.filters.add(entry.header.first_finish_number, filter);
        }
    }

    /// The files of the days before this one.
    pub(crate) fn files_before(&self, day: Day) -> Vec<DayFile> {
        self.ends.range(..DayFile::first_of(day)).map(|(file, _)| *file).collect()
    }

    /// When the first job of the oldest block ended.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        self.entries.first().map(|entry| entry.header.finished_ms.0)
    }

    /// The oldest files without which the rest takes at most `bytes`; never that of the newest block.
    pub(crate) fn oldest_files_above(&self, bytes: u64) -> Vec<DayFile> {
        let newest = self.entries.last().map(|entry| entry.file);
        let mut left = self.counts.bytes;
        let mut files = Vec::new();
        for (file, size) in self.ends.iter().filter(|(file, _)| Some(**file) != newest) {
            if left <= bytes {
                break;
            }
            left -= size;
            files.push(*file);
        }
        files
    }

    /// Where each file's blocks of commits above `lsn` begin.
    pub(crate) fn beyond(&self, lsn: u64) -> Vec<(DayFile, u64)> {
        let mut cuts: BTreeMap<DayFile, u64> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.header.lsn > lsn) {
            let cut = cuts.entry(entry.file).or_insert(entry.offset);
            *cut = entry.offset.min(*cut);
        }
        cuts.into_iter().collect()
    }

    pub(crate) fn remove_file(&mut self, file: DayFile) -> Dropped {
        self.ends.remove(&file);
        self.remove(|entry| entry.file == file)
    }

    /// Removes a file's blocks from `offset` on.
    pub(crate) fn cut_file(&mut self, file: DayFile, offset: u64) -> Dropped {
        self.ends.insert(file, offset);
        self.remove(|entry| entry.file == file && entry.offset >= offset)
    }

    fn remove(&mut self, goes: impl Fn(&Entry) -> bool) -> Dropped {
        let mut dropped = Dropped::default();
        let (counts, filters) = (&mut self.counts, &mut self.filters);
        self.entries.retain(|entry| {
            let goes = goes(entry);
            if goes {
                counts.subtract(&entry.header);
                filters.remove(entry.header.first_finish_number);
                let (jobs, bytes) = (u64::from(entry.header.jobs), entry.header.stored_bytes());
                dropped.add(Dropped { jobs, blocks: 1, bytes });
            }
            !goes
        });
        dropped
    }
}

impl ArchiveCounts {
    fn add(&mut self, header: &BlockHeader) {
        self.completed += u64::from(header.completed);
        self.cancelled += u64::from(header.cancelled);
        self.discarded += u64::from(header.discarded);
        self.blocks += 1;
        self.bytes += header.stored_bytes();
    }

    fn subtract(&mut self, header: &BlockHeader) {
        self.completed -= u64::from(header.completed);
        self.cancelled -= u64::from(header.cancelled);
        self.discarded -= u64::from(header.discarded);
        self.blocks -= 1;
        self.bytes -= header.stored_bytes();
    }
}

impl Dropped {
    pub(crate) fn add(&mut self, other: Self) {
        self.jobs += other.jobs;
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}
