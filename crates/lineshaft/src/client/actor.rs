//! The task behind a client: it takes commands, keeps one connection while there is something to say, and comes back
//! after a lost one.
//!
//! The first connection of a task may start a server; a reconnect never does, because a server that is being replaced
//! must not find another one in its place. After a server that had nothing left to answer has closed the connection,
//! the next call is a first one again.

mod connecting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{Done, Message, Ping, RefusalCode};
use tokio::sync::mpsc::UnboundedReceiver;

use super::connection::{Connection, Incoming};
use super::hold::Asked;
use super::io_thread::{Io, Work};
use super::ledger::{Again, Batch, Caller, Effect, Ledger, Request, Sink};
use super::locks::Locks;
use super::target::{ClientOptions, Target};
use super::waiting::Inbox;
use super::waits::Waits;
use super::{Shared, Slot};
use crate::{Error, launch};

/// Commands taken at once.
const COMMANDS_MAX: usize = 1024;
/// Silence after a ping that makes a connection a dead one.
const PONG_TIMEOUT: Duration = Duration::from_secs(60);
/// When nothing else is due.
const LONG: Duration = Duration::from_secs(3600);

/// What clients ask of the task.
pub(crate) enum Command {
    /// Connect now, and say how it went.
    Connect(Arc<Slot>),
    /// A new request.
    Request(Arc<Batch>),
    /// A new request that is not worth the start of a server.
    Aside(Box<Request>),
    /// Ask again for an unknown outcome.
    Resend { id: u64, request: &'static str, deadline: Instant, patience: Duration, caller: Caller },
    /// Nobody will ask for this outcome any more.
    Forget { id: u64 },
    /// Follow jobs.
    Wait { ids: Vec<JobId>, results: bool, inbox: Arc<Inbox> },
    /// Results that filled the inbox were taken.
    Unhold { inbox: Arc<Inbox> },
    /// Follow them no more.
    Unwait { inbox: Arc<Inbox> },
    /// Ask for a lock, and keep it.
    Acquire(Box<Asked>),
    /// Give a lock back, or up.
    ReleaseLock { token: u64, slot: Option<Arc<Slot>> },
}

impl Sink for Connection {
    fn send(&mut self, id: u64, message: &Message, payload: &[Bytes]) -> Result<(), Error> {
        self.queue(id, message, payload)
    }
}

/// See the module.
pub(crate) struct Actor {
    target: Target,
    options: ClientOptions,
    commands: UnboundedReceiver<Command>,
    shared: Arc<Shared>,
    io: &'static Io,
    /// Whether something is unanswered.
    unanswered: Work<'static>,
    ledger: Ledger,
    waits: Waits,
    locks: Locks,
    connects: Vec<Arc<Slot>>,
    /// All clients are gone; what they asked for is still finished. Somebody drives until the task has ended, and with it
    /// its connection.
    closing: Option<Work<'static>>,
    past: Past,
}

/// What the last connection left behind.
#[derive(Default)]
struct Past {
    was_connected: bool,
    /// When the connection ended.
    ended: Option<Instant>,
    /// Whether anything was asked for since.
    is_called_anew: bool,
    /// Whether it was to a server on demand that died, rather than was stopped.
    is_death: bool,
    /// Why there is no connection.
    trouble: Option<Error>,
    failures: u32,
}

/// How serving a connection ended.
enum Parting {
    /// Nobody needs it.
    Done,
    /// A session has to be opened, or opened anew.
    Session,
    /// The server closed it, being stopped.
    Stopped,
    /// The server closed it without a word.
    Closed,
    /// It broke.
    Broken(Error),
}

impl Actor {
    pub(crate) fn new(
        target: Target,
        options: ClientOptions,
        commands: UnboundedReceiver<Command>,
        ledger: Ledger,
        shared: Arc<Shared>,
        io: &'static Io,
    ) -> Self {
        Self {
            target,
            options,
            commands,
            shared,
            io,
            unanswered: Work::none(io),
            ledger,
            waits: Waits::default(),
            locks: Locks::default(),
            connects: Vec::new(),
            closing: None,
            past: Past::default(),
        }
    }

