//! A block of jobs as bytes: header, index, rows, payloads.

use crc32c::crc32c;
use lineshaft_wire::JobState;
use lz4_flex::block::{compress_into, get_maximum_output_size};

use super::codec::Encoder;
use super::header::{ALIGNMENT, BlockHeader, HEADER_BYTES};
use super::index::{Frame, IndexWriter};
use super::names::NameWriter;
use super::row::{self, Base, PayloadPlace};
use super::{ArchivedJob, BLOCK_JOBS_MAX, BLOCK_PAYLOAD_BYTES_MAX, Block};
use crate::Error;

/// Payloads are packed together until they have this size.
const FRAME_BYTES: usize = 64 << 10;

/// A block ready to be written.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) header: BlockHeader,
    pub(crate) bytes: Vec<u8>,
}

/// Encodes a block whose finish numbers follow `head`. About 1 us per job.
pub(crate) fn build(block: &Block, head: u64) -> Result<Built, Error> {
    check(block, head)?;
    let mut header = summarise(block);
    let base = Base { finish_number: header.first_finish_number, created_ms: header.created_ms.0 };
    let mut payloads = PayloadWriter::default();
    let mut index = IndexWriter::default();
    let mut names = NameWriter::default();
    let (mut rows, mut row) = (Encoder::default(), Encoder::default());
    for (number, job) in block.jobs.iter().enumerate() {
        let place = payloads.push(job);
        row.bytes.clear();
        row::encode(&mut row, &mut names, base, (job.finish_number, place, &job.record));
        rows.bytes(&row.bytes);
        index.push(number as u16, &job.record);
    }
    payloads.close_frame();
    let index = index.finish(&payloads.frames);
    let rows = with_names(&names, &rows.bytes);
    Ok(assemble(&mut header, &index, &rows, &payloads.packed))
}

/// Blocks hold few jobs, in order, finished, and not too large.
fn check(block: &Block, head: u64) -> Result<(), Error> {
    let count = block.jobs.len();
    if count == 0 || count > BLOCK_JOBS_MAX {
        let what = if count == 0 { "an empty block" } else { "a block" };
        return Err(Error::TooLarge { what, bytes: count as u64, max_bytes: BLOCK_JOBS_MAX as u64 });
    }
    if let Some(job) = block.jobs.iter().find(|job| !job.record.state.is_finished()) {
        return Err(Error::NotFinished { id: job.record.id });
    }
    let payload_bytes: usize = block.jobs.iter().map(payload_bytes).sum();
    if payload_bytes > BLOCK_PAYLOAD_BYTES_MAX {
        let (bytes, max_bytes) = (payload_bytes as u64, BLOCK_PAYLOAD_BYTES_MAX as u64);
        return Err(Error::TooLarge { what: "the payload of a block", bytes, max_bytes });
    }
    let numbers = || block.jobs.iter().map(|job| job.finish_number);
    let (first, last) = (block.jobs[0].finish_number, block.jobs[count - 1].finish_number);
    if first > head && numbers().is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    Err(Error::BlockOrder { first, last, head })
}

fn payload_bytes(job: &ArchivedJob) -> usize {
    job.arguments.len() + job.options.len() + job.result.len() + job.checkpoint.len()
}

fn summarise(block: &Block) -> BlockHeader {
    let records = || block.jobs.iter().map(|job| &job.record);
    let count = |state| records().filter(|record| record.state == state).count() as u32;
    let ids = || records().map(|record| record.id.to_bytes());
    BlockHeader {
        lsn: block.lsn,
        first_finish_number: block.jobs.first().map_or(0, |job| job.finish_number),
        last_finish_number: block.jobs.last().map_or(0, |job| job.finish_number),
        created_ms: range(records().map(|record| record.created_at)),
        finished_ms: range(records().map(|record| record.finalized_at.unwrap_or(0))),
        ids: (ids().min().unwrap_or_default(), ids().max().unwrap_or_default()),
        jobs: block.jobs.len() as u32,
        completed: count(JobState::Completed),
        cancelled: count(JobState::Cancelled),
        discarded: count(JobState::Discarded),
        ..BlockHeader::default()
    }
}

fn range(times: impl Iterator<Item = u64>) -> (u64, u64) {
    times.fold((u64::MAX, 0), |(min, max), time| (min.min(time), max.max(time)))
}

fn with_names(names: &NameWriter<'_>, rows: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    names.encode(&mut encoder);
    encoder.fixed(rows);
    encoder.bytes
}

fn assemble(header: &mut BlockHeader, index: &[u8], rows: &[u8], payloads: &[u8]) -> Built {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(index);
    let rows_start = bytes.len();
    pack(rows, &mut bytes);
    header.index_bytes = index.len() as u32;
    header.index_crc = crc32c(index);
    header.rows_bytes = (bytes.len() - rows_start) as u32;
    header.rows_unpacked_bytes = rows.len() as u32;
    header.rows_crc = crc32c(&bytes[rows_start..]);
    header.payload_bytes = payloads.len() as u64;
    bytes.extend_from_slice(payloads);
    bytes[..HEADER_BYTES].copy_from_slice(&header.encode());
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
    Built { header: *header, bytes }
}

/// Appends `content` packed, or as it is if packing does not make it smaller.
pub(crate) fn pack(content: &[u8], packed: &mut Vec<u8>) {
    let start = packed.len();
    packed.resize(start + get_maximum_output_size(content.len()), 0);
    match compress_into(content, &mut packed[start..]) {
        Ok(size) if size < content.len() => packed.truncate(start + size),
        _ => {
            packed.truncate(start);
            packed.extend_from_slice(content);
        }
    }
}

#[derive(Debug, Default)]
struct PayloadWriter {
    /// Frames that are complete, packed.
    packed: Vec<u8>,
    frames: Vec<Frame>,
    /// The frame being filled, unpacked.
    frame: Vec<u8>,
}

impl PayloadWriter {
    /// Adds a job's payloads; they never straddle two frames.
    fn push(&mut self, job: &ArchivedJob) -> PayloadPlace {
        if self.frame.len() + payload_bytes(job) > FRAME_BYTES {
            self.close_frame();
        }
        let place = PayloadPlace {
            frame: self.frames.len() as u32,
            offset: self.frame.len() as u32,
            arguments_bytes: job.arguments.len() as u32,
            options_bytes: job.options.len() as u32,
            result_bytes: job.result.len() as u32,
            checkpoint_bytes: job.checkpoint.len() as u32,
        };
        for payload in [&job.arguments, &job.options, &job.result, &job.checkpoint] {
            self.frame.extend_from_slice(payload);
        }
        place
    }

    fn close_frame(&mut self) {
        if self.frame.is_empty() {
            return;
        }
        let offset = self.packed.len();
        pack(&self.frame, &mut self.packed);
        self.frames.push(Frame {
            offset: offset as u64,
            stored_bytes: (self.packed.len() - offset) as u32,
            unpacked_bytes: self.frame.len() as u32,
            crc: crc32c(&self.packed[offset..]),
        });
        self.frame.clear();
    }
}
