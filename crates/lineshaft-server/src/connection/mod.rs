//! One peer: handshake, then requests in and answers out until one side ends it.
//!
//! A connection is one task with two futures, so a reader that waits for room and a writer that waits for its socket
//! never hold each other up.

mod footprint;
mod goodbye;
mod handshake;
mod inbound;
mod outbound;
mod outbox;
mod renewals;
mod requests;
mod resolve;
mod split;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use lineshaft_engine::{ConnectionId, Handle, Payloads, ServerFacts};
use lineshaft_ipc::socket;
use lineshaft_ipc::spin::{SHORT, Spin};
use lineshaft_wire::frame::Frame;
use lineshaft_wire::message::{Hello, Message, RefusalCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::timeout;

use self::goodbye::Goodbye;
use self::inbound::Inbound;
use self::outbound::{Outbound, Sources};
use self::outbox::{Outbox, Taken};
use self::renewals::Renewals;
use self::requests::Requests;
use self::window::Window;
use crate::Limits;
use crate::listener::Accepted;
use crate::stream::Peer;
use crate::token::Token;
use crate::watch::Watch;

/// What all connections of a server share.
pub(crate) struct Context {
    pub(crate) engine: Handle,
    pub(crate) payloads: Payloads,
    pub(crate) facts: ServerFacts,
    pub(crate) protocol: u16,
    pub(crate) limits: Limits,
    pub(crate) token: Token,
    pub(crate) watch: Watch,
    /// Told when a request was left with the engine.
    pub(crate) arrivals: Notify,
    /// Told when a peer asks the server to stop.
    pub(crate) shutdown: Notify,
    /// Set before the engine is asked to stop, so that its end can be told from a failure.
    pub(crate) stopping: AtomicBool,
}

impl Context {
    /// Leaves a request with the engine, which is attended to when every connection had its turn.
    pub(crate) fn pass_on(
        &self,
        connection: ConnectionId,
        request_id: u64,
        message: Message,
        payload: Bytes,
    ) {
        self.engine.leave(connection, request_id, message, payload);
        self.arrivals.notify_one();
    }

    /// Sees to it that the engine deals with what was left.
    ///
    /// A client that waits for each answer polls for it if it comes as soon as this, and then its next request comes as
    /// soon, too. One that has slept through a sync is woken on this processor, and would be in the way of polling.
    pub(crate) async fn attend(self: Arc<Self>) {
        let spin = Spin::default();
        let mut is_soon = false;
        loop {
            let arrival = self.arrivals.notified();
            if is_soon {
                spin.until(arrival).await;
            } else {
                arrival.await;
            }
            let began = Instant::now();
            is_soon = self.engine.attend() && began.elapsed() < SHORT;
        }
    }
}

/// Carries one connection to its end.
pub(crate) async fn run(context: Arc<Context>, accepted: Accepted) {
    match accepted {
        Accepted::Unix(stream) => match Peer::of_unix(&stream) {
            Ok(peer) => match stream.into_std().and_then(socket::split) {
                Ok((reader, writer)) => Connection::new(&context, peer, reader, writer).run().await,
                Err(error) => tracing::warn!(%error, "a connection could not be taken over"),
            },
            Err(error) => tracing::warn!(%error, "a connection was turned away"),
        },
        Accepted::Tcp(stream, address) => {
            let (reader, writer) = stream.into_split();
            Connection::new(&context, Peer::Tcp(address), reader, writer).run().await;
        }
    }
}

/// Tells a connection that there are too many.
pub(crate) async fn turn_away(accepted: Accepted, limits: Limits) {
    let text = format!("the server has {} connections already", limits.connections);
    let goodbye = Goodbye::tell(RefusalCode::QueueFull, text);
    match accepted {
        Accepted::Unix(stream) => tell(stream, &goodbye, &limits).await,
        Accepted::Tcp(stream, _) => tell(stream, &goodbye, &limits).await,
    }
}

async fn tell(stream: impl AsyncWrite + Unpin, goodbye: &Goodbye, limits: &Limits) {
    Outbound::new(stream, limits.write_stall).farewell(goodbye, limits.farewell).await;
}

struct Connection<'a, R, W> {
    context: &'a Context,
    peer: Peer,
    inbound: Inbound<R>,
    outbound: Outbound<W>,
}