    /// Runs until all clients are gone and nothing is left to answer.
    pub(crate) async fn run(mut self) {
        while self.wait_for_work().await {
            if let Some(connection) = self.connect().await {
                let parting = self.serve(connection).await;
                self.part(&parting);
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.closing.is_some()
    }

    /// The last client is gone, and has left that to be done.
    fn close(&mut self) {
        self.closing = Some(Work::taken_over(self.io));
    }

    /// Whether a connection is needed: a lock that is held needs one, too.
    fn has_work(&self) -> bool {
        self.has_unanswered() || !self.locks.is_empty()
    }

    fn has_unanswered(&self) -> bool {
        let is_followed = !self.waits.is_empty() || self.locks.has_unanswered();
        self.ledger.has_work() || is_followed || !self.connects.is_empty()
    }

    fn needs_session(&self) -> bool {
        self.ledger.needs_session() || (self.ledger.session().is_none() && !self.locks.is_empty())
    }

    /// Without a connection and a need for one; false at the end of the task.
    async fn wait_for_work(&mut self) -> bool {
        while !self.has_work() {
            if self.is_closed() {
                return false;
            }
            self.take_commands_until(LONG).await;
        }
        true
    }

    /// Takes commands, without a connection, for at most `time` or until the first deadline.
    async fn take_commands_until(&mut self, time: Duration) {
        self.unanswered.set(self.has_work());
        let wake = self.next_wake(Instant::now() + time);
        tokio::select! {
            command = self.commands.recv(), if !self.is_closed() => match command {
                Some(command) => self.take(command, None),
                None => self.close(),
            },
            () = tokio::time::sleep_until(wake.into()) => {}
        }
        self.expire();
    }

    fn next_wake(&self, latest: Instant) -> Instant {
        let waits = [self.waits.oldest(), self.locks.oldest()].into_iter().flatten().min();
        let waits = waits.filter(|_| self.past.trouble.is_some()).map(|since| since + self.options.deadline);
        [self.ledger.next_deadline(), self.locks.next_wake(), waits]
            .into_iter()
            .flatten()
            .fold(latest, Instant::min)
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.ledger.expire(now, self.past.trouble.as_ref());
        let trouble = self.past.trouble.as_ref().zip(now.checked_sub(self.options.deadline));
        self.locks.expire(now, trouble);
        if let Some((error, limit)) = trouble {
            self.waits.expire(limit, error);
        }
    }

    fn take(&mut self, command: Command, connection: Option<&mut Connection>) {
        self.io.remove_work();
        let is_call = matches!(
            command,
            Command::Connect(_) | Command::Request(_) | Command::Wait { .. } | Command::Acquire(_)
        );
        self.past.is_called_anew |= is_call && connection.is_none();
        match command {
            Command::Connect(slot) if connection.is_some() => slot.fill(Ok(connected())),
            Command::Connect(slot) => self.connects.push(slot),
            Command::Request(batch) => batch.take().into_iter().for_each(|request| self.ledger.push(request)),
            Command::Aside(request) => self.ledger.push(*request),
            Command::Resend { id, request, deadline, patience, caller } => {
                self.ledger.unpark(id, Again { request, deadline, patience, caller }, connection);
            }
            Command::Forget { id } => self.ledger.forget(id),
            Command::Wait { ids, results, inbox } => self.waits.add(ids, results, inbox, Instant::now()),
            Command::Unhold { inbox } => self.waits.unhold(&inbox),
            Command::Acquire(asked) => self.locks.want(*asked, Instant::now()),
            Command::ReleaseLock { token, slot } => self.locks.release(token, slot, Instant::now()),
            Command::Unwait { inbox } => self.waits.give_up(&inbox, &mut self.ledger, connection),
        }
    }
}

/// Serving a connection.
impl Actor {
    async fn serve(&mut self, mut connection: Connection) -> Parting {
        let mut commands = Vec::new();
        let mut heard_at = Instant::now();
        let mut pinged_at = heard_at;
        loop {
            self.ledger.admit(&mut connection);
            self.waits.ask(&mut self.ledger, &mut connection);
            self.locks.ask(&mut self.ledger, &mut connection, Instant::now());
            if self.needs_session() {
                return Parting::Session;
            }
            if self.is_closed() && !self.has_work() {
                let _ = connection.flush().await;
                return Parting::Done;
            }
            self.unanswered.set(self.has_unanswered());
            let ping_at = heard_at.max(pinged_at) + self.options.ping_every;
            let wake = self.next_wake(ping_at);
            tokio::select! {
                incoming = connection.next() => match incoming {
                    Ok(Some(incoming)) => {
                        heard_at = Instant::now();
                        if let Err(parting) = self.receive(incoming, &mut connection) {
                            return parting;
                        }
                    }
                    Ok(None) => return Parting::Closed,
                    Err(error) => return Parting::Broken(error),
                },
                count = self.commands.recv_many(&mut commands, COMMANDS_MAX), if !self.is_closed() => {
                    if count == 0 {
                        self.close();
                    }
                    for command in commands.drain(..) {
                        self.take(command, Some(&mut connection));
                    }
                }
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            self.expire();
            let now = Instant::now();
            if now >= ping_at {
                if now.duration_since(heard_at) > self.options.ping_every + PONG_TIMEOUT {
                    return Parting::Broken(Error::no_server(
                        self.target.to_string(),
                        "it does not answer pings",
                    ));
                }
                pinged_at = now;
                let _ = connection.queue(self.ledger.take_id(), &Message::Ping(Ping {}), &[]);
            }
        }
    }

    /// Takes a message and whatever has arrived behind it.
    fn receive(&mut self, first: Incoming, connection: &mut Connection) -> Result<(), Parting> {
        let mut next = Some(first);
        while let Some(incoming) = next {
            self.receive_one(incoming, connection)?;
            next = connection.take().map_err(Parting::Broken)?;
        }
        Ok(())
    }

    fn receive_one(&mut self, incoming: Incoming, connection: &mut Connection) -> Result<(), Parting> {
        let Incoming { request_id, message, payload } = incoming;
        if let (0, Message::Refused(refused)) = (request_id, &message) {
            let is_stopping = refused.code == RefusalCode::ShuttingDown;
            return Err(if is_stopping { Parting::Stopped } else { Parting::Broken(refused.clone().into()) });
        }
        if let (0, Message::LocksLost(lost)) = (request_id, &message) {
            self.locks.taken(&lost.tokens);
            return Ok(());
        }
        self.past.failures = 0;
        if self.locks.is_ours(request_id) {
            return self.locks.answer(request_id, message, Instant::now()).map_err(Parting::Broken);
        }
        if self.waits.is_ours(request_id) {
            let taken = self.waits.answer(request_id, message, payload, &mut self.ledger, connection);
            return taken.map_err(Parting::Broken);
        }
        match self.ledger.answer(request_id, message, payload) {
            Effect::None => Ok(()),
            Effect::SessionLost { from } => {
                self.ledger.session_lost(from);
                Err(Parting::Session)
            }
        }
    }

    fn part(&mut self, parting: &Parting) {
        let now = Instant::now();
        self.ledger.disconnected();
        self.waits.disconnected(now);
        self.locks.disconnected(now);
        launch::reap();
        self.past.trouble = match parting {
            Parting::Done | Parting::Session => None,
            Parting::Stopped | Parting::Closed => {
                Some(Error::no_server(self.target.to_string(), "the server closed the connection"))
            }
            Parting::Broken(error) => Some(Error::no_server(self.target.to_string(), error.to_string())),
        };
        self.past.ended = Some(now);
        self.past.is_called_anew = false;
        let is_death = matches!(parting, Parting::Closed | Parting::Broken(_));
        if is_death || matches!(parting, Parting::Stopped) {
            self.past.failures += 1;
        }
        let was_on_demand = self.shared.lock().welcome.as_ref().is_some_and(|welcome| welcome.on_demand);
        self.past.is_death = is_death && was_on_demand;
    }
}

fn connected() -> (Message, Bytes) {
    (Message::Done(Done {}), Bytes::new())
}
