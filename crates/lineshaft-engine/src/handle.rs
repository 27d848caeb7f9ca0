//! How the rest of the process talks to a running engine: requests in, outgoing messages out, both per connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::JoinHandle;
use std::time::Instant;

use bytes::Bytes;
use crossbeam_channel::Sender;
use lineshaft_jobs::{ArchivedCall, Payloads as Received};
use lineshaft_store::{JournalHandle, PayloadRef};
use lineshaft_wire::JobId;
use lineshaft_wire::message::{Message, ProcessKey, Sequence};

use crate::Error;
use crate::compaction::Copy;
use crate::inbox::Inbox;
use crate::kept_snapshots::Taken;
use crate::pulse::Pulse;
use crate::turns::Attend;
use crate::unread::Unread;

/// Number of a connection within this run of the engine, from 1; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Where a payload comes from when its message is written to the socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Bytes at hand.
    Bytes(Bytes),
    /// Bytes in the journal or a blob: read late, by [`Payloads`], so that what waits in an outbox stays small.
    Stored(PayloadRef),
}

/// A message on its way to a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// The request it answers, or 0 for a push that nobody asked for by id.
    pub request_id: u64,
    /// The message.
    pub message: Message,
    /// What follows it, in order.
    pub payloads: Vec<Payload>,
}

impl Outgoing {
    /// A message without payloads.
    pub fn new(request_id: u64, message: impl Into<Message>) -> Self {
        Self { request_id, message: message.into(), payloads: Vec::new() }
    }
}

/// A connection's way out. The engine calls it from its own threads, once per connection and commit.
pub trait Outbox: Send + Sync {
    /// Takes messages whose commit is durable. Must not block: a connection that cannot keep up closes itself.
    fn deliver(&self, messages: Vec<Outgoing>);

    /// The engine is gone or has done with this connection; nothing more will be delivered.
    fn close(&self);
}

/// What arrives at the engine.
pub(crate) enum Input {
    Connected {
        connection: ConnectionId,
        outbox: Arc<dyn Outbox>,
    },
    Request {
        connection: ConnectionId,
        request_id: u64,
        message: Message,
        payloads: Received,
    },
    /// A request whose large payloads could not be stored.
    Unstorable {
        connection: ConnectionId,
        request_id: u64,
        sequence: Option<Sequence>,
        error: lineshaft_store::Error,
    },
    /// A lease could not be sent, since it does not read.
    Unread {
        connection: ConnectionId,
        unread: Unread,
    },
    Disconnected {
        connection: ConnectionId,
    },
    ProcessDied {
        process: ProcessKey,
    },
    /// A query answered this many jobs of a wait.
    LookedUp {
        connection: ConnectionId,
        request_id: u64,
        jobs: usize,
        outgoing: Box<Outgoing>,
    },
    /// A query found the finished job that shall run again.
    RetryFound {
        connection: ConnectionId,
        request_id: u64,
        sequence: Sequence,
        call: Box<ArchivedCall>,
    },
    /// A query found the finished job that shall be forgotten.
    DeleteFound {
        connection: ConnectionId,
        request_id: u64,
        sequence: Sequence,
        job: JobId,
        finalized_ms: u64,
    },
    /// Files are held for a connection.
    Held {
        connection: ConnectionId,
        request_id: u64,
        held: lineshaft_store::HeldFiles,
    },
    /// Pages of jobs were written, all or those before an error.
    Cooled {
        pages: Vec<lineshaft_jobs::ColdPage>,
        result: std::io::Result<()>,
    },
    Archived {
        result: Result<u32, lineshaft_store::Error>,
    },
    ArchiveDropped {
        finalized_before_ms: u64,
    },
    /// The archive has no job that ended before.
    HistoryFrom {
        ended_ms: u64,
    },
    /// Payloads of old segments were copied.
    Copied {
        result: Result<Copy, lineshaft_store::Error>,
    },
    /// To the thread that stores blobs: list them.
    ListBlobs,
    /// All blobs that there are; those that came before it were named or refused already.
    BlobsListed {
        result: Result<Vec<u64>, lineshaft_store::Error>,
    },
    SnapshotDone {
        result: Result<Taken, lineshaft_store::Error>,
    },
    /// Whether the engine has nothing to do.
    AskIdle {
        answer: Box<dyn FnOnce(bool) + Send>,
    },
    Stop,
}

