//! The records that attempts logged: found by job, task, worker, logger, level, time, field and text.
//!
//! Every record gets a *sequence number* as it is appended; pages and cursors go by it. What is new is in the *tail*, one
//! file that is written to and, when it has enough, becomes compressed and indexed *blocks* in the files of UTC days. A
//! search goes through the headers of all blocks, which are in memory, then through columns and filters of those that
//! may have something, and unpacks the pieces in which it found rows: read `block` for that, `header` for the bytes, `tail`
//! for the file that is open, `store` and `close` for who does what when, `extent` and `survey` for those who look at the files
//! from outside.
//!
//! Logs are not jobs: what is damaged is passed over and counted, and a full disk refuses them before anything else.

mod attachments;
mod bits;
mod block;
mod build;
mod catalogue;
mod close;
mod columns;
pub(crate) mod extent;
mod filters;
mod fit;
mod header;
pub(crate) mod next;
mod page;
mod rows;
mod scan;
mod store;
mod survey;
pub(crate) mod tail;
mod wanted;

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;
use std::time::Duration;

use lineshaft_wire::{LogFilter, LogRecord};
use serde::{Deserialize, Serialize};

pub use store::DIRECTORY;
pub use store::{Limits, LogStore};
pub use survey::{CheckedLogs, check_logs};

/// Longest record that is kept, bytes as `MessagePack`, after its texts were cut to
/// [`LOG_TEXT_BYTES_MAX`](lineshaft_wire::log_record::LOG_TEXT_BYTES_MAX).
pub const RECORD_BYTES_MAX: usize = 256 << 10;
/// What may be appended at once, bytes as `MessagePack` and what goes around it.
pub const APPEND_BYTES_MAX: usize = 16 << 20;
/// Records of a block at most.
pub const BLOCK_RECORDS_MAX: usize = 4_096;

/// Which records, and how many.
#[derive(Clone, Debug)]
pub struct LogPageRequest {
    /// Which records.
    pub filter: LogFilter,
    /// Only those beyond this one: after it, or before it if the newest come first. `None` begins at the beginning, or at
    /// the end.
    pub after: Option<LogCursor>,
    /// Records at most; 0 is taken as 1. Default 100.
    pub count: usize,
    /// Whether the page goes from new to old. Default `false`.
    pub newest_first: bool,
    /// How long to look before answering with what was found. Default 20 ms; at least one block is looked at.
    pub budget: Duration,
}

impl Default for LogPageRequest {
    fn default() -> Self {
        let (filter, after) = Default::default();
        Self { filter, after, count: 100, newest_first: false, budget: Duration::from_millis(20) }
    }
}

/// Records that were found, possibly fewer than were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPage {
    /// In the order that was asked for.
    pub records: Vec<LogRecord>,
    /// Where the next page begins. Always there if the oldest come first, so that a follower goes on from the end; `None` at
    /// the end if the newest come first.
    pub next: Option<LogCursor>,
    /// Whether there is nothing beyond this page, for now.
    pub is_end: bool,
}

/// A place between records, which stays right whatever is appended or dropped. To be kept and given back, as text or as
/// it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogCursor(u64);

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for LogCursor {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<LogCursor> for u64 {
    fn from(cursor: LogCursor) -> Self {
        cursor.0
    }
}

impl FromStr for LogCursor {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// How much a store of logs holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Records.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Least time of a record, Unix microseconds; `None` if there are none.
    pub oldest_us: Option<u64>,
    /// Blocks found damaged since the store was opened.
    pub damaged_blocks: u64,
}
