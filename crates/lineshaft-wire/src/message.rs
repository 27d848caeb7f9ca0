//! The message set: one struct per kind of frame, the same for every client and worker. Here is the table of them all,
//! with the limits; the structs are in a file for each group of verbs.
//!
//! A message is the `MessagePack` map of its struct; payloads (arguments, results, outputs) travel behind the map, one
//! after the other in the order in which the map lists their lengths. Lists that carry one entry per job are arrays
//! of arrays, because at a hundred thousand jobs a second the names of fields are most of a map.
//!
//! The request id of the frame header pairs a reply with its request; a push from the server carries the id of the
//! request that asked for it, or 0.

mod cache;
mod control;
mod enqueue;
mod finish;
mod home;
mod lease;
mod limiter;
mod lock;
mod logs;
mod look;
mod rules;
mod session;
mod status;
mod tasks;
mod wait;
mod worker;

use serde::{Deserialize, Serialize};

pub use cache::{CacheFound, CacheGet, CacheInvalidate, CacheReport, CacheSet, FoundEntry, NewEntry};
pub use control::{Cancel, ChangeQueue, Changed, Delete, QueueVerb, Retry};
pub use enqueue::{Enqueue, Enqueued, Invalidate, JobGroup, RunAfter, Unique, UniqueWhile};
pub use finish::{ChildEnded, End, Finish, Finished, OtherEnd, Succeeded};
pub use home::{FilesHeld, HoldFiles, KeepFiles, Shutdown};
pub use lease::{Checkpoint, Credit, Lease, Leases, Progress, Release, Renew, Stop, StopReason};
pub use limiter::{Pass, Passed};
pub use lock::{
    Acquire, Acquired, BreakLocks, ListLocks, LockHolder, LockKind, LockReport, Locks, LocksBroken,
    LocksLost, ReleaseLocks, RenewLocks,
};
pub use logs::{AddLogs, ListLogs, Logs, ProfileNext};
pub use look::{Fetch, Fetched, Filter, List, Page, PayloadKind, Show, Shown};
pub use rules::{OnFailure, Rules};
pub use session::{Done, Hello, Ping, RefusalCode, Refused, Sequence, Welcome};
pub use status::{
    DiskReport, DiskState, QueueReport, REPLACED_MAX, Replaced, Status, StatusReport, TaskReport,
    WorkerReport,
};
pub use tasks::{ListTasks, Spread, TaskStatistics, Tasks};
pub use wait::{Ended, EndedJob, RESULT_EXPIRED, Unwait, Wait};
pub use worker::{
    AttachChild, AttachWorker, ChildAttached, Declared, Describe, Described, ProcessKey, WorkerAttached,
    WorkerSchema,
};

/// The protocol spoken by this version, and the oldest it understands.
pub const PROTOCOL: u16 = 1;
/// Requests a session may have unanswered, and so outcomes that the engine remembers for it.
pub const WINDOW: u64 = 1024;
/// Jobs in one [`Enqueue`].
pub const BATCH_JOBS_MAX: usize = 16_384;
/// Bytes of one payload before it is refused.
pub const PAYLOAD_BYTES_MAX: u64 = 64 << 20;
/// Bytes of one frame before its connection is closed.
pub const FRAME_BYTES_MAX: u32 = 72 << 20;
/// Leases a child may hold; the largest [`Credit`].
pub const CREDIT_MAX: u32 = 16_384;
/// Bytes of a queue's or task's name, a tag, a unique or an idempotency key.
pub const NAME_BYTES_MAX: usize = 255;
/// What names a queue, a task or a worker, in words.
pub const NAME_FORM: &str = "1 to 255 bytes of letters, digits and _ . : / @ + # -";
/// Bytes of a result or an output that are taken even where the disk is full; larger ones wait for room.
pub const SMALL_END_BYTES: u64 = 16 << 10;
/// Bytes of a checkpoint.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 10;
/// Tags of one job.
pub const TAGS_MAX: usize = 16;
/// Bytes of a job's metadata.
pub const METADATA_BYTES_MAX: usize = 4096;
/// Bytes of a job's context.
pub const CONTEXT_BYTES_MAX: usize = 4096;
/// The greatest version of a task.
pub const VERSION_MAX: u32 = i32::MAX as u32;
/// Longest schema of a worker; of a longer one nothing is kept.
pub const SCHEMA_BYTES_MAX: usize = 1 << 20;
/// Tasks of which a [`StatusReport`] tells how many jobs they have.
pub const TASK_REPORTS_MAX: usize = 1_000;
/// Keys in one [`Invalidate`].
pub const KEYS_MAX: usize = 1_024;
/// Tokens or fences in one message about locks.
pub const LOCK_TOKENS_MAX: usize = 1_024;
/// Shortest time that a lock is held without renewal, milliseconds: a renewal may be more than a second late.
pub const LOCK_TTL_MS_MIN: u64 = 2_000;
/// Longest time that a lock is held without renewal, milliseconds: a day.
pub const LOCK_TTL_MS_MAX: u64 = 86_400_000;
/// Holders of one lock that are shown.
pub const LOCK_HOLDERS_SHOWN: usize = 100;
/// How many may hold a semaphore.
pub const LOCK_PERMITS_MAX: u32 = 1 << 20;
/// How many may wait for each other at a barrier: all of them are given it in one commit.
pub const BARRIER_PARTIES_MAX: u32 = 1_024;
/// How long it takes at most until a limiter is as new after all of its turns were taken at once, nanoseconds: a year.
pub const PASS_NS_MAX: u64 = 366 * 86_400 * 1_000_000_000;
/// Keys or entries in one message about the cache.
pub const CACHE_KEYS_MAX: usize = 1_024;
/// Tags of one entry of the cache: its own, and those of what it was computed from.
pub const CACHE_TAGS_MAX: usize = 1_024;
/// Keys that one entry of the cache was computed from.
pub const CACHE_SOURCES_MAX: usize = 256;
/// Bytes of the engine's cache that are counted for each entry beside its key, its tags and its value.
pub const CACHE_ENTRY_BYTES: u64 = 200;
/// Records in one [`AddLogs`].
pub const LOG_BATCH_MAX: usize = 4_096;
/// Records in one [`Logs`].
pub const LOG_PAGE_MAX: u32 = 1_000;
/// Tag of jobs whose attempts are profiled.
pub const PROFILE_TAG: &str = "lineshaft:profile";
/// Tag of jobs whose attempts are profiled with the lines that keep memory.
pub const PROFILE_MEMORY_TAG: &str = "lineshaft:profile-memory";
/// Tag of jobs whose attempts are profiled with functions of machine code.
pub const PROFILE_NATIVE_TAG: &str = "lineshaft:profile-native";
/// Logger of the records that have the profile of an attempt as their attachment.
pub const PROFILE_LOGGER: &str = "lineshaft.profile";
/// Attempts in one [`ProfileNext`].
pub const PROFILE_NEXT_MAX: u32 = 10_000;
/// How long a [`ProfileNext`] holds, milliseconds: an hour.
pub const PROFILE_NEXT_MS: u64 = 3_600_000;
/// How many handlers of failures may follow from one job: its own, that one's, and so on.
pub const ON_FAILURE_DEPTH_MAX: usize = 4;