impl<'a, R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<'a, R, W> {
    fn new(context: &'a Context, peer: Peer, reader: R, writer: W) -> Self {
        let limits = &context.limits;
        let inbound = Inbound::new(reader, limits.frame_stall);
        let outbound = Outbound::new(writer, limits.write_stall);
        Self { context, peer, inbound, outbound }
    }

    async fn run(mut self) {
        let goodbye = match self.shake_hands().await {
            Ok((frame, hello)) => self.converse(&frame, hello).await,
            Err(goodbye) => goodbye,
        };
        tracing::debug!(peer = %self.peer, %goodbye, "a connection ended");
        let within = self.context.limits.farewell;
        self.outbound.farewell(&goodbye, within).await;
        if matches!(self.peer, Peer::Tcp(_)) && !goodbye.is_gone() {
            // Closing a TCP socket with unread bytes resets it, which can destroy what was just sent.
            let _ = timeout(within, self.inbound.discard()).await;
        }
    }

    async fn shake_hands(&mut self) -> Result<(Frame, Hello), Goodbye> {
        let within = self.context.limits.handshake;
        let frame = timeout(within, self.inbound.next()).await.map_err(|_| silent(within))??;
        let hello = handshake::check(&frame, self.peer, self.context).await?;
        self.inbound.admit();
        Ok((frame, hello))
    }

    async fn converse(&mut self, frame: &Frame, hello: Hello) -> Goodbye {
        let (context, peer) = (self.context, self.peer);
        let outbox = Arc::new(Outbox::new(context.limits.outbox_bytes));
        let window = Window::new(&context.limits);
        let registered = Registered::new(&context.engine, Arc::clone(&outbox));
        let connection = registered.connection;
        tracing::debug!(%peer, pid = hello.pid, version = hello.version, ?connection, "a connection began");
        context.pass_on(connection, frame.header.request_id, hello.into(), Bytes::new());
        let mut requests = Requests {
            context,
            peer,
            connection,
            outbox: &outbox,
            window: &window,
            renewals: Renewals::default(),
            attached: None,
        };
        let sources = Sources { engine: &context.engine, payloads: &context.payloads, connection };
        let goodbye = tokio::select! {
            biased;
            goodbye = requests.read_all(&mut self.inbound) => goodbye,
            sent = self.outbound.send_all(&outbox, &window, &sources) => match sent {
                Ok(()) => engine_closed(context),
                Err(goodbye) => goodbye,
            },
        };
        if goodbye.is_gone() {
            let settling = async {
                requests.read_rest(&mut self.inbound).await;
                settle(&outbox, &window).await;
            };
            let _ = timeout(context.limits.farewell, settling).await;
        }
        goodbye
    }
}

/// Waits until the engine has carried out what a peer asked for before it went away: it may refuse what is under way
/// for a connection that has closed.
async fn settle(outbox: &Outbox, window: &Window) {
    let mut answers = Vec::new();
    while !window.is_settled() {
        match outbox.take(&mut answers, usize::MAX) {
            Ok(Taken::Some) => {
                for outgoing in answers.drain(..) {
                    window.answered(outgoing.request_id, &outgoing.message);
                }
            }
            Ok(Taken::Empty) => outbox.arrived().await,
            Ok(Taken::Closed) | Err(_) => return,
        }
    }
}

/// A connection that the engine knows; dropped, it knows it no longer.
struct Registered<'a> {
    engine: &'a Handle,
    connection: ConnectionId,
}

impl<'a> Registered<'a> {
    fn new(engine: &'a Handle, outbox: Arc<Outbox>) -> Self {
        Self { engine, connection: engine.connect(outbox) }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.engine.disconnect(self.connection);
    }
}

fn silent(within: std::time::Duration) -> Goodbye {
    Goodbye::tell(RefusalCode::BadFrame, format!("no Hello came within {within:?}"))
}

fn engine_closed(context: &Context) -> Goodbye {
    if context.stopping.load(Ordering::Acquire) {
        return Goodbye::tell(RefusalCode::ShuttingDown, "the server is stopping");
    }
    let text = format!("the engine failed; the log of process {} says more", context.facts.pid);
    Goodbye::tell(RefusalCode::Internal, text)
}
