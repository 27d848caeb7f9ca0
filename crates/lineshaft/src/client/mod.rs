//! The client: one connection to a server, kept alive by a task that the process's I/O thread runs, or a caller that
//! waits ([`io_thread`]).
//!
//! A call puts a command into the task's channel and returns a [`Reply`]; the task ([`actor`]) connects, writes,
//! reads, and answers. [`ledger`] is its memory of what is unanswered and knows the rules of sessions, windows,
//! deadlines and resending; [`waits`] that of jobs waited for. [`connection`] is the socket with frames on it, which
//! the workers use without a client.

mod actor;
mod cache;
mod commands;
pub mod connection;
mod hold;
pub(crate) mod io_thread;
mod ledger;
mod locks;
mod outcome;
pub(crate) mod reply;
mod target;
mod verbs;
mod waiting;
mod waits;

pub use cache::{LookedUp, looked_up};
pub use hold::{Acquiring, Hold, LockLost, LockRequest};
pub use outcome::OutcomeUnknown;
pub use reply::Reply;
pub use target::{ClientOptions, Target};
pub use verbs::NewJobs;
pub use waiting::{JobEnd, Waiting};

pub(crate) use reply::Slot;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{Message, Sequence, Welcome};
use tokio::sync::mpsc::unbounded_channel;

use crate::Error;
use crate::per_process::PerProcess;
use actor::{Actor, Command};
use commands::Commands;
use ledger::{Ledger, Request};

/// A handle to a server; cheap to clone, and every clone shares one connection and one session.
///
/// Nothing is lost with a connection: what is unanswered is sent again under the same session and sequence until its
/// deadline, so a job is made once. At most [`lineshaft_wire::message::WINDOW`] mutating requests with 64 MiB of
/// payload are on their way at once; more wait in their [`Reply`].
///
/// After a fork the child's first call connects anew, with a session of its own.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    target: Target,
    options: ClientOptions,
    /// The task of the process that made the client. Read without a lock, so that a fork never finds one held.
    first: Link,
    /// The tasks of processes that were forked from that one.
    forked: PerProcess<Link>,
}

impl Client {
    /// Connects; blocks until the server has answered, or failed to. Starts a server if `target` says how.
    pub fn connect(target: Target, options: ClientOptions) -> Result<Self, Error> {
        let client = Self::lazy(target, options)?;
        client.link(Link::connect)?.wait()?;
        Ok(client)
    }

    /// [`Client::connect`] without blocking.
    pub async fn connect_async(target: Target, options: ClientOptions) -> Result<Self, Error> {
        let client = Self::lazy(target, options)?;
        let connected = client.link(Link::connect)?;
        connected.await?;
        Ok(client)
    }

    /// A client that connects with its first request, whose deadline then bounds the wait for a server.
    pub fn lazy(target: Target, options: ClientOptions) -> Result<Self, Error> {
        let first = Link::start(&target, &options)?;
        Ok(Self { inner: Arc::new(Inner { target, options, first, forked: PerProcess::new() }) })
    }

    /// Sends a request that changes nothing, or that may safely be repeated. `deadline` counts from now; `None` is the
    /// default of [`ClientOptions`], more than [`ClientOptions::DEADLINE_MAX`] is that.
    pub fn call(
        &self,
        message: impl Into<Message>,
        payload: Vec<Bytes>,
        deadline: Option<Duration>,
    ) -> Reply {
        self.send(message.into(), payload, deadline, Link::request)
    }

    /// [`Client::call`] for questions on the side, asked while waiting for something else: where the server was
    /// stopped meanwhile, they start none.
    pub fn call_aside(&self, message: impl Into<Message>, deadline: Duration) -> Reply {
        self.send(message.into(), Vec::new(), Some(deadline), Link::request_aside)
    }

    fn send(
        &self,
        message: Message,
        payload: Vec<Bytes>,
        deadline: Option<Duration>,
        send: fn(&Link, Request),
    ) -> Reply {
        let patience = deadline.unwrap_or(self.inner.options.deadline).min(ClientOptions::DEADLINE_MAX);
        let deadline = Instant::now() + patience;
        let sent = self.link(|link| {
            let slot = link.slot();
            let callers = Arc::clone(&slot).into();
            let request = Request { message, payload, deadline, patience, callers };
            send(link, request);
            Reply::new(slot)
        });
        sent.unwrap_or_else(|error| Reply::ready(Err(error)))
    }

