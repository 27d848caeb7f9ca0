//! The message set: one struct per kind of frame, the same for every client and worker.
//!
//! A message is the `MessagePack` map of its struct; payloads (arguments, results, outputs) travel behind the map, one
//! after the other in the order in which the map lists their lengths. Lists that carry one entry per job are arrays
//! of arrays, because at a hundred thousand jobs a second the names of fields are most of a map.
//!
//! The request id of the frame header pairs a reply with its request; a push from the server carries the id of the
//! request that asked for it, or 0.

use std::ops::Not;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::id::{Fence, JobId};
use crate::record::{ErrorRecord, JobRecord, JobState, Outcome};

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
/// The greatest version of a task.
pub const VERSION_MAX: u32 = i32::MAX as u32;
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
    /// Answer to [`Cancel`], [`Delete`] and the queue verbs.
    24 Changed,

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
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest and newest protocol understood.
    pub protocol: (u16, u16),
    /// Product version.
    pub version: String,
    /// The connecting program.
    pub executable: String,
    /// Its process id.
    pub pid: u32,
    /// The session to go on with.
    pub session: Option<u64>,
    /// Opens a new session if `session` is `None` or not known any more; mutating requests need one.
    pub open_session: bool,
    /// The home's token or an API key; only on TCP.
    pub token: Option<String>,
    /// Asks an older server to hand over: if it was started on demand and has nothing to do, it ends instead of
    /// welcoming a newer client, which starts its own. Only on the Unix socket.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub hand_over: bool,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol of this connection.
    pub protocol: u16,
    /// Product version.
    pub version: String,
    /// The server's executable.
    pub executable: String,
    /// Its process id.
    pub pid: u32,
    /// The home it serves.
    pub home: String,
    /// Started by a client's first call rather than by hand.
    pub on_demand: bool,
    /// The engine's epoch; another one means that it restarted.
    pub epoch: u64,
    /// The session, if one was asked for.
    pub session: Option<u64>,
    /// Bytes of one frame.
    pub frame_bytes_max: u32,
    /// Bytes of one payload.
    pub payload_bytes_max: u64,
    /// Mutating requests that may be unanswered at once.
    pub window: u64,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// The bytes are not the protocol's.
    BadFrame,
    /// The request makes no sense as it stands.
    BadRequest,
    /// No common protocol.
    VersionMismatch,
    /// The token is missing or wrong.
    NotAuthorised,
    /// No such job.
    JobNotFound,
    /// The job ended, but its result is no longer kept.
    ResultExpired,
    /// The job is in a state that does not allow it.
    WrongState,
    /// A table of the engine is full.
    QueueFull,
    /// The disk is full.
    StoreFull,
    /// Nobody can say any more whether the request was carried out.
    OutcomeUnknown,
    /// A payload, name or number over its limit.
    TooLarge,
    /// The connection read too slowly for what it asked for.
    TooSlow,
    /// The server is stopping.
    ShuttingDown,
    /// The engine failed; the server's log says more.
    Internal,
}

/// A request was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// What kind of refusal.
    pub code: RefusalCode,
    /// What happened and to what.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Keeps session and connection alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ping {}

/// It was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {}

/// Place of a mutating request in its session; repeated unchanged when the request is resent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The request's number in its session, from 1.
    pub number: u64,
    /// The lowest number that the client still waits for; older outcomes are forgotten.
    pub lowest: u64,
}

/// The rules by which a job is run; equal ones are kept once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rules {
    /// Errored and timed-out attempts after which it gives up: retries + 1. 1 to 10,000.
    pub max_attempts: u32,
    /// Crashes after which it gives up. 1 to 100.
    pub max_crashes: u32,
    /// Milliseconds an attempt may take from its beginning; `None` is no limit.
    pub timeout_ms: Option<u64>,
    /// Backoff before the first retry; doubles with each, full jitter.
    pub backoff_first_ms: u64,
    /// Longest backoff.
    pub backoff_max_ms: u64,
    /// Canonical class names that are retried; empty is every `Exception`.
    pub retry_on: Vec<String>,
    /// Canonical class names that are never retried.
    pub retry_never: Vec<String>,
    /// Never run twice, rather lost: no retry on error, crash or loss.
    pub at_most_once: bool,
    /// Whether the result is kept.
    pub keep_result: bool,
    /// How long the result is kept after the end.
    pub result_ttl_ms: u64,
    /// The job that is made when this one is discarded, in the same commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<Arc<OnFailure>>,
}

