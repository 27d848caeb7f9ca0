//! Supervisors and children introduce themselves, and say what the declarations of their tasks say.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::rules::OnFailure;
use crate::id::{Fence, JobId};

/// A process, so that a reused pid is not taken for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Process id.
    pub pid: u32,
    /// Its start time in clock ticks since boot.
    pub start_time: u64,
}

/// A supervisor introduces its worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttachWorker {
    /// `host:pid`.
    pub name: Arc<str>,
    /// The supervisor's process.
    pub process: ProcessKey,
    /// Random number of this worker, the same when it attaches again.
    pub nonce: u64,
    /// Children it keeps.
    pub processes: u32,
    /// Grows with each attach of this worker, so that one which is read late does not count; 0 if it is not counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attach: u64,
    /// What its tasks take and give: a [schema](crate::schema) as JSON, of at most
    /// [`SCHEMA_BYTES_MAX`](super::SCHEMA_BYTES_MAX).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Arc<str>>,
}

/// The worker is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerAttached {
    /// Milliseconds without renewal after which a lease ends.
    pub lease_ms: u64,
}

/// A child introduces itself; also after a server restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttachChild {
    /// Nonce of its worker.
    pub worker: u64,
    /// The worker's name.
    pub worker_name: Arc<str>,
    /// Its number within the worker, from 1; a replacement gets a new one.
    pub number: u32,
    /// The child's process.
    pub process: ProcessKey,
    /// Tasks that it runs; [`Leases`](super::Leases) name them by position.
    pub tasks: Vec<Arc<str>>,
    /// Queues that it serves; empty is all.
    pub queues: Vec<Arc<str>>,
    /// Leases that it holds already.
    pub held: Vec<(JobId, Fence)>,
    /// What the declarations of its tasks say, for [`Describe`]; at most one for each task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<Declared>,
    /// Grows with each attach of this child, so that one which is read late does not count; 0 if it is not counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub attach: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(attach: &u64) -> bool {
    *attach == 0
}

/// The child is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildAttached {
    /// Milliseconds without renewal after which its leases end; it kills its attempts before that.
    pub lease_ms: u64,
    /// Of the leases held, those that are no longer its own: stop them, report nothing.
    pub stale: Vec<Fence>,
}

/// Asks what a task's declaration says of its jobs, for who knows the task by its name alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Describe {
    /// Name of the task.
    pub task: Arc<str>,
    /// The schemas of all workers are asked for, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub schemas: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// What the worker said that attached last and knows the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// `None` if no worker has said anything of it since the server started.
    pub declared: Option<Declared>,
    /// What the tasks of each worker take and give, as far as it said so and that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<WorkerSchema>,
}

/// What the tasks of a worker take and give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerSchema {
    /// Name of the worker, `host:pid`.
    pub worker: Arc<str>,
    /// [`AttachWorker::schema`].
    pub schema: Arc<str>,
}

/// What a task's declaration says of its jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// What a job of it is made with, as for a handler of failures.
    pub job: Arc<OnFailure>,
    /// Its jobs have a unique key, which only the language of the declaration computes from their arguments.
    pub is_unique: bool,
}