    /// Sends a request that changes something. It gets the next place in the session when it is first sent, and keeps
    /// it whenever it is sent again; `message` is called once and may give any sequence on. Deadline as in
    /// [`Client::call`]; where it passes after sending the error is [`Error::OutcomeUnknown`].
    pub fn mutate(
        &self,
        message: impl FnOnce(Sequence) -> Message,
        payload: Vec<Bytes>,
        deadline: Option<Duration>,
    ) -> Reply {
        self.call(message(ledger::UNPLACED), payload, deadline)
    }

    /// Follows `ids` until all have ended; with `results`, the results of completed ones come along. Waits are renewed
    /// after a reconnect for what has not ended. Dropping the [`Waiting`] gives it up.
    pub fn wait(&self, ids: &[JobId], results: bool) -> Waiting {
        match self.link(|link| link.wait(ids, results)) {
            Ok(waiting) => waiting,
            Err(error) => Waiting::failed(error),
        }
    }

    /// Asks for a lock, and waits for it if the request says so, however long that takes. It is renewed until it is
    /// released or dropped, and asked for again after a reconnect while it is not held. One holder never takes it twice.
    pub fn acquire(&self, request: LockRequest) -> Acquiring {
        self.link(|link| link.acquire(request)).unwrap_or_else(Acquiring::failed)
    }

    /// Whom this client talks to.
    pub fn target(&self) -> &Target {
        &self.inner.target
    }

    /// What the server said of itself when it was last connected to.
    pub fn welcome(&self) -> Option<Welcome> {
        self.link(|link| link.shared.lock().welcome.clone()).ok().flatten()
    }

    /// What the start of a server had to warn of (a home in memory, say); given once.
    pub fn take_warning(&self) -> Option<String> {
        self.link(|link| link.shared.lock().warning.take()).ok().flatten()
    }

    fn link<T>(&self, use_link: impl FnOnce(&Link) -> T) -> Result<T, Error> {
        if self.inner.first.is_ours() {
            return Ok(use_link(&self.inner.first));
        }
        let forked = &self.inner.forked;
        forked.get_or_try_make(|| Link::start(&self.inner.target, &self.inner.options)).map(use_link)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("target", &self.inner.target).finish_non_exhaustive()
    }
}

/// The way to a task on the I/O thread of the process that made it.
struct Link {
    commands: Commands,
    shared: Arc<Shared>,
    /// What the next lock is called.
    token_next: AtomicU64,
}

/// What the task leaves for its clients to read.
#[derive(Default)]
pub(crate) struct Shared(Mutex<Facts>);

/// What is known of the server.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) welcome: Option<Welcome>,
    pub(crate) warning: Option<String>,
}

impl Shared {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn start(target: &Target, options: &ClientOptions) -> Result<Self, Error> {
        let (sender, receiver) = unbounded_channel();
        let io = io_thread::get()?;
        let commands = Commands::new(io, sender);
        let shared = Arc::new(Shared::default());
        let ledger = Ledger::new(commands.downgrade());
        let actor = Actor::new(target.clone(), options.clone(), receiver, ledger, Arc::clone(&shared), io);
        io.spawn(actor.run());
        Ok(Self { commands, shared, token_next: AtomicU64::new(1) })
    }

    fn is_ours(&self) -> bool {
        self.commands.is_ours()
    }

    fn connect(&self) -> Reply {
        let slot = self.slot();
        self.send(Command::Connect(Arc::clone(&slot)));
        Reply::new(slot)
    }

    fn slot(&self) -> Arc<Slot> {
        Arc::new(Slot::of(self.commands.io()))
    }

    fn wait(&self, ids: &[JobId], results: bool) -> Waiting {
        Waiting::start(self.commands.clone(), ids, results)
    }

    fn acquire(&self, request: LockRequest) -> Acquiring {
        let token = self.token_next.fetch_add(1, Ordering::Relaxed);
        Acquiring::start(self.commands.clone(), token, request)
    }

    // The task lives as long as a sender does, so that sending never fails.

    fn request(&self, request: Request) {
        let _ = self.commands.request(request);
    }

    fn request_aside(&self, request: Request) {
        self.send(Command::Aside(Box::new(request)));
    }

    fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}