/// The handler of a job that gave up: a job whose one argument is the failed one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OnFailure {
    /// Name of the task.
    pub task: Arc<str>,
    /// Name of the queue.
    pub queue: Arc<str>,
    /// 1 (first) to 9.
    pub priority: u8,
    /// Milliseconds from the failure until it must have begun, if it must.
    pub expires_ms: Option<u64>,
    /// Milliseconds from the failure until it must have ended, if it must.
    pub deadline_ms: Option<u64>,
    /// Free labels.
    pub tags: Vec<Arc<str>>,
    /// How it is run, and what is made of it if it gives up too: at most [`ON_FAILURE_DEPTH_MAX`] in a row.
    pub rules: Arc<Rules>,
    /// The version of the task that it is made for, from 1.
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub version: u32,
}

const fn first_version() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_first_version(version: &u32) -> bool {
    *version == 1
}

impl Rules {
    /// The handler of a failure, the handler of that one's failure, and so on.
    pub fn handlers(&self) -> impl Iterator<Item = &OnFailure> {
        std::iter::successors(self.on_failure.as_deref(), |handler| handler.rules.on_failure.as_deref())
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            max_crashes: 3,
            timeout_ms: Some(3_600_000),
            backoff_first_ms: 1_000,
            backoff_max_ms: 600_000,
            retry_on: Vec::new(),
            retry_never: Vec::new(),
            at_most_once: false,
            keep_result: true,
            result_ttl_ms: 86_400_000,
            on_failure: None,
        }
    }
}

/// A time for a job: when it may first run, must have begun, must have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunAfter {
    /// Unix milliseconds.
    At(u64),
    /// Milliseconds from when the engine reads it.
    In(u64),
}

/// How long a unique key keeps others out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniqueWhile {
    /// Until the job is finished.
    Unfinished,
    /// Until the job first runs.
    Queued,
}

/// At most one job with this key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unique {
    /// The key; the client computes it from task and arguments.
    pub key: Arc<str>,
    /// How long.
    pub while_: UniqueWhile,
    /// Milliseconds from the enqueue for which the key keeps others out in any case, even if the job has ended.
    pub period_ms: Option<u64>,
}

/// Jobs that differ in nothing but their arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobGroup {
    /// Name of the task.
    pub task: Arc<str>,
    /// Name of the queue.
    pub queue: Arc<str>,
    /// 1 (first) to 9.
    pub priority: u8,
    /// How they are run.
    pub rules: Arc<Rules>,
    /// When they may first run.
    pub run_after: Option<RunAfter>,
    /// When they must have begun: one whose first attempt has not is discarded.
    pub expires: Option<RunAfter>,
    /// When they must have ended, retries included: no attempt goes on after it.
    pub deadline: Option<RunAfter>,
    /// Keeps equal jobs out; only with one job.
    pub unique: Option<Unique>,
    /// The same key answers with the same job, for 24 hours; only with one job.
    pub idempotency_key: Option<Arc<str>>,
    /// Free labels.
    pub tags: Vec<Arc<str>>,
    /// Free text.
    pub metadata: Option<Arc<str>>,
    /// Length of each job's arguments.
    pub lengths: Vec<u32>,
}

/// Makes jobs, all or none; their arguments follow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Enqueue {
    /// Place in the session.
    pub sequence: Sequence,
    /// The jobs.
    pub groups: Vec<JobGroup>,
}

/// The jobs made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Enqueued {
    /// 16 bytes per job, in the order of the request.
    pub ids: ByteBuf,
    /// Positions of those that were there already (unique or idempotency key).
    pub existing: Vec<u32>,
}

/// Asks to be told when jobs end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// 16 bytes per job.
    pub ids: ByteBuf,
    /// Whether results come along.
    pub results: bool,
}

