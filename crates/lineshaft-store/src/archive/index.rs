//! The index of a block: ids, the rows of every state, queue, task and tag, and where the payloads are.
//!
//! It is stored unpacked and read again for each search: the operating system's page cache holds what is used.
//!
//! Bytes: the sorted fingerprints of the ids (4 bytes each), the row of each (2 bytes each), four dictionaries (state,
//! queue, task, tag; each a count and then texts with their rows), and the payload frames (a count, then stored size,
//! unpacked size and CRC of each).

use std::collections::BTreeMap;

use crc32c::crc32c;
use lineshaft_wire::{JobId, JobRecord, task};

use super::Filter;
use super::codec::{Decoded, Decoder, Encoder, Malformed};
use super::rows::{RowSet, decode_rows, encode_rows};

/// A run of payload bytes that were packed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where it begins, counted from the first frame.
    pub(crate) offset: u64,
    pub(crate) stored_bytes: u32,
    /// Equal to `stored_bytes` if packing did not pay.
    pub(crate) unpacked_bytes: u32,
    pub(crate) crc: u32,
}

/// Four bytes that stand for an id; a search compares the whole id in the row.
pub(crate) fn fingerprint(id: JobId) -> u32 {
    crc32c(&id.to_bytes())
}

/// Collects the rows of every value while a block is built.
#[derive(Debug, Default)]
pub(crate) struct IndexWriter<'a> {
    ids: Vec<(u32, u16)>,
    dictionaries: [Dictionary<'a>; 4],
}

#[derive(Debug, Default)]
struct Dictionary<'a> {
    values: BTreeMap<&'a str, Vec<u16>>,
}

impl<'a> Dictionary<'a> {
    fn push(&mut self, value: &'a str, row: u16) {
        let rows = self.values.entry(value).or_default();
        // A tag may stand twice on a job.
        if rows.last() != Some(&row) {
            rows.push(row);
        }
    }
}

impl<'a> IndexWriter<'a> {
    pub(crate) fn push(&mut self, row: u16, record: &'a JobRecord) {
        self.ids.push((fingerprint(record.id), row));
        let [states, queues, tasks, tags] = &mut self.dictionaries;
        states.push(record.state.as_str(), row);
        queues.push(&record.queue, row);
        tasks.push(&record.task, row);
        record.tags.iter().for_each(|tag| tags.push(tag, row));
    }

    pub(crate) fn finish(mut self, frames: &[Frame]) -> Vec<u8> {
        let jobs = self.ids.len();
        let mut encoder = Encoder::default();
        self.ids.sort_unstable();
        self.ids.iter().for_each(|(fingerprint, _)| encoder.fixed(&fingerprint.to_le_bytes()));
        self.ids.iter().for_each(|(_, row)| encoder.fixed(&row.to_le_bytes()));
        for dictionary in &self.dictionaries {
            encoder.u64(dictionary.values.len() as u64);
            for (value, rows) in &dictionary.values {
                encoder.bytes(value.as_bytes());
                encode_rows(&mut encoder, rows, jobs);
            }
        }
        encoder.u64(frames.len() as u64);
        for frame in frames {
            encoder.u64(u64::from(frame.stored_bytes));
            encoder.u64(u64::from(frame.unpacked_bytes));
            encoder.fixed(&frame.crc.to_le_bytes());
        }
        encoder.bytes
    }
}

/// A block's index as read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index<'a> {
    fingerprints: &'a [u8],
    rows: &'a [u8],
    rest: Decoder<'a>,
    jobs: usize,
}

impl<'a> Index<'a> {
    pub(crate) fn new(bytes: &'a [u8], jobs: usize) -> Decoded<Self> {
        let mut decoder = Decoder::new(bytes);
        let (fingerprints, rows) = (decoder.fixed(4 * jobs)?, decoder.fixed(2 * jobs)?);
        Ok(Self { fingerprints, rows, rest: decoder, jobs })
    }

    /// The fingerprints of all jobs.
    pub(crate) fn fingerprints(&self) -> impl ExactSizeIterator<Item = u32> {
        self.fingerprints.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// The rows that may hold this job.
    pub(crate) fn rows_of(&self, id: JobId) -> RowSet {
        let wanted = fingerprint(id);
        let (fingerprints, _) = self.fingerprints.as_chunks::<4>();
        let (rows, _) = self.rows.as_chunks::<2>();
        let start = fingerprints.partition_point(|bytes| u32::from_le_bytes(*bytes) < wanted);
        let mut set = RowSet::EMPTY;
        for (_, row) in fingerprints[start..]
            .iter()
            .zip(&rows[start..])
            .take_while(|(bytes, _)| u32::from_le_bytes(**bytes) == wanted)
        {
            set.insert(usize::from(u16::from_le_bytes(*row)).min(self.jobs - 1));
        }
        set
    }

    /// The rows whose state, queue, task and tags match.
    pub(crate) fn matching(&self, filter: &Filter) -> Decoded<RowSet> {
        let mut decoder = self.rest;
        let mut found = RowSet::below(self.jobs);
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        if !states.is_empty() {
            found.intersect(&self.any_of(decoder, |value| states.contains(&value))?);
        }
        self.skip_dictionary(&mut decoder)?;
        if let Some(queue) = &filter.queue {
            found.intersect(&self.any_of(decoder, |value| value == *queue)?);
        }
        self.skip_dictionary(&mut decoder)?;
        if let Some(task) = &filter.task {
            found.intersect(&self.any_of(decoder, |value| task::is_of(value, task))?);
        }
        self.skip_dictionary(&mut decoder)?;
        for tag in &filter.tags {
            found.intersect(&self.any_of(decoder, |value| value == *tag)?);
        }
        Ok(found)
    }

    /// Where the payloads are.
    pub(crate) fn frames(&self) -> Decoded<Vec<Frame>> {
        let mut decoder = self.rest;
        for _ in 0..4 {
            self.skip_dictionary(&mut decoder)?;
        }
        let mut offset = 0;
        let mut frames = Vec::new();
        for _ in 0..decoder.count()? {
            let (stored_bytes, unpacked_bytes) = (decoder.u32()?, decoder.u32()?);
            frames.push(Frame {
                offset,
                stored_bytes,
                unpacked_bytes,
                crc: u32::from_le_bytes(decoder.array()?),
            });
            offset += u64::from(stored_bytes);
        }
        if decoder.is_empty() { Ok(frames) } else { Err(Malformed) }
    }

    /// The rows with any of the wanted values, in the dictionary at which the decoder stands.
    fn any_of(&self, mut decoder: Decoder<'_>, is_wanted: impl Fn(&str) -> bool) -> Decoded<RowSet> {
        let mut found = RowSet::EMPTY;
        for _ in 0..decoder.count()? {
            let value = decoder.text()?;
            let rows = decode_rows(&mut decoder, self.jobs)?;
            if is_wanted(value) {
                found.unite(&rows);
            }
        }
        Ok(found)
    }

    fn skip_dictionary(&self, decoder: &mut Decoder<'_>) -> Decoded<()> {
        for _ in 0..decoder.count()? {
            decoder.bytes()?;
            decode_rows(decoder, self.jobs)?;
        }
        Ok(())
    }
}