/// Whether `text` can name a queue, a task or a worker: see [`NAME_FORM`]; letters and digits are those of any script.
pub fn is_name(text: &str) -> bool {
    let good = |char: char| char.is_alphanumeric() || "_.:/@+#-".contains(char);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.chars().all(good)
}

/// A message that does not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// No message has this number.
    #[error("frame type {0} is unknown")]
    UnknownType(u8),
    /// The map is not the message that the type announces.
    #[error("{name} does not read: {source}")]
    Malformed {
        /// The message's name.
        name: &'static str,
        /// What the decoder says.
        source: rmp_serde::decode::Error,
    },
}

macro_rules! messages {
    ($($(#[$doc:meta])* $number:literal $name:ident,)*) => {
        /// Any message, as read from a frame.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Message {
            $($(#[$doc])* $name($name),)*
        }

        impl Message {
            /// The frame type of this message.
            pub const fn frame_type(&self) -> u8 {
                match self { $(Self::$name(_) => $number,)* }
            }

            /// The message's name, for logs and errors.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }

            /// Appends the message's map to `buffer`.
            pub fn encode(&self, buffer: &mut Vec<u8>) {
                match self { $(Self::$name(message) => encode_map(message, buffer),)* }
            }

            /// Reads the map of a frame of type `frame_type`.
            pub fn decode(frame_type: u8, map: &[u8]) -> Result<Self, MessageError> {
                match frame_type {
                    $($number => decode_map(map)
                        .map(Self::$name)
                        .map_err(|source| MessageError::Malformed { name: stringify!($name), source }),)*
                    other => Err(MessageError::UnknownType(other)),
                }
            }
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })*
    };
}

impl Message {
    /// Its place in the session, of a request that has one: that changes something, once.
    pub fn sequence(&self) -> Option<Sequence> {
        match self {
            Self::Enqueue(request) => Some(request.sequence),
            Self::Cancel(request) => Some(request.sequence),
            Self::Retry(request) => Some(request.sequence),
            Self::Delete(request) => Some(request.sequence),
            Self::Invalidate(request) => Some(request.sequence),
            Self::ChangeQueue(request) => Some(request.sequence),
            Self::CacheSet(request) => Some(request.sequence),
            Self::CacheInvalidate(request) => Some(request.sequence),
            _ => None,
        }
    }

    /// The same, to be set.
    pub fn sequence_mut(&mut self) -> Option<&mut Sequence> {
        match self {
            Self::Enqueue(request) => Some(&mut request.sequence),
            Self::Cancel(request) => Some(&mut request.sequence),
            Self::Retry(request) => Some(&mut request.sequence),
            Self::Delete(request) => Some(&mut request.sequence),
            Self::Invalidate(request) => Some(&mut request.sequence),
            Self::ChangeQueue(request) => Some(&mut request.sequence),
            Self::CacheSet(request) => Some(&mut request.sequence),
            Self::CacheInvalidate(request) => Some(&mut request.sequence),
            _ => None,
        }
    }
}

fn encode_map<T: Serialize>(message: &T, buffer: &mut Vec<u8>) {
    let mut serializer = rmp_serde::Serializer::new(buffer).with_struct_map();
    message.serialize(&mut serializer).expect("messages have no value that MessagePack lacks");
}

fn decode_map<T: for<'de> Deserialize<'de>>(map: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(map);
    deserializer.set_max_depth(64);
    T::deserialize(&mut deserializer)
}

messages! {
    /// First frame of a connection.
    1 Hello,
    /// Answer to [`Hello`].
    2 Welcome,
    /// A request was refused; with request id 0 the connection closes.
    3 Refused,
    /// Keeps session and connection alive.
    4 Ping,
    /// Answer to [`Ping`] and to requests that have nothing else to say.
    5 Done,

    /// Makes jobs.
    10 Enqueue,
    /// Answer to [`Enqueue`] and [`Retry`].
    11 Enqueued,
    /// Asks to be told when jobs end.
    12 Wait,
    /// Some of the jobs waited for have ended.
    13 Ended,
    /// Gives up a [`Wait`].
    14 Unwait,
    /// Asks for a job's record.
    15 Show,
    /// Answer to [`Show`].
    16 Shown,
    /// Asks for a payload of a job.
    17 Fetch,
    /// Answer to [`Fetch`]: the payload follows.
    18 Fetched,
    /// Asks for a page of jobs.
    19 List,
    /// Answer to [`List`].
    20 Page,
    /// Cancels a job.
    21 Cancel,
    /// Runs a waiting job now, or a finished one again as a new job.
    22 Retry,
    /// Forgets a finished job.
    23 Delete,
    /// Answer to [`Cancel`], [`Delete`], [`Invalidate`], [`CacheSet`], [`CacheInvalidate`] and the queue verbs.
    24 Changed,
    /// Cached results are not answered with any more.
    25 Invalidate,
    /// Asks what the attempts of tasks came to.
    26 ListTasks,
    /// Answer to [`ListTasks`].
    27 Tasks,

    /// Pauses, resumes or purges a queue.
    30 ChangeQueue,
    /// Asks for the state of the engine.
    31 Status,
    /// Answer to [`Status`].
    32 StatusReport,
    /// Asks the server to stop.
    33 Shutdown,
    /// Asks what a task's declaration says of its jobs.
    34 Describe,
    /// Answer to [`Describe`].
    35 Described,
    /// Asks that the files of the home stay as they are, to be copied.
    36 HoldFiles,
    /// Answer to [`HoldFiles`].
    37 FilesHeld,
    /// Still copying, or done with it.
    38 KeepFiles,

    /// A supervisor introduces its worker.
    40 AttachWorker,
    /// Answer to [`AttachWorker`].
    41 WorkerAttached,
    /// A child introduces itself.
    42 AttachChild,
    /// Answer to [`AttachChild`].
    43 ChildAttached,
    /// More jobs may be leased to this child.
    44 Credit,
    /// Jobs leased to this child, pushed.
    45 Leases,
    /// Attempts that ended.
    46 Finish,
    /// Answer to [`Finish`], [`Release`] and [`Checkpoint`].
    47 Finished,
    /// Attempts that never began, handed back.
    48 Release,
    /// This child's leases live on.
    49 Renew,
    /// An attempt must stop, pushed to child and supervisor.
    50 Stop,
    /// A child of this worker is dead, and its process group empty.
    51 ChildEnded,
    /// How far a running attempt is.
    52 Progress,
    /// From where later attempts of a job go on.
    53 Checkpoint,

    /// Asks for a lock.
    60 Acquire,
    /// Answer to [`Acquire`], when the lock is given.
    61 Acquired,
    /// Locks are held on.
    62 RenewLocks,
    /// Gives locks back.
    63 ReleaseLocks,
    /// Answer to [`RenewLocks`] and [`ReleaseLocks`]; also pushed.
    64 LocksLost,
    /// Asks for a page of locks.
    65 ListLocks,
    /// Answer to [`ListLocks`].
    66 Locks,
    /// Takes locks away from their holders.
    67 BreakLocks,
    /// Answer to [`BreakLocks`].
    68 LocksBroken,
    /// Takes a turn at a limiter.
    69 Pass,
    /// Answer to [`Pass`].
    70 Passed,

    /// Looks keys of the cache up.
    80 CacheGet,
    /// Answer to [`CacheGet`]: the values follow.
    81 CacheFound,
    /// Stores values in the cache.
    82 CacheSet,
    /// Makes entries of the cache untrue.
    83 CacheInvalidate,

    /// Records that attempts logged.
    90 AddLogs,
    /// Asks for records that attempts logged.
    91 ListLogs,
    /// Answer to [`ListLogs`].
    92 Logs,
    /// The next attempts of a task are to be profiled.
    93 ProfileNext,
}
