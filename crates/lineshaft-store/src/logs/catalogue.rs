//! What there is: the headers of all blocks, and the tail.

use std::collections::{BTreeMap, BTreeSet};

use super::header::BlockHeader;
use super::store::DIRECTORY;
use super::tail::Chunk;
use super::{LogCounts, fit};
use crate::archive::day::{Day, DayFile};
use crate::disk::join;

/// A block and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) file: DayFile,
    pub(crate) offset: u64,
    pub(crate) header: BlockHeader,
}

impl Entry {
    /// The path of its file in the home.
    pub(crate) fn path(&self) -> String {
        join(DIRECTORY, &self.file.to_string())
    }

    pub(crate) fn end(&self) -> u64 {
        self.offset + self.header.stored_bytes()
    }
}

/// Records that lie together.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Block(Box<Entry>),
    Chunk(Chunk),
}

impl Part {
    pub(crate) fn first(&self) -> u64 {
        match self {
            Self::Block(entry) => entry.header.first,
            Self::Chunk(chunk) => chunk.first,
        }
    }

    pub(crate) fn last(&self) -> u64 {
        match self {
            Self::Block(entry) => entry.header.last(),
            Self::Chunk(chunk) => chunk.last(),
        }
    }
}

/// Blocks and chunks, by sequence number.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    entries: Vec<Entry>,
    /// Size of each file, those that have no block that reads included.
    ends: BTreeMap<DayFile, u64>,
    tail: Vec<Chunk>,
    /// About what the records of the tail take, and how many they are.
    tail_weight: usize,
    tail_records: u64,
    /// Size of the tail's file.
    pub(crate) tail_bytes: u64,
    /// First sequence numbers of blocks that were found damaged.
    damaged: BTreeSet<u64>,
    /// Blocks that did not read, or were there twice, at the opening.
    holes: u64,
}

/// Less than that where there is little room: the newest file never goes, so one file must not be most of what there is.
const FILES_MIN: u64 = 32;
const FILE_BYTES_MIN: u64 = 1 << 20;

impl Catalogue {
    /// Blocks in the order of their sequence numbers.
    pub(crate) fn new(entries: Vec<Entry>, ends: BTreeMap<DayFile, u64>) -> Self {
        Self { entries, ends, ..Self::default() }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn tail(&self) -> &[Chunk] {
        &self.tail
    }

    pub(crate) fn tail_weight(&self) -> usize {
        self.tail_weight
    }

    pub(crate) fn tail_records(&self) -> u64 {
        self.tail_records
    }

    /// The greatest sequence number of a block; 0 if there is none.
    pub(crate) fn head(&self) -> u64 {
        self.entries.last().map_or(0, |entry| entry.header.last())
    }

    /// The greatest sequence number; 0 if there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.tail.last().map_or_else(|| self.head(), Chunk::last)
    }

