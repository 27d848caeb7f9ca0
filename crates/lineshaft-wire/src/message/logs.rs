//! What attempts logged: kept by the engine beside its archive, for whoever looks for it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::log_record::{LogFilter, LogRecord};
use crate::looks::Looks;

/// Records that attempts in a child logged. Answered by [`Done`](super::Done) when they are in a file.
///
/// The records of a child are numbered, so that those which are sent again, by itself or after its death by its
/// supervisor, are taken once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddLogs {
    /// The worker's nonce.
    pub worker: u64,
    /// The child's number.
    pub child: u32,
    /// The number of the first record, from 1 in each child; the others follow.
    pub first: u64,
    /// Up to [`LOG_BATCH_MAX`](super::LOG_BATCH_MAX).
    pub records: Vec<LogRecord>,
}

/// Asks for records, in the order in which the engine got them. Answered by [`Logs`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListLogs {
    /// Which.
    #[serde(default)]
    pub filter: LogFilter,
    /// [`Logs::next`] of the page before; from the beginning, or the end, without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Records of a page, 1 to [`LOG_PAGE_MAX`](super::LOG_PAGE_MAX).
    pub count: u32,
    /// The newest come first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub newest_first: bool,
}

/// Answer to [`ListLogs`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// The records that were found; perhaps fewer than were asked for, since a page takes no longer than some
    /// milliseconds.
    pub records: Vec<LogRecord>,
    /// Where the next page goes on. Without it there is none; the oldest first always have one, for what comes later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Everything that is there has been looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_end: bool,
}

/// The next attempts of a task are to be profiled, as if the jobs had the tag [`PROFILE_TAG`](super::PROFILE_TAG). Answered by
/// [`Done`](super::Done). The engine forgets it after [`PROFILE_NEXT_MS`](super::PROFILE_NEXT_MS), and at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileNext {
    /// The task, in every version.
    pub task: Arc<str>,
    /// How many attempts, up to [`PROFILE_NEXT_MAX`](super::PROFILE_NEXT_MAX), in the place of what was said before; 0 for
    /// none.
    pub count: u32,
    /// How they are looked at; that is plainly if it says nothing.
    #[serde(default, skip_serializing_if = "Looks::is_none")]
    pub looks: Looks,
}
