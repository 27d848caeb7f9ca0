//! What may be asked of the state machine, and the form of its answers.

use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::message::{self, OtherEnd, QueueVerb, RefusalCode, Rules, Sequence};
use lineshaft_wire::{Fence, JobId};

use crate::change::Change;
use crate::decide::Copied;

/// Time and chance, as values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Unix milliseconds.
    pub wall_ms: u64,
    /// Milliseconds of the clock that only runs while the engine does.
    pub logical_ms: u64,
    /// A fresh random number.
    pub random: u64,
}

/// Payload bytes as they came, and which of them are blobs by now.
#[derive(Clone, Debug, Default)]
pub struct Payloads {
    /// All payloads, one after the other.
    pub bytes: Bytes,
    /// Number of the payload, number of its blob.
    pub blobs: Vec<(u32, u64)>,
}

impl From<Bytes> for Payloads {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, blobs: Vec::new() }
    }
}

/// A request to the state machine.
#[derive(Clone, Debug)]
pub enum Command {
    /// Opens a session.
    OpenSession,
    /// Makes jobs.
    Enqueue {
        /// The client's session.
        session: u64,
        /// The jobs.
        request: message::Enqueue,
        /// Their arguments.
        arguments: Payloads,
    },
    /// Cancels a job.
    Cancel {
        /// The client's session.
        session: u64,
        /// The job.
        request: message::Cancel,
    },
    /// Runs a waiting job now, or a finished one again.
    Retry {
        /// The client's session.
        session: u64,
        /// The job.
        request: message::Retry,
    },
    /// Runs a job again that the archive holds.
    RetryArchived {
        /// The client's session.
        session: u64,
        /// Place in the session.
        sequence: Sequence,
        /// The job.
        archived: ArchivedCall,
    },
    /// Forgets a finished job.
    Delete {
        /// The client's session.
        session: u64,
        /// The job.
        request: message::Delete,
        /// When it ended, if the archive holds it.
        archived: Option<u64>,
    },
    /// Pauses, resumes or purges a queue.
    ChangeQueue {
        /// The client's session.
        session: u64,
        /// Place in the session.
        sequence: Sequence,
        /// Name of the queue.
        queue: Arc<str>,
        /// What to do.
        verb: QueueVerb,
    },
    /// Lets go of cached results.
    Invalidate {
        /// The client's session.
        session: u64,
        /// Which.
        request: message::Invalidate,
    },
    /// A child introduces itself.
    AttachChild(message::AttachChild),
    /// Attempts ended.
    Finish {
        /// The child.
        child: u32,
        /// The attempts.
        finish: message::Finish,
        /// Result and output of each.
        payloads: Payloads,
    },
    /// A running attempt says from where the next one goes on.
    Checkpoint {
        /// The child.
        child: u32,
        /// The attempt.
        checkpoint: message::Checkpoint,
        /// The encoded value.
        value: Bytes,
    },
    /// Attempts that never began are handed back.
    Release {
        /// The child.
        child: u32,
        /// The leases.
        leases: Vec<(JobId, Fence)>,
    },
    /// A child is dead, says its supervisor.
    ChildEnded {
        /// Nonce of the worker.
        worker: u64,
        /// The child's number in it.
        number: u32,
        /// The attempts that ran.
        begun: Vec<OtherEnd>,
        /// The newest lease taken up; later ones never began.
        newest: Option<Fence>,
        /// Leases taken up that never began either.
        unbegun: Vec<Fence>,
        /// The outputs of `begun`.
        outputs: Bytes,
    },
    /// A child is dead, says the operating system, and its supervisor says nothing: nobody knows what had begun.
    ChildVanished {
        /// The child.
        child: u32,
    },
    /// A child of a history that is gone, for the state comes from a backup: nobody can know what had begun.
    ChildForgotten {
        /// The child.
        child: u32,
    },
    /// The state comes from a backup: sessions of the history that is gone end, and their numbers are not given again.
    Restored {
        /// Greater than the number of every session of that history.
        sessions_from: u64,
    },
    /// The oldest finished jobs are in the archive.
    Archived {
        /// How many.
        count: u32,
    },
    /// Payloads were copied into a cold file. One whose job ended or changed meanwhile is left out.
    Move {
        /// Number of the file, which is durable.
        file: u64,
        /// The copies; whoever asks bounds their number.
        copied: Vec<Copied>,
    },
    /// Asks for a lock.
    Acquire {
        /// The client's session.
        session: u64,
        /// The lock.
        request: message::Acquire,
    },
    /// Gives locks back.
    ReleaseLocks {
        /// The client's session.
        session: u64,
        /// What the client calls their holders.
        tokens: Vec<u64>,
    },
    /// Takes locks away from their holders.
    BreakLocks {
        /// Fences of the holders.
        fences: Vec<u64>,
    },
    /// Takes a turn at a limiter.
    Pass(message::Pass),
    /// Stores entries in the cache.
    CacheSet {
        /// The client's session.
        session: u64,
        /// The entries.
        request: message::CacheSet,
        /// Their values.
        values: Payloads,
    },
    /// Makes entries of the cache untrue.
    CacheInvalidate {
        /// The client's session.
        session: u64,
        /// Which.
        request: message::CacheInvalidate,
    },
    /// Entries of the cache have to go, whoever they are.
    CacheEvict {
        /// Their keys; whoever asks bounds their number.
        keys: Vec<Arc<str>>,
    },
    /// Blocks of the archive were dropped.
    ArchiveDropped {
        /// Everything that ended before this is gone.
        finalized_before_ms: u64,
    },
}

