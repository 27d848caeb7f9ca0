//! Which blocks there are: the headers of all of them, in memory.

use std::collections::BTreeMap;

use super::day::Day;
use super::header::BlockHeader;
use super::{ArchiveCounts, ArchiveHead, DayCounts, Dropped};

/// A block and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) day: Day,
    pub(crate) offset: u64,
    pub(crate) header: BlockHeader,
}

/// All blocks by finish number. Days mostly follow the same order, unless the clock was set back.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    entries: Vec<Entry>,
    /// Size of each day's file.
    ends: BTreeMap<Day, u64>,
    counts: ArchiveCounts,
}

impl Catalogue {
    /// Adds a block after all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.ends.insert(entry.day, entry.offset + entry.header.stored_bytes());
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
        self.entries.iter().for_each(|entry| days.entry(entry.day).or_default().add(&entry.header));
        days.into_iter().map(|(day, counts)| DayCounts { day: day.to_string(), counts }).collect()
    }

    /// All blocks, finish numbers ascending.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn end_of(&self, day: Day) -> Option<u64> {
        self.ends.get(&day).copied()
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

    pub(crate) fn days_before(&self, day: Day) -> Vec<Day> {
        self.ends.range(..day).map(|(day, _)| *day).collect()
    }

    /// The oldest days without which the rest takes at most `bytes`; never the day of the newest block.
    pub(crate) fn oldest_days_above(&self, bytes: u64) -> Vec<Day> {
        let newest = self.entries.last().map(|entry| entry.day);
        let mut left = self.counts.bytes;
        let mut days = Vec::new();
        for (day, size) in self.ends.iter().filter(|(day, _)| Some(**day) != newest) {
            if left <= bytes {
                break;
            }
            left -= size;
            days.push(*day);
        }
        days
    }

    /// Where each day's blocks of commits above `lsn` begin.
    pub(crate) fn beyond(&self, lsn: u64) -> Vec<(Day, u64)> {
        let mut cuts: BTreeMap<Day, u64> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.header.lsn > lsn) {
            let cut = cuts.entry(entry.day).or_insert(entry.offset);
            *cut = entry.offset.min(*cut);
        }
        cuts.into_iter().collect()
    }

    pub(crate) fn remove_day(&mut self, day: Day) -> Dropped {
        self.ends.remove(&day);
        self.remove(|entry| entry.day == day)
    }

    /// Removes a day's blocks from `offset` on.
    pub(crate) fn cut_day(&mut self, day: Day, offset: u64) -> Dropped {
        self.ends.insert(day, offset);
        self.remove(|entry| entry.day == day && entry.offset >= offset)
    }

    fn remove(&mut self, goes: impl Fn(&Entry) -> bool) -> Dropped {
        let mut dropped = Dropped::default();
        let counts = &mut self.counts;
        self.entries.retain(|entry| {
            let goes = goes(entry);
            if goes {
                counts.subtract(&entry.header);
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
