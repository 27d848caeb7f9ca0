//! Closing the tail: its records become blocks, and it is begun anew.
//!
//! The order is what a crash anywhere between relies on: tail durable, blocks durable, tail cut. See `scan` for the other
//! side.

use super::BLOCK_RECORDS_MAX;
use super::build::{Built, build};
use super::catalogue::{Catalogue, Entry};
use super::fit;
use super::store::{DIRECTORY, LogStore, Writer, sync_failed};
use super::tail::{Chunk, NAME};
use crate::Error;
use crate::archive::day::Day;
use crate::disk::{Disk, DiskFile, OpenMode, join};

/// About what the records of a block may take, whatever the limits of the tail.
const BLOCK_WEIGHT_MAX: usize = 1 << 20;

impl<D: Disk> LogStore<D> {
    pub(crate) fn is_due(&self, writer: &Writer<D::File>) -> bool {
        let limits = writer.limits;
        writer.began.is_some_and(|began| began.elapsed() >= limits.tail_age)
            || self.with_catalogue(|catalogue| {
                catalogue.tail_records() >= limits.tail_records
                    || catalogue.tail_weight() >= limits.tail_bytes
            })
    }

    /// Makes blocks of the tail. On a full disk it waits, and takes more records while it can.
    pub(crate) fn close_if_room(&self, writer: &mut Writer<D::File>) -> Result<(), Error> {
        match self.close(writer) {
            Err(Error::Full { needed_bytes, .. }) => {
                // Said once: every append comes here.
                if !std::mem::replace(&mut writer.is_full, true) {
                    tracing::warn!(needed_bytes, "no space left to close a block of logs");
                }
                Ok(())
            }
            closed => {
                writer.is_full = false;
                closed
            }
        }
    }

    fn close(&self, writer: &mut Writer<D::File>) -> Result<(), Error> {
        // Before the work is done, with more than it is likely to come to.
        self.home().check_room(self.with_catalogue(Catalogue::tail_weight) as u64)?;
        // A power cut while blocks are written leaves any part of them: the tail has to be there to tell which are whole.
        writer.sync()?;
        let tail = self.with_catalogue(|catalogue| catalogue.tail().to_vec());
        let blocks = build_blocks(&tail, writer.limits.tail_bytes);
        let entries = self.write_blocks(writer.limits.file_bytes, day_of(&tail), blocks)?;
        self.change_catalogue(|catalogue| {
            catalogue.close_tail(entries);
            catalogue.tail_bytes = 0;
        });
        (writer.end, writer.crc, writer.began, writer.durable_bytes) = (0, 0, None, 0);
        let path = join(DIRECTORY, NAME);
        writer.file.set_len(0).map_err(sync_failed(&path))
    }

    /// Appends blocks to the file of a day, durable on return. After [`Error::Full`] nothing of them is there.
    fn write_blocks(&self, file_bytes: u64, day: Day, blocks: Vec<Built>) -> Result<Vec<Entry>, Error> {
        // Unknown only if the disk fails, which writing then finds out.
        let free_bytes = self.disk().free_bytes().unwrap_or(0);
        let (place, end) = self.with_catalogue(|catalogue| catalogue.place_in(day, file_bytes, free_bytes));
        let (path, start) = (join(DIRECTORY, &place.to_string()), end.unwrap_or(0));
        let mode = if end.is_some() { OpenMode::Write } else { OpenMode::Create };
        let bytes: u64 = blocks.iter().map(|block| block.bytes.len() as u64).sum();
        let file = self.disk().open(&path, mode).map_err(Error::io("open", &path, bytes))?;
        let (mut entries, mut offset) = (Vec::new(), start);
        for block in blocks {
            if let Err(source) = file.write_all_at(offset, &block.bytes) {
                file.set_len(start).map_err(sync_failed(&path))?;
                return Err(Error::io("write", &path, bytes)(source));
            }
            entries.push(Entry { file: place, offset, header: block.header });
            offset += block.bytes.len() as u64;
        }
        file.sync_data().map_err(sync_failed(&path))?;
        if end.is_none() {
            self.disk().sync_dir(DIRECTORY).map_err(sync_failed(DIRECTORY))?;
        }
        Ok(entries)
    }
}

/// Blocks of what is in the tail: of records that follow one another, and not too many.
fn build_blocks(tail: &[Chunk], bytes: usize) -> Vec<Built> {
    let mut blocks = Vec::new();
    let (mut first, mut records, mut weight) = (0, Vec::new(), 0);
    let each = tail.iter().flat_map(|chunk| (chunk.first..).zip(chunk.records.iter()));
    for (number, record) in each {
        let follows = number == first + records.len() as u64;
        if !records.is_empty()
            && (!follows || records.len() == BLOCK_RECORDS_MAX || weight >= bytes.min(BLOCK_WEIGHT_MAX))
        {
            blocks.push(build(first, &records));
            records.clear();
            weight = 0;
        }
        if records.is_empty() {
            first = number;
        }
        weight += fit::weight(record);
        records.push(record);
    }
    if !records.is_empty() {
        blocks.push(build(first, &records));
    }
    blocks
}

/// Whether there is a tail, and its records would go into the file of a day before this one.
pub(crate) fn is_before(tail: &[Chunk], day: Day) -> bool {
    !tail.is_empty() && day_of(tail) < day
}

/// The day in the middle of the records' times: one wrong clock among many does not choose it.
pub(crate) fn day_of(tail: &[Chunk]) -> Day {
    let mut times: Vec<u64> =
        tail.iter().flat_map(|chunk| chunk.records.iter()).map(|record| record.time_us).collect();
    let middle = times.len() / 2;
    if times.is_empty() { Day::of(0) } else { Day::of(*times.select_nth_unstable(middle).1 / 1_000) }
}