/// What the archive knows of a job that shall run again.
#[derive(Clone, Debug)]
pub struct ArchivedCall {
    /// The job.
    pub job: JobId,
    /// Its task.
    pub task: Arc<str>,
    /// Its queue.
    pub queue: Arc<str>,
    /// Its priority.
    pub priority: u8,
    /// Its rules.
    pub rules: Arc<Rules>,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
    /// Its metadata.
    pub metadata: Option<Arc<str>>,
    /// Its context.
    pub context: Option<Arc<str>>,
    /// Its arguments.
    pub arguments: Payloads,
    /// Its checkpoint; empty if it has none.
    pub checkpoint: Bytes,
}

/// A change with the bytes that follow it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The change.
    pub change: Change,
    /// The bytes, in parts.
    pub payload: Vec<Bytes>,
}

impl From<Change> for Entry {
    fn from(change: Change) -> Self {
        Self { change, payload: Vec::new() }
    }
}

/// What a command comes to: changes to apply and write, then a reply, which is read from the state after them.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The changes; all of them belong into one commit.
    pub entries: Vec<Entry>,
    /// The reply.
    pub reply: Reply,
}

/// The reply to a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The session opened last.
    Session,
    /// What the session remembers under this number.
    Answer {
        /// The session.
        session: u64,
        /// The request.
        number: u64,
    },
    /// The same, of jobs of which some are completed.
    AnswerCompleted {
        /// The session.
        session: u64,
        /// The request.
        number: u64,
        /// Their positions.
        completed: Vec<u32>,
    },
    /// Cached jobs were found, and nothing was changed for that: asked once more the session looks again.
    Found(message::Enqueued),
    /// The child's number, and the leases that are not its own.
    Attached {
        /// Its number in the engine.
        child: u32,
        /// Stale fences.
        stale: Vec<Fence>,
    },
    /// The ends, or the checkpoint, refused.
    Finished {
        /// Those whose lease was no longer the child's.
        refused: Vec<(JobId, Fence)>,
    },
    /// The lock is held.
    Locked {
        /// The session.
        session: u64,
        /// What the client calls the holder.
        token: u64,
    },
    /// Others hold the lock, or stand in line for it: see [`State::await_lock`](crate::State::await_lock).
    LockTaken,
    /// Locks were given back.
    LocksLost {
        /// Those that were not held.
        tokens: Vec<u64>,
    },
    /// Locks were taken away.
    LocksBroken {
        /// Fences of those that held them until now.
        fences: Vec<u64>,
    },
    /// A turn at a limiter, or why there was none.
    Passed(message::Passed),
    /// It was done.
    Done,
    /// The job is not in memory: the archive may know it.
    NotInMemory {
        /// The job.
        job: JobId,
    },
}

/// A command that cannot be carried out; nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind.
    pub code: RefusalCode,
    /// What and why.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Something outside must hear of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A job is finished.
    Finished {
        /// Its slot.
        slot: u32,
    },
    /// Jobs were leased to a child.
    Leased {
        /// The child.
        child: u32,
        /// Their slots; fences grow by one from `counter`.
        slots: Vec<u32>,
        /// Counter of the first fence.
        counter: u64,
    },
    /// A child must stop an attempt.
    Stop {
        /// The child.
        child: u32,
        /// The attempt.
        fence: Fence,
    },
    /// A lock was given.
    Locked {
        /// The session.
        session: u64,
        /// What the client calls the holder.
        token: u64,
        /// Its fence.
        fence: u64,
    },
    /// A lock was taken away from its holder.
    LockLost {
        /// The session.
        session: u64,
        /// What the client calls the holder.
        token: u64,
    },
    /// An entry is in the cache.
    EntryStored {
        /// Its place among the entries.
        index: u32,
    },
    /// An entry is not in the cache any more.
    EntryGone {
        /// Its place, which may be another one's by now.
        index: u32,
    },
    /// A blob is needed no more.
    BlobFreed {
        /// Its number.
        id: u64,
    },
}
