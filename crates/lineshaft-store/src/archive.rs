//! The archive: finished jobs in compressed, indexed blocks.
//!
//! Jobs are ordered by their finish number, which grows with every job that ends. [`BlockArchive`] keeps files
//! per UTC day: read `block` for the bytes, `footer` for the index, `store` for the files.

mod block;
mod build;
mod catalogue;
pub(crate) mod codec;
pub(crate) mod day;
mod filters;
mod header;
mod index;
mod names;
pub(crate) mod open_file;
mod row;
mod rows;
mod scan;
mod store;

pub(crate) use block::unpack;
pub(crate) use build::pack;
pub(crate) use scan::first_header_from;
pub(crate) use store::DIRECTORY;
pub use store::{BlockArchive, DamagedBlock};

use std::time::Duration;

use bytes::Bytes;
use lineshaft_wire::{JobId, JobRecord, JobState, task};

use crate::Error;

/// Jobs a block may hold.
pub const BLOCK_JOBS_MAX: usize = 1_000;
/// Payload bytes (arguments, results and options) a block may hold; close a block before it passes this.
pub const BLOCK_PAYLOAD_BYTES_MAX: usize = 256 << 20;

/// Where finished jobs live. Clones are handles; one thread puts, any thread reads.
pub trait Archive: Clone + Send + Sync + 'static {
    /// Stores a block, durable on return.
    ///
    /// Errors: [`Error::BlockOrder`] if its finish numbers do not grow beyond the head's, [`Error::NotFinished`],
    /// [`Error::TooLarge`] for an oversized block, [`Error::Full`] (nothing was stored).
    fn put(&self, block: &Block) -> Result<(), Error>;

    /// The newest block's end.
    fn head(&self) -> ArchiveHead;

    /// Jobs that match, newest finish first. Deleted jobs are the caller's to leave out.
    fn page(&self, request: &PageRequest) -> Result<Page, Error>;

    /// The newest job with this id, with its payloads.
    fn get(&self, id: JobId) -> Result<Option<ArchivedJob>, Error> {
        Ok(self.get_many(&[id])?.pop())
    }

    /// The jobs with these ids that are there, in no order. Jobs of one block cost one read of it.
    fn get_many(&self, ids: &[JobId]) -> Result<Vec<ArchivedJob>, Error>;

    /// How much there is.
    fn counts(&self) -> ArchiveCounts;

    /// When the first job of the oldest block ended, Unix milliseconds; `None` if there is nothing.
    fn oldest_ms(&self) -> Option<u64>;

    /// Drops the days before the UTC day of `finished_ms` (Unix milliseconds). [`Error::Held`] during a backup.
    fn drop_before(&self, finished_ms: u64) -> Result<Dropped, Error>;

    /// Drops what is oldest, in larger pieces, until the archive takes at most `bytes`; the newest piece always stays.
    /// [`Error::Held`] during a backup.
    fn drop_oldest_until(&self, bytes: u64) -> Result<Dropped, Error>;

    /// Drops blocks written from commits above `lsn`: the journal lost them, so it never happened.
    fn drop_beyond(&self, lsn: u64) -> Result<Dropped, Error>;
}

/// Whether a file of the archive's directory with this name is one of its days'.
pub(crate) fn is_day(name: &str) -> bool {
    day::DayFile::parse(name).is_some()
}

/// A finished job and everything kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedJob {
    /// Its place in the order of finishing, from 1.
    pub finish_number: u64,
    /// What is known about it.
    pub record: JobRecord,
    /// Its encoded arguments.
    pub arguments: Bytes,
    /// Its encoded result; empty if it has none.
    pub result: Bytes,
    /// Its encoded task options, so that `retry` can make the same job again.
    pub options: Bytes,
    /// From where that job goes on; empty if this one left no checkpoint or was completed.
    pub checkpoint: Bytes,
}

impl ArchivedJob {
    /// Its arguments; [`Error::PayloadLost`] if they did not read any more when it was archived.
    pub fn whole_arguments(&self) -> Result<&Bytes, Error> {
        self.whole("the arguments", &self.arguments, self.record.arguments_bytes)
    }