/// Some of the jobs waited for have ended; results follow in the order of `completed`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// Id and length of the result; a length of `u64::MAX` says that the result is no longer kept (or never was).
    pub completed: Vec<(JobId, u64)>,
    /// Those that ended without a result.
    pub failed: Vec<EndedJob>,
    /// Ids that nobody knows.
    pub missing: Vec<JobId>,
    /// Whether all have been answered now.
    pub last: bool,
}

/// [`Ended::completed`] length of a result that is no longer kept.
pub const RESULT_EXPIRED: u64 = u64::MAX;

/// A job that ended without a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndedJob {
    /// The job.
    pub id: JobId,
    /// Its task.
    pub task: Arc<str>,
    /// `cancelled` or `discarded`.
    pub state: JobState,
    /// Why, as in [`JobRecord::reason`].
    pub reason: Option<Arc<str>>,
    /// Number of the last attempt, 0 if none began.
    pub attempt: u32,
    /// How the last attempt ended.
    pub outcome: Option<Outcome>,
    /// What went wrong in it.
    pub error: Option<ErrorRecord>,
    /// The end of what it printed, at most 4 KiB; only of crashed and timed-out attempts.
    #[serde(with = "serde_bytes")]
    pub output: Vec<u8>,
}

/// Gives up the [`Wait`] with this request id.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unwait {
    /// Request id of the wait.
    pub request: u64,
}

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

/// Cancels a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancel {
    /// Place in the session.
    pub sequence: Sequence,
    /// The job.
    pub job: JobId,
}

/// Runs a `retryable` or `scheduled` job now; makes a new job of a finished one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Place in the session.
    pub sequence: Sequence,
    /// The job.
    pub job: JobId,
}

/// Forgets a finished job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delete {
    /// Place in the session.
    pub sequence: Sequence,
    /// The job.
    pub job: JobId,
}

/// What a change came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// The job's state after it, for changes of a job.
    pub state: Option<JobState>,
    /// Running, and asked to stop.
    pub cancelling: bool,
    /// Jobs touched, for changes of a queue (a purge goes on in the background).
    pub jobs: u64,
}

/// What to do with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueVerb {
    /// Lease none of its jobs.
    Pause,
    /// Lease them again.
    Resume,
    /// Cancel all of its jobs that do not run.
    Purge,
}

/// Pauses, resumes or purges a queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeQueue {
    /// Place in the session.
    pub sequence: Sequence,
    /// Name of the queue.
    pub queue: Arc<str>,
    /// What to do.
    pub verb: QueueVerb,
}

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
}

/// Asks what a task's declaration says of its jobs, for who knows the task by its name alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Describe {
    /// Name of the task.
    pub task: Arc<str>,
}

/// What the worker said that attached last and knows the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Described {
    /// `None` if no worker has said anything of it since the server started.
    pub declared: Option<Declared>,
}

/// What a task's declaration says of its jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// What a job of it is made with, as for a handler of failures.
    pub job: Arc<OnFailure>,
    /// Its jobs have a unique key, which only the language of the declaration computes from their arguments.
    pub is_unique: bool,
}

/// Asks that no file of the home is removed or written over which a copy of its present state needs: for a backup.
///
/// They are held until [`KeepFiles`] says that it is done, the connection ends, a minute passes without [`KeepFiles`],
/// or the disk has no room. A connection holds them once; asking again begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HoldFiles {}

/// Files are held. A copy taken from now on has everything up to commit `lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilesHeld {
    /// The newest commit that the copy is to have; everything answered before [`HoldFiles`] is in it or before it.
    pub lsn: u64,
    /// That commit's CRC, which checks the commits before it too.
    pub crc: u32,
    /// Number of the oldest segment that belongs to the copy.
    pub first_segment: u64,
    /// Number of the segment with that commit, the newest one that belongs to the copy.
    pub last_segment: u64,
    /// Where in that segment the commit ends: what follows does not belong to the copy.
    pub last_segment_bytes: u64,
}

