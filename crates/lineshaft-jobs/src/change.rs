//! What can happen: one change of state each, as written to the journal.
//!
//! Encoded with postcard, so variants and fields are only ever added at the end, and a variant that was released is
//! never changed: a new meaning is a new variant. Payload bytes are not in the change but follow it, in the order in
//! which its [`Stored`] fields stand.

use std::sync::Arc;

use bytemuck::{Pod, Zeroable};
use lineshaft_wire::message::{LockKind, ProcessKey, Rules, Unique};
use lineshaft_wire::{Fence, JobId, Outcome};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::notes::Notes;

/// Where stored bytes lie: in the body of a commit, in a cold file, or in a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Pod, Zeroable)]
#[repr(C)]
pub struct Place {
    /// The commit, the number of the cold file, or the blob's number.
    pub lsn: u64,
    /// Offset in the commit's body. With the bit [`Place::COLD`] the offset in a cold file; [`Place::BLOB`] is a blob.
    pub offset: u32,
    /// Length in bytes; 0 is nothing, wherever it lies.
    pub length: u32,
}

impl Place {
    /// Value of `offset` for a blob.
    pub const BLOB: u32 = u32::MAX;
    /// Bit of `offset` for a cold file; neither commits nor cold files are as large as this.
    pub const COLD: u32 = 1 << 31;
    /// No bytes.
    pub const EMPTY: Self = Self { lsn: 0, offset: 0, length: 0 };

    /// Bytes in a cold file.
    pub const fn cold(file: u64, offset: u32, length: u32) -> Self {
        Self { lsn: file, offset: offset | Self::COLD, length }
    }

    /// Whether the bytes are a blob of their own.
    pub const fn is_blob(self) -> bool {
        self.offset == Self::BLOB
    }

    /// Whether the bytes lie in a commit, which must be kept for them.
    pub const fn is_in_commit(self) -> bool {
        self.length > 0 && self.offset & Self::COLD == 0
    }

    /// Whether the bytes lie in a cold file.
    pub const fn is_cold(self) -> bool {
        self.length > 0 && self.offset & Self::COLD != 0 && self.offset != Self::BLOB
    }
}

/// Bytes that a change brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stored {
    /// This many follow the change.
    Inline(u32),
    /// They are in this blob, durable already.
    Blob {
        /// Number of the blob.
        id: u64,
        /// Its length.
        length: u32,
    },
}

impl Stored {
    /// No bytes.
    pub const NONE: Self = Self::Inline(0);

    /// Bytes that follow the change.
    pub const fn inline_length(self) -> u32 {
        match self {
            Self::Inline(length) => length,
            Self::Blob { .. } => 0,
        }
    }
}

/// A name that is known already, or a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Name {
    /// Number of a known name.
    Known(u32),
    /// The text of one that may be new.
    Text(Arc<str>),
}

/// Rules that are known already, or new ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RulesRef {
    /// Number of known rules.
    Known(u32),
    /// Rules that may be new, and have no handler of failures.
    New(#[serde(with = "crate::rules::plain")] Arc<Rules>),
    /// Rules that may be new, and have one of the first version of its task, down to the last of a row.
    Handled(#[serde(with = "crate::rules::handled")] Arc<Rules>),
    /// Rules that may be new, and have one of whatever version.
    Versioned(#[serde(with = "crate::rules::versioned")] Arc<Rules>),
}

/// A time on one of the two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RunAt {
    /// Unix milliseconds: what a user named.
    Wall(u64),
    /// Logical milliseconds: backoff and snooze.
    Logical(u64),
}

/// The request that a change answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The session.
    pub session: u64,
    /// The request's number in it.
    pub number: u64,
    /// The lowest number that the client still waits for.
    pub lowest: u64,
}

/// Jobs that differ in nothing but their arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJobs {
    /// The task.
    pub task: Name,
    /// The queue.
    pub queue: Name,
    /// How they are run.
    pub rules: RulesRef,
    /// 1 to 9.
    pub priority: u8,
    /// When they may first run.
    pub run_at: Option<RunAt>,
    /// When they must have begun, Unix milliseconds.
    pub expires_ms: Option<u64>,
    /// When they must have ended, Unix milliseconds.
    pub deadline_ms: Option<u64>,
    /// Keeps equal jobs out.
    pub unique: Option<Unique>,
    /// Answers with the same job.
    pub idempotency_key: Option<Arc<str>>,
    /// Free labels.
    pub tags: Vec<Name>,
    /// What they carry beside their calls.
    pub notes: Notes,
    /// The finished job that this one repeats.
    pub retry_of: Option<JobId>,
    /// The arguments of each.
    pub arguments: Vec<Stored>,
}