type Read = dyn Fn(PayloadRef) -> Result<Bytes, lineshaft_store::Error> + Send + Sync;

/// Reads payloads that messages refer to; cheap to clone.
#[derive(Clone)]
pub struct Payloads {
    /// Empty once the engine has ended, so that nobody holds the home any longer.
    read: Arc<RwLock<Option<Box<Read>>>>,
}

impl Payloads {
    pub(crate) fn new(handle: impl JournalHandle) -> Self {
        Self { read: Arc::new(RwLock::new(Some(Box::new(move |payload| handle.read(payload))))) }
    }

    /// The bytes of `payload`. May read a file; usually finds them in memory.
    ///
    /// Errors if the engine has ended or the bytes cannot be read.
    pub fn read(&self, payload: &PayloadRef) -> Result<Bytes, Error> {
        let read = self.read.read().expect("nothing panics while it holds this lock");
        Ok(read.as_ref().ok_or(Error::Ended)?(*payload)?)
    }

    fn close(&self) {
        *self.read.write().expect("nothing panics while it holds this lock") = None;
    }
}

/// A running engine; clones are the same one.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inbox: Inbox,
    pub(crate) turns: Arc<dyn Attend>,
    pub(crate) large: Sender<Input>,
    pub(crate) payloads: Payloads,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) connections: Arc<AtomicU64>,
    pub(crate) threads: Arc<Mutex<Option<Threads>>>,
}

/// The engine's threads, to wait for.
pub(crate) struct Threads {
    pub(crate) engine: JoinHandle<Result<(), Error>>,
    pub(crate) others: Vec<JoinHandle<()>>,
}

impl Handle {
    /// Opens a connection; what it is told goes to `outbox`.
    pub fn connect(&self, outbox: Arc<dyn Outbox>) -> ConnectionId {
        let connection = ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed) + 1);
        self.send(Input::Connected { connection, outbox });
        connection
    }

    /// Hands a request in. Never blocks; whoever reads the connection bounds what is unanswered.
    pub fn request(&self, connection: ConnectionId, request_id: u64, message: Message, payload: Bytes) {
        self.leave(connection, request_id, message, payload);
        self.inbox.bell().ring();
    }

    /// [`Handle::request`] for a thread that calls [`Handle::attend`] when it has handed in what it has.
    pub fn leave(&self, connection: ConnectionId, request_id: u64, message: Message, payload: Bytes) {
        let (is_large, is_small) = (has_large_payload(&message), is_small(&message, &payload));
        let input = Input::Request { connection, request_id, message, payloads: payload.into() };
        if is_large {
            // Blobs are written by another thread: the engine's must not wait for 64 MiB.
            drop(self.large.send(input));
        } else if is_small {
            self.inbox.leave(input);
        } else {
            self.send(input);
        }
    }

    /// Deals with what was [left](Handle::leave): a few small requests on the calling thread if the engine is at rest,
    /// everything else on the engine's. Blocks for a commit in the first case, as long as the disk takes, and says so by
    /// true.
    pub fn attend(&self) -> bool {
        self.turns.attend()
    }

    /// Whether the engine has taken in everything that was handed in before `instant`.
    pub fn has_heard(&self, instant: Instant) -> bool {
        self.pulse.has_heard(instant)
    }

    /// Whether the engine waits for its disk, and leases that it renewed at `renewed_at` outlast that whatever else it
    /// was about to do: a renewal may be answered in its place. It is still to be handed in.
    pub fn outlasts(&self, renewed_at: Instant) -> bool {
        self.pulse.outlasts(renewed_at)
    }

    /// A lease was taken out of a message to this connection, because its payloads do not read.
    pub fn unread(&self, connection: ConnectionId, unread: Unread) {
        self.send(Input::Unread { connection, unread });
    }

    /// Closes a connection: its leases run out unless their child attaches again.
    pub fn disconnect(&self, connection: ConnectionId) {
        self.send(Input::Disconnected { connection });
    }

    /// A process on this machine is dead for certain.
    pub fn process_died(&self, process: ProcessKey) {
        self.send(Input::ProcessDied { process });
    }

    /// Tells `answer` whether nothing runs and nobody is connected but clients that asked for a hand-over and for nothing
    /// else; drops it if the engine has ended.
    pub fn ask_idle(&self, answer: impl FnOnce(bool) + Send + 'static) {
        self.send(Input::AskIdle { answer: Box::new(answer) });
    }

    /// Reads what messages refer to.
    pub fn payloads(&self) -> Payloads {
        self.payloads.clone()
    }

    /// Asks the engine to stop: what was accepted is committed, then every connection closes.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.send(Input::Stop);
    }

    /// Waits for the engine's end, once; the home is free afterwards.
    ///
    /// Errors if the journal failed: the process must then end with a failure, since what it holds in memory is ahead of
    /// what is durable.
    pub fn join(&self) -> Result<(), Error> {
        let threads = self.threads.lock().expect("nothing panics while it holds this lock").take();
        let Some(Threads { engine, others }) = threads else { return Ok(()) };
        let result = engine.join().unwrap_or_else(|panic| Err(Error::Panicked(panic_text(&*panic))));
        drop(self.large.send(Input::Stop));
        self.payloads.close();
        for thread in others {
            thread.join().map_err(|panic| Error::Panicked(panic_text(&*panic)))?;
        }
        result
    }

    fn send(&self, input: Input) {
        // A stopped engine takes nothing any more; connections learn it from their outbox.
        self.inbox.send(input);
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown panic".to_owned())
}