/// Still copying what is held, or done with it. Answered by [`Done`] if it was held all the time, else refused with
/// [`RefusalCode::WrongState`]: the copy may lack something.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeepFiles {
    /// [`FilesHeld::lsn`].
    pub lsn: u64,
    /// Nothing needs to be held any more.
    pub done: bool,
}

/// Asks the server to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shutdown {
    /// Only if the server was started on demand.
    pub on_demand_only: bool,
}

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
    /// Tasks that it runs; [`Leases`] name them by position.
    pub tasks: Vec<Arc<str>>,
    /// Queues that it serves; empty is all.
    pub queues: Vec<Arc<str>>,
    /// Leases that it holds already.
    pub held: Vec<(JobId, Fence)>,
    /// What the declarations of its tasks say, for [`Describe`]; at most one for each task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<Declared>,
}

/// The child is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChildAttached {
    /// Milliseconds without renewal after which its leases end; it kills its attempts before that.
    pub lease_ms: u64,
    /// Of the leases held, those that are no longer its own: stop them, report nothing.
    pub stale: Vec<Fence>,
}

/// This child may hold `leases` more leases than it has been given so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credit {
    /// How many more.
    pub leases: u32,
    /// Takes unused credit back first, so that `leases` is all there is.
    pub reset: bool,
}

/// Jobs leased to this child; their arguments follow, then the checkpoints of those that have one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leases {
    /// Epoch of their fences.
    pub epoch: u64,
    /// The jobs.
    pub jobs: Vec<Lease>,
    /// Position in `jobs` of each that an earlier attempt left a checkpoint for, ascending, and its length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<(u32, u32)>,
    /// Position in `jobs` of each that has a retry left: an attempt that errors or times out is not its last one.
    /// Ascending; `None` if the server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<Vec<u32>>,
}

/// One leased job: an array, since there is one per job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "LeaseRow", into = "LeaseRow")]
pub struct Lease {
    /// The job.
    pub job: JobId,
    /// Counter of its fence.
    pub counter: u64,
    /// Position of its task in [`AttachChild::tasks`].
    pub task: u32,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// Milliseconds it may take; 0 is no limit.
    pub timeout_ms: u64,
    /// Whether its result is kept.
    pub keep_result: bool,
    /// Length of its arguments.
    pub length: u64,
}

type LeaseRow = (JobId, u64, u32, u32, u64, bool, u64);

impl From<LeaseRow> for Lease {
    fn from((job, counter, task, attempt, timeout_ms, keep_result, length): LeaseRow) -> Self {
        Self { job, counter, task, attempt, timeout_ms, keep_result, length }
    }
}

impl From<Lease> for LeaseRow {
    fn from(lease: Lease) -> Self {
        let Lease { job, counter, task, attempt, timeout_ms, keep_result, length } = lease;
        (job, counter, task, attempt, timeout_ms, keep_result, length)
    }
}

/// Attempts that ended; for each in the order of `succeeded`, then `others`, its result and its output follow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    /// Those that returned.
    pub succeeded: Vec<Succeeded>,
    /// Those that did not.
    pub others: Vec<OtherEnd>,
}

/// An attempt that returned: an array, since there is one per job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "SucceededRow", into = "SucceededRow")]
pub struct Succeeded {
    /// The job.
    pub job: JobId,
    /// The attempt's fence.
    pub fence: Fence,
    /// When the body began, Unix milliseconds.
    pub started_at: u64,
    /// When it returned.
    pub finished_at: u64,
    /// Length of the result.
    pub result_length: u64,
    /// Length of what it printed.
    pub output_length: u32,
}

type SucceededRow = (JobId, u64, u64, u64, u64, u64, u32);

impl From<SucceededRow> for Succeeded {
    fn from(
        (job, epoch, counter, started_at, finished_at, result_length, output_length): SucceededRow,
    ) -> Self {
        Self { job, fence: Fence { epoch, counter }, started_at, finished_at, result_length, output_length }
    }
}

impl From<Succeeded> for SucceededRow {
    fn from(end: Succeeded) -> Self {
        let Fence { epoch, counter } = end.fence;
        (end.job, epoch, counter, end.started_at, end.finished_at, end.result_length, end.output_length)
    }
}

