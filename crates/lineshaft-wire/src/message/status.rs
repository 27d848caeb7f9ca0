//! The state of the engine, its queues, its workers and its disk.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::CacheReport;

/// Asks for the state of the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {}

/// The state of the engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// Product version.
    pub version: String,
    /// The server's process id.
    pub pid: u32,
    /// Its home.
    pub home: String,
    /// Started by a client's first call.
    pub on_demand: bool,
    /// When it started, Unix milliseconds.
    pub started_at: u64,
    /// The engine's epoch.
    pub epoch: u64,
    /// Newest durable commit.
    pub durable_lsn: u64,
    /// Open connections.
    pub connections: u32,
    /// Finished jobs that the archive holds.
    pub archived: u64,
    /// Resident memory of the server, bytes.
    pub rss_bytes: u64,
    /// Every queue that has jobs or is paused.
    pub queues: Vec<QueueReport>,
    /// Every worker.
    pub workers: Vec<WorkerReport>,
    /// Tasks with jobs available that no connected worker knows.
    pub unknown_tasks: Vec<Arc<str>>,
    /// How the disk of the home is.
    #[serde(default)]
    pub disk: DiskReport,
    /// Finished jobs that the archive does not hold yet.
    #[serde(default)]
    pub unarchived: u64,
    /// So many do that jobs start at the archive's speed.
    #[serde(default)]
    pub archive_behind: bool,
    /// Jobs that ever ended in this home, those of which no history is left included.
    #[serde(default)]
    pub ended: u64,
    /// Backups that are being taken: nothing is removed until they are done.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub backups: u32,
    /// Memory that jobs take, without what few of them have; bytes.
    #[serde(default, skip_serializing_if = "is_no_byte")]
    pub hot_bytes: u64,
    /// What those take that rest in a file, because memory is to be kept for others; bytes.
    #[serde(default, skip_serializing_if = "is_no_byte")]
    pub cold_bytes: u64,
    /// The cache.
    #[serde(default, skip_serializing_if = "CacheReport::is_unused")]
    pub cache: CacheReport,
    /// Tasks with unfinished jobs, those with the most first; at most [`TASK_REPORTS_MAX`](super::TASK_REPORTS_MAX).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskReport>,
}

/// The unfinished jobs of a task in one version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task, with its [version](crate::task).
    pub task: Arc<str>,
    /// Its jobs that have not ended.
    pub unfinished: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_none_of_them(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_no_byte(bytes: &u64) -> bool {
    *bytes == 0
}

/// How the disk of a home is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiskReport {
    /// Whether there is room.
    pub state: DiskState,
    /// Bytes that are free on it.
    pub free_bytes: u64,
    /// Bytes kept back for the ends of jobs while it is full.
    pub reserve_bytes: u64,
    /// Bytes in the files of each directory of the home.
    pub used: Vec<(Arc<str>, u64)>,
}

/// Whether a disk has room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskState {
    /// It has.
    #[default]
    Ok,
    /// Hardly: what is not needed is removed, the oldest history too.
    Low,
    /// No new jobs are taken; what runs can end.
    Full,
}

/// The state of a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueReport {
    /// Name.
    pub name: Arc<str>,
    /// Paused.
    pub paused: bool,
    /// Jobs waiting for a time.
    pub scheduled: u64,
    /// Jobs ready.
    pub available: u64,
    /// Those of them that wait for a worker which knows what their arguments name.
    pub parked: u64,
    /// Jobs leased.
    pub running: u64,
    /// Jobs waiting to be tried again.
    pub retryable: u64,
    /// Finished jobs that the archive does not hold yet.
    pub finished: u64,
}

/// The state of a worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// Name, `host:pid`.
    pub name: Arc<str>,
    /// Process id of its supervisor.
    pub pid: u32,
    /// Children connected.
    pub children: u32,
    /// Leases they hold.
    pub running: u32,
    /// Tasks that they know.
    pub tasks: Vec<Arc<str>>,
    /// Queues that they serve; empty is all.
    pub queues: Vec<Arc<str>>,
    /// The children that were replaced last, at most [`REPLACED_MAX`], the newest at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
}

/// Replaced children of a worker that are remembered.
pub const REPLACED_MAX: usize = 8;

/// A child in whose place there is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its number within the worker.
    pub child: u32,
    /// When it was gone, Unix milliseconds.
    pub at: u64,
    /// Why, in words.
    pub why: Arc<str>,
}