/// An attempt that returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// The job's slot.
    pub slot: u32,
    /// When the body began, Unix milliseconds.
    pub started_ms: u64,
    /// Milliseconds until it returned.
    pub took_ms: u64,
    /// What it returned.
    pub result: Stored,
    /// What it printed.
    pub output: Stored,
}

/// A payload that lies somewhere else from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The job's slot.
    pub slot: u32,
    /// Where the payload lay.
    pub from: Place,
    /// Its offset in the cold file.
    pub offset: u32,
}

/// One who gets a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewHolder {
    /// Its client's session.
    pub session: u64,
    /// What its client calls it.
    pub token: u64,
    /// What kind of lock.
    pub kind: LockKind,
    /// The lock's name.
    pub key: Arc<str>,
    /// How many may hold the lock with it, itself included.
    pub permits: u32,
    /// How long it is held without renewal, milliseconds.
    pub ttl_ms: u64,
    /// Its program, for people.
    pub program: Arc<str>,
    /// Its process id, for people.
    pub pid: u32,
    /// Which thread or coroutine of the session it is; 0 if that is not known.
    pub party: u64,
    /// How many of those who were given it together came before it.
    pub place: u32,
}

/// An entry of the cache, without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedValue {
    /// Its name.
    pub key: Arc<str>,
    /// Names under which it is invalidated together with others.
    pub tags: Vec<Arc<str>>,
    /// When its time is over, Unix milliseconds.
    pub due_ms: Option<u64>,
    /// How long it is served beyond that, milliseconds.
    pub stale_ms: u64,
    /// How long it stays without a use, milliseconds.
    pub idle_ms: Option<u64>,
    /// What was invalidated last when its computing began.
    pub since: u64,
}

/// A value of the cache that lies somewhere else from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedValue {
    /// Of which entry.
    pub key: Arc<str>,
    /// Where it lay.
    pub from: Place,
    /// Its offset in the cold file.
    pub offset: u32,
}