    /// Its result; [`Error::PayloadLost`] likewise.
    pub fn whole_result(&self) -> Result<&Bytes, Error> {
        self.whole("the bytes of the result", &self.result, self.record.result_bytes)
    }

    /// Whether nothing of it was lost before it was archived.
    pub fn is_whole(&self) -> bool {
        self.whole_arguments().is_ok() && self.whole_result().is_ok()
    }

    fn whole<'a>(&self, what: &'static str, bytes: &'a Bytes, length: u64) -> Result<&'a Bytes, Error> {
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        Err(Error::PayloadLost { id: self.record.id, what })
    }
}

/// Up to [`BLOCK_JOBS_MAX`] jobs that finished one after another.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// The journal's commit that finished the last of them.
    pub lsn: u64,
    /// The jobs, finish numbers ascending.
    pub jobs: Vec<ArchivedJob>,
}

/// The newest end of an archive; all 0 when it is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveHead {
    /// Finish number of the newest job.
    pub last_finish_number: u64,
    /// Commit of the newest block.
    pub lsn: u64,
}

/// Which jobs; every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states; empty for any.
    pub states: Vec<JobState>,
    /// In this queue.
    pub queue: Option<String>,
    /// Of this task.
    pub task: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Created at or after, Unix milliseconds.
    pub created_from_ms: Option<u64>,
    /// Created before, Unix milliseconds.
    pub created_before_ms: Option<u64>,
    /// Finished at or after, Unix milliseconds.
    pub finished_from_ms: Option<u64>,
    /// Finished before, Unix milliseconds.
    pub finished_before_ms: Option<u64>,
}

impl Filter {
    /// Whether a job meets every condition.
    pub fn matches(&self, record: &JobRecord) -> bool {
        (self.states.is_empty() || self.states.contains(&record.state))
            && self.queue.as_deref().is_none_or(|queue| *record.queue == *queue)
            && self.task.as_deref().is_none_or(|task| task::is_of(&record.task, task))
            && self.tags.iter().all(|tag| record.tags.iter().any(|have| **have == **tag))
            && self.matches_times(record.created_at, record.finalized_at.unwrap_or(0))
    }

    fn matches_times(&self, created_ms: u64, finished_ms: u64) -> bool {
        self.created_from_ms.is_none_or(|from| created_ms >= from)
            && self.created_before_ms.is_none_or(|before| created_ms < before)
            && self.finished_from_ms.is_none_or(|from| finished_ms >= from)
            && self.finished_before_ms.is_none_or(|before| finished_ms < before)
    }
}

/// Which page of which jobs.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// Which jobs.
    pub filter: Filter,
    /// Only finish numbers below this: the cursor of the page before. `None` for the first page.
    pub before: Option<u64>,
    /// Jobs at most; at least one is returned if any is found in time.
    pub limit: usize,
    /// How long to look before answering with what was found. Default 20 ms; at least one block is looked at.
    pub budget: Duration,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { filter: Filter::default(), before: None, limit: 100, budget: Duration::from_millis(20) }
    }
}

/// A page of finished jobs, possibly short.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Newest finish first.
    pub jobs: Vec<ListedJob>,
    /// Where the next page begins; `None` when everything was looked at.
    pub cursor: Option<u64>,
}

/// A finished job in a page: without its payloads, which [`Archive::get`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedJob {
    /// Its place in the order of finishing.
    pub finish_number: u64,
    /// What is known about it.
    pub record: JobRecord,
}

/// How much an archive holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveCounts {
    /// Jobs that ended with a result.
    pub completed: u64,
    /// Jobs that were cancelled.
    pub cancelled: u64,
    /// Jobs that gave up.
    pub discarded: u64,
    /// Blocks.
    pub blocks: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

impl ArchiveCounts {
    /// Jobs, however they ended.
    pub fn jobs(self) -> u64 {
        self.completed + self.cancelled + self.discarded
    }
}

/// How much one day of an archive holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayCounts {
    /// The UTC day, `YYYY-MM-DD`: the name of its file.
    pub day: String,
    /// Jobs and bytes.
    pub counts: ArchiveCounts,
}

/// What a retention step removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Jobs.
    pub jobs: u64,
    /// Blocks.
    pub blocks: u64,
    /// Bytes on disk.
    pub bytes: u64,
}