    /// Adds a block after all others.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.ends.insert(entry.file, entry.end());
        self.entries.push(entry);
    }

    pub(crate) fn push_chunk(&mut self, chunk: Chunk) {
        self.tail_records += chunk.records.len() as u64;
        self.tail_weight += chunk.records.iter().map(fit::weight).sum::<usize>();
        self.tail.push(chunk);
    }

    /// Puts blocks in the place of the tail.
    pub(crate) fn close_tail(&mut self, blocks: Vec<Entry>) {
        blocks.into_iter().for_each(|entry| self.push(entry));
        self.tail.clear();
        (self.tail_records, self.tail_weight) = (0, 0);
    }

    /// Forgets a file's blocks from `offset` on, and the file if that is its beginning.
    pub(crate) fn cut_file(&mut self, file: DayFile, offset: u64) {
        if offset == 0 {
            self.ends.remove(&file);
        } else {
            self.ends.insert(file, offset);
        }
        self.entries.retain(|entry| entry.file != file || entry.offset < offset);
    }

    pub(crate) fn remove_file(&mut self, file: DayFile) -> u64 {
        self.entries.retain(|entry| entry.file != file);
        self.ends.remove(&file).unwrap_or(0)
    }

    /// Where the next block of a day goes: its newest file and the end of that, or one that is not there yet.
    pub(crate) fn place_in(&self, day: Day, file_bytes: u64, free_bytes: u64) -> (DayFile, Option<u64>) {
        let room = free_bytes.saturating_add(self.ends.values().sum());
        let file_bytes = file_bytes.min((room / FILES_MIN).max(FILE_BYTES_MIN));
        let first = DayFile::first_of(day);
        let newest = self.ends.range(first..).take_while(|(file, _)| file.day == day).last();
        match newest {
            Some((file, end)) if *end < file_bytes => (*file, Some(*end)),
            Some((file, _)) => (file.next(), None),
            None => (first, None),
        }
    }

    /// What has the oldest records after `number`.
    pub(crate) fn first_after(&self, number: u64) -> Option<Part> {
        let index = self.entries.partition_point(|entry| entry.header.last() <= number);
        let chunk = || {
            let index = self.tail.partition_point(|chunk| chunk.last() <= number);
            self.tail.get(index).cloned().map(Part::Chunk)
        };
        self.entries.get(index).map(|entry| Part::Block(Box::new(entry.clone()))).or_else(chunk)
    }

    /// What has the newest records before `number`.
    pub(crate) fn last_before(&self, number: u64) -> Option<Part> {
        let count = self.tail.partition_point(|chunk| chunk.first < number);
        if let Some(index) = count.checked_sub(1) {
            return Some(Part::Chunk(self.tail[index].clone()));
        }
        let count = self.entries.partition_point(|entry| entry.header.first < number);
        count.checked_sub(1).map(|index| Part::Block(Box::new(self.entries[index].clone())))
    }

    pub(crate) fn contains(&self, entry: &Entry) -> bool {
        let index = self.entries.partition_point(|other| other.header.first < entry.header.first);
        self.entries.get(index) == Some(entry)
    }

    /// Notes that a block is damaged; whether that is new.
    pub(crate) fn note_damaged(&mut self, entry: &Entry) -> bool {
        self.damaged.insert(entry.header.first)
    }

    /// Notes that no block reads at a place of a file, unless the file was cut before it.
    pub(crate) fn note_hole(&mut self, file: DayFile, offset: u64) {
        if self.ends.get(&file).is_some_and(|end| offset < *end) {
            let path = join(DIRECTORY, &file.to_string());
            tracing::warn!(path, offset, "a block of logs does not read any more, or is there twice");
            self.holes += 1;
        }
    }

    /// The files of the days before this one.
    pub(crate) fn files_before(&self, day: Day) -> Vec<DayFile> {
        self.ends.range(..DayFile::first_of(day)).map(|(file, _)| *file).collect()
    }

    /// The files with the oldest blocks, without which the rest takes at most `bytes`; never that of the newest block.
    pub(crate) fn oldest_files_above(&self, bytes: u64) -> Vec<DayFile> {
        let newest = self.newest_file();
        let mut firsts: BTreeMap<DayFile, u64> = self.ends.keys().map(|file| (*file, 0)).collect();
        // A worker with a wrong clock gives a file the name of another day: the order is that of appending.
        firsts.extend(self.entries.iter().map(|entry| (entry.file, entry.header.last())));
        let mut files: Vec<_> = firsts.into_iter().filter(|(file, _)| Some(*file) != newest).collect();
        files.sort_by_key(|(_, last)| *last);
        let mut left = self.bytes();
        let goes = |(file, _)| {
            let is_above = left > bytes;
            if is_above {
                left -= self.ends.get(&file).copied().unwrap_or(0);
            }
            is_above.then_some(file)
        };
        files.into_iter().map_while(goes).collect()
    }

    /// The file of the newest block.
    pub(crate) fn newest_file(&self) -> Option<DayFile> {
        self.entries.last().map(|entry| entry.file)
    }

    fn bytes(&self) -> u64 {
        self.ends.values().sum::<u64>() + self.tail_bytes
    }

    pub(crate) fn counts(&self) -> LogCounts {
        let in_blocks = self.entries.iter().map(|entry| u64::from(entry.header.records));
        let of_tail = self.tail.iter().flat_map(|chunk| chunk.records.iter()).map(|record| record.time_us);
        LogCounts {
            records: in_blocks.sum::<u64>() + self.tail_records,
            bytes: self.bytes(),
            oldest_us: self.entries.iter().map(|entry| entry.header.times.0).chain(of_tail).min(),
            damaged_blocks: self.damaged.len() as u64 + self.holes,
        }
    }
}