/// Jobs and bytes of a request that costs less to carry out than to hand to another thread.
const SMALL_JOBS: usize = 16;
const SMALL_BYTES: usize = 16 << 10;

fn is_small(message: &Message, payload: &Bytes) -> bool {
    let jobs = match message {
        Message::Enqueue(enqueue) => enqueue.groups.iter().map(|group| group.lengths.len()).sum(),
        Message::Finish(finish) => finish.succeeded.len() + finish.others.len(),
        Message::Credit(credit) => credit.leases as usize,
        Message::Release(release) => release.leases.len(),
        Message::CacheGet(get) => get.keys.len(),
        Message::CacheSet(set) => set.entries.len(),
        Message::CacheInvalidate(invalidate) => invalidate.keys.len() + invalidate.tags.len(),
        _ => 1,
    };
    jobs <= SMALL_JOBS && payload.len() <= SMALL_BYTES
}

fn has_large_payload(message: &Message) -> bool {
    large_payloads(message).next().is_some()
}

/// Payloads of a message that become blobs: number, offset and length in the payload bytes.
pub(crate) fn large_payloads(message: &Message) -> impl Iterator<Item = (u32, usize, usize)> + '_ {
    let groups = match message {
        Message::Enqueue(enqueue) => &enqueue.groups[..],
        _ => &[],
    };
    let ends = match message {
        Message::Finish(finish) => &finish.succeeded[..],
        _ => &[],
    };
    let entries = match message {
        Message::CacheSet(set) => &set.entries[..],
        _ => &[],
    };
    let values = entries.iter().map(|entry| u64::from(entry.length));
    let arguments = groups.iter().flat_map(|group| &group.lengths).map(|length| u64::from(*length));
    let results = ends.iter().flat_map(|end| [end.result_length, u64::from(end.output_length)]);
    let mut offset = 0usize;
    arguments.chain(results).chain(values).enumerate().filter_map(move |(index, length)| {
        let start = offset;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        offset = offset.saturating_add(length);
        (length > PayloadRef::INLINE_BYTES_MAX).then_some((index as u32, start, length))
    })
}
