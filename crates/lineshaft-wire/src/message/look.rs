//! Looking at jobs: one record, one payload, a page of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::JobId;
use crate::record::{JobRecord, JobState};

/// Asks for a job's record.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Show {
    /// The job.
    pub job: JobId,
}

/// A job's record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The record.
    pub record: JobRecord,
    /// The newest progress of a running attempt, an encoded value.
    pub progress: Option<ByteBuf>,
}

/// Which payload of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadKind {
    /// The encoded call.
    Arguments,
    /// The encoded result.
    Result,
}

/// Asks for a payload of a job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetch {
    /// The job.
    pub job: JobId,
    /// Which payload.
    pub payload: PayloadKind,
}

/// The payload follows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fetched {
    /// Its length.
    pub length: u64,
}

/// Which jobs; an empty filter is all of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Filter {
    /// Any of these states.
    pub states: Vec<JobState>,
    /// In this queue.
    pub queue: Option<Arc<str>>,
    /// Of this task.
    pub task: Option<Arc<str>>,
    /// With all of these tags.
    pub tags: Vec<Arc<str>>,
    /// Created at or after, Unix milliseconds.
    pub created_from: Option<u64>,
    /// Created before, Unix milliseconds.
    pub created_before: Option<u64>,
}

/// Asks for a page of jobs: unfinished ones first, then finished ones from the newest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Which jobs.
    pub filter: Filter,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Jobs of a page, 1 to 1,000.
    pub limit: u32,
}

/// A page of jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The jobs; may be fewer than asked for, even none, though more follow.
    pub jobs: Vec<JobRecord>,
    /// Where to go on; `None` is the end.
    pub cursor: Option<String>,
}