/// What becomes of a job whose attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    /// It runs again at once, before those that came after it.
    Available,
    /// It is tried again at this logical time.
    Retry(u64),
    /// It was put off until this logical time.
    Snooze(u64),
    /// It is over, cancelled.
    Cancel(Arc<str>),
    /// It gave up.
    Discard(Arc<str>),
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// The clocks of this commit: the first change of each.
    Clock {
        /// Unix milliseconds.
        wall_ms: u64,
        /// Logical milliseconds.
        logical_ms: u64,
    },
    /// The engine started.
    Started {
        /// Greater than every epoch before.
        epoch: u64,
        /// Random number of this run, so that two runs never pass for one.
        nonce: u64,
    },
    /// A client's session begins; its number is the next one.
    SessionOpened,
    /// A session's outcomes are forgotten.
    SessionClosed {
        /// The session.
        session: u64,
    },
    /// Jobs were enqueued.
    Enqueued {
        /// The request.
        request: Request,
        /// The new jobs.
        groups: Vec<NewJobs>,
        /// Positions, in the request, of jobs that were there already.
        existing: Vec<(u32, JobId)>,
    },
    /// A request that made no job was carried out by the changes before this one.
    Answered {
        /// The request.
        request: Request,
        /// The job's state afterwards, its number in [`lineshaft_wire::JobState`].
        state: Option<u8>,
        /// Running and asked to stop.
        cancelling: bool,
        /// Jobs touched.
        jobs: u64,
    },
    /// A child is known.
    ChildAttached {
        /// Its number in the engine.
        child: u32,
        /// Its worker.
        worker: u64,
        /// The worker's name.
        name: Arc<str>,
        /// Its number in the worker.
        number: u32,
        /// Its process.
        process: ProcessKey,
    },
    /// A child is gone and holds no lease.
    ChildGone {
        /// Its number in the engine.
        child: u32,
    },
    /// Jobs were leased to a child; the fences are the next ones, in order.
    Leased {
        /// The child.
        child: u32,
        /// The jobs' slots.
        slots: Vec<u32>,
    },
    /// Leased jobs were handed back before they began.
    Released {
        /// The jobs' slots.
        slots: Vec<u32>,
    },
    /// Attempts returned: their jobs are completed. Result and output of each follow.
    Succeeded {
        /// The attempts.
        ends: Vec<Success>,
    },
    /// An attempt ended otherwise. Its error record and its output follow.
    Ended {
        /// The job's slot.
        slot: u32,
        /// How the attempt ended.
        outcome: Outcome,
        /// When the body began, Unix milliseconds.
        started_ms: u64,
        /// When it ended.
        finished_ms: u64,
        /// What went wrong, an encoded error record.
        error: Stored,
        /// What it printed.
        output: Stored,
        /// What becomes of the job.
        next: Next,
    },
    /// Waiting jobs became available.
    Promoted {
        /// The jobs' slots.
        slots: Vec<u32>,
    },
    /// A running job shall stop.
    CancelMarked {
        /// The job's slot.
        slot: u32,
    },
    /// Jobs that did not run were cancelled.
    Cancelled {
        /// The jobs' slots.
        slots: Vec<u32>,
        /// Why.
        reason: Arc<str>,
    },
    /// The oldest finished jobs are in the archive: their slots are free.
    Archived {
        /// How many.
        count: u32,
    },
    /// A finished job is forgotten.
    Deleted {
        /// The job.
        job: JobId,
        /// When it ended, Unix milliseconds.
        finalized_ms: u64,
    },
    /// Forgotten jobs whose blocks are gone need no mark any more.
    DeletedDropped {
        /// Those that ended before this time, Unix milliseconds.
        finalized_before_ms: u64,
    },
    /// A queue was paused or resumed.
    QueuePaused {
        /// The queue.
        queue: Name,
        /// Paused.
        paused: bool,
    },
    /// A purge of a queue began: it touches the jobs that came before this.
    PurgeStarted {
        /// The queue.
        queue: Name,
    },
    /// A purge came to its end.
    PurgeEnded {
        /// The queue's name.
        queue: u32,
    },
    /// Idempotency keys lived their time.
    KeysExpired {
        /// The keys.
        keys: Vec<Arc<str>>,
    },
    /// A leased job was handed back because its worker does not know something that it names.
    Parked {
        /// The job's slot.
        slot: u32,
        /// What is missing.
        missing: Arc<str>,
    },
    /// Jobs that did not run gave up.
    Discarded {
        /// The jobs' slots.
        slots: Vec<u32>,
        /// Why.
        reason: Arc<str>,
    },
    /// Unique keys were held for their periods.
    PeriodsEnded {
        /// The keys.
        keys: Vec<Arc<str>>,
    },
    /// Jobs gave up in this commit, and others were made to handle that. Their arguments follow.
    Spawned {
        /// The new jobs.
        jobs: NewJobs,
        /// The slots of those that gave up, one for each new job.
        failed: Vec<u32>,
    },
    /// A job goes on from here at its next attempt. The value follows.
    Checkpointed {
        /// The job's slot.
        slot: u32,
        /// An encoded value.
        value: Stored,
    },
    /// A leased job was handed back before its body was called, and waits.
    PutOff {
        /// The job's slot.
        slot: u32,
        /// Until this logical time.
        until_ms: u64,
        /// What was missing.
        reason: Arc<str>,
    },
    /// The numbers of sessions go on from here: those up to it may have been given by a history that is gone.
    SessionsFrom {
        /// The number of the next session, unless it is greater already.
        next: u64,
    },
    /// Payloads were copied into a cold file, which is durable already, and are read there from now on.
    Moved {
        /// Number of the file.
        file: u64,
        /// The payloads.
        moves: Vec<Move>,
    },
    /// The numbers of finished jobs go on behind this one: those up to it are in an archive that outlived the journal.
    FinishedFrom {
        /// The greatest number there.
        number: u64,
    },
    /// From now on new jobs take free places in the order of their numbers; before, in that in which they became free.
    PlacesSwept,
    /// An engine has started: every known child is absent until it attaches, from now on unless it was already.
    ChildrenAbsent,
    /// A child that was absent has attached.
    ChildReturned {
        /// Its number in the engine.
        child: u32,
    },
    /// The engine stood still, and could not have heard anybody attach: whoever is absent is so from later on.
    AbsencesCredited {
        /// So much later, in milliseconds of the logical clock.
        still_ms: u64,
    },
    /// A lock was given; the fence is the next one.
    Locked {
        /// To whom.
        holder: NewHolder,
    },
    /// Locks are held no more.
    Unlocked {
        /// Fences of their holders.
        fences: Vec<u64>,
        /// They were taken away: their time was over, or somebody broke them.
        taken: bool,
    },
    /// All parties of a barrier were given it; their fences are the next ones.
    BarrierOpened {
        /// To whom, in the order in which they came.
        holders: Vec<NewHolder>,
    },
    /// A turn at a limiter was taken.
    Passed {
        /// The limiter.
        limiter: Arc<str>,
        /// When the next turn would be if all came evenly, logical nanoseconds.
        next_ns: u64,
    },
    /// Keys of cached results are free, whether their jobs are unfinished or completed: nobody is answered with those.
    KeysFreed {
        /// The keys.
        keys: Vec<Arc<str>>,
    },
    /// Entries are in the cache, in place of those that their keys had. Their values follow.
    EntriesStored {
        /// The entries, and their values.
        entries: Vec<(CachedValue, Stored)>,
    },
    /// Entries of the cache are gone: their time was over, or room was needed.
    EntriesGone {
        /// Their keys.
        keys: Vec<Arc<str>>,
    },
    /// Entries of the cache are untrue, and what is being computed for them: it is the next version. Before entries that
    /// are put without a ticket it takes the place of those that their keys had.
    EntriesInvalidated {
        /// By their keys.
        keys: Vec<Arc<str>>,
        /// By tags that they have.
        tags: Vec<Arc<str>>,
        /// All of them.
        all: bool,
    },
    /// Values of the cache were copied into a cold file, which is durable already, and are read there from now on.
    EntriesMoved {
        /// Number of the file.
        file: u64,
        /// The values.
        moves: Vec<MovedValue>,
    },
    /// What attempts took that have ended just before, each the newest of its job.
    Measured {
        /// The jobs' slots, and what it was.
        attempts: Vec<(u32, Account)>,
    },
    /// Waiting jobs became available, and remember when: in place of [`Promoted`](Self::Promoted).
    Readied {
        /// The jobs' slots.
        slots: Vec<u32>,
    },
}