/// How an attempt ended that did not return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It raised; `retry_after_ms` if the task said when to try again.
    Errored {
        /// What it raised.
        error: ErrorRecord,
        /// The delay that the task asked for; overrides backoff, not `max_attempts`.
        retry_after_ms: Option<u64>,
    },
    /// It must not be tried again whatever the rules say: its arguments or checkpoint do not bind or decode, its result does not
    /// encode, its app does not import.
    Rejected {
        /// The discard reason: `arguments_undecodable`, `checkpoint_undecodable`, `result_unencodable`.
        reason: Arc<str>,
        /// What was wrong.
        error: ErrorRecord,
    },
    /// The task put itself off.
    Snoozed {
        /// For how long.
        delay_ms: u64,
    },
    /// The task cancelled itself.
    CancelledItself {
        /// Why.
        reason: Arc<str>,
    },
    /// It never began: its arguments name something that this worker does not know. Counts against nothing; the job
    /// waits for another worker.
    Parked {
        /// What is missing, in words: `type shop.Order`.
        missing: Arc<str>,
    },
    /// It was stopped because it ran too long.
    TimedOut {
        /// What it said while unwinding.
        error: ErrorRecord,
    },
    /// It was stopped because the job was cancelled.
    Cancelled,
    /// The process died under it.
    Crashed {
        /// Signal or exit status, peak memory.
        error: ErrorRecord,
    },
    /// The worker gave it back though it had begun: its process was ended for the sake of another attempt, or the
    /// worker stopped before it returned. It counts against nothing.
    Released,
    /// The worker had to give it up, because its lease could not be renewed or it may not begin again. It counts against
    /// nothing.
    Lost {
        /// What happened.
        error: ErrorRecord,
    },
    /// Its body was not called: something that it needs is missing in this worker for now. No attempt is used; the job
    /// waits for a while, and expires meanwhile if it has to.
    PutOff {
        /// For how long.
        delay_ms: u64,
        /// What is missing, in words.
        reason: Arc<str>,
    },
}

/// An attempt that did not return.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherEnd {
    /// The job.
    pub job: JobId,
    /// The attempt's fence.
    pub fence: Fence,
    /// When the body began, Unix milliseconds.
    pub started_at: u64,
    /// When it ended.
    pub finished_at: u64,
    /// How.
    pub end: End,
    /// Length of what it printed (it has no result).
    pub output_length: u32,
}

/// The ends, or the checkpoint, are durable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// Those refused because the lease was no longer the child's.
    pub refused: Vec<(JobId, Fence)>,
}

/// Attempts that never began, handed back: they count against nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The leases.
    pub leases: Vec<(JobId, Fence)>,
}

/// The leases of this connection's child live on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Renew {}

/// Why an attempt must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The job was cancelled.
    Cancelled,
    /// The lease is somebody else's by now: stop, report nothing.
    Stale,
}

/// An attempt must stop.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// Number of the child within the worker.
    pub child: u32,
    /// The attempt.
    pub fence: Fence,
    /// Why.
    pub reason: StopReason,
}

/// A child of this worker is dead, and its process group empty. The outputs of the begun attempts follow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChildEnded {
    /// Number of the child within the worker.
    pub child: u32,
    /// The attempts that were running, and how they ended.
    pub begun: Vec<OtherEnd>,
    /// The newest lease that the child had taken up. Later ones never began and are handed back. Of the earlier ones
    /// the child ran all but `unbegun`, though nobody may have heard how they ended: those are lost.
    pub newest: Option<Fence>,
    /// Leases taken up that never began: handed back too.
    pub unbegun: Vec<Fence>,
}

/// How far a running attempt is; kept in memory only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The job.
    pub job: JobId,
    /// The attempt's fence.
    pub fence: Fence,
    /// An encoded value, at most 4 KiB.
    pub value: ByteBuf,
}

/// From where later attempts of the job go on: replaces the checkpoint before. The encoded value follows, 1 byte to
/// [`CHECKPOINT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The job.
    pub job: JobId,
    /// The attempt's fence.
    pub fence: Fence,
    /// Length of the value.
    pub length: u32,
}