impl Change {
    /// Bytes that follow the change in the commit.
    pub fn inline_length(&self) -> u64 {
        self.stored().map(|stored| u64::from(stored.inline_length())).sum()
    }

    /// Everything that the change brings along.
    pub fn stored(&self) -> impl Iterator<Item = Stored> + '_ {
        let groups = match self {
            Self::Enqueued { groups, .. } => groups,
            Self::Spawned { jobs, .. } => std::slice::from_ref(jobs),
            _ => &[],
        };
        let ends = if let Self::Succeeded { ends } = self { &ends[..] } else { &[] };
        let ended = if let Self::Ended { error, output, .. } = self { Some([*error, *output]) } else { None };
        let checkpoint = if let Self::Checkpointed { value, .. } = self { Some(*value) } else { None };
        let entries = if let Self::EntriesStored { entries } = self { &entries[..] } else { &[] };
        let arguments = groups.iter().flat_map(|group| group.arguments.iter().copied());
        let results = ends.iter().flat_map(|end| [end.result, end.output]);
        let values = entries.iter().map(|(_, value)| *value);
        arguments.chain(results).chain(ended.into_iter().flatten()).chain(checkpoint).chain(values)
    }

    /// Appends the change to a commit's body.
    pub fn encode(&self, body: &mut Vec<u8>) {
        let taken = std::mem::take(body);
        *body = postcard::to_extend(self, taken).expect("a vector takes every change");
    }

    /// Reads one change off the front of `bytes`; what is left begins with its payloads.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), postcard::Error> {
        postcard::take_from_bytes(bytes)
    }
}

/// A lease as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) fence: Fence,
    pub(crate) child: u32,
    pub(crate) leased_ms: u64,
}
