//! One connection: a socket, the frames on it and the handshake. It knows nothing of sessions, resending or
//! deadlines; [`Client`](super::Client) and the workers build those on it.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lineshaft_ipc::socket;
use lineshaft_wire::frame::{FrameDecoder, Header, encode_head};
use lineshaft_wire::message::{FRAME_BYTES_MAX, Hello, Message, PROTOCOL, Welcome};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::target::Target;
use crate::Error;

/// How long a server may take for connecting and the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Payloads from this size on are written from where they are, not copied.
const COPY_BYTES_MAX: usize = 16 << 10;
/// Slices given to one write.
const SLICES_MAX: usize = 16;

/// A message that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// The request it answers, or 0.
    pub request_id: u64,
    /// The message.
    pub message: Message,
    /// What followed it.
    pub payload: Bytes,
}

/// An open connection whose handshake is done.
///
/// [`Connection::queue`] appends messages, [`Connection::next`] writes them while it waits for what comes. What is
/// queued is bounded by whoever queues it.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    decoder: FrameDecoder,
    outgoing: Outgoing,
}

impl Connection {
    /// Connects to a running server and shakes hands. `session` is the session to go on with; `open_session` opens
    /// one if there is none. Starts no server; where one may be started, an older one is asked to hand over.
    pub async fn open(
        target: &Target,
        session: Option<u64>,
        open_session: bool,
    ) -> Result<(Self, Welcome), Error> {
        let opening = async {
            let (stream, token) = Stream::connect(target).await?;
            Self::shake_hands(stream, Hello { session, open_session, token, ..hello(target) }).await
        };
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, opening).await {
            Ok(opened) => opened.map_err(|error| name_target(error, target)),
            Err(_) => Err(Error::no_server(
                target.to_string(),
                "the server accepted, but did not greet within 10 s",
            )),
        }
    }

    async fn shake_hands(stream: Stream, hello: Hello) -> Result<(Self, Welcome), Error> {
        let decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        let mut connection = Self { stream, decoder, outgoing: Outgoing::default() };
        connection.queue(1, &hello.into(), &[])?;
        match connection.next().await?.map(|incoming| incoming.message) {
            Some(Message::Welcome(welcome)) => Ok((connection, welcome)),
            Some(Message::Refused(refused)) => Err(refused.into()),
            Some(other) => Err(unexpected(&other, "a greeting")),
            None => Err(Error::no_server("", "the server closed the connection instead of greeting")),
        }
    }

    /// Appends a message; [`Connection::next`] or [`Connection::flush`] writes it. Fails with a frame too long for
    /// the protocol, and then appends nothing.
    pub fn queue(&mut self, request_id: u64, message: &Message, payload: &[Bytes]) -> Result<(), Error> {
        self.outgoing.push(request_id, message, payload)
    }

    /// The socket, to be told of its end.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.stream.socket.as_fd()
    }

    /// Bytes queued and not yet written.
    pub fn queued_bytes(&self) -> usize {
        self.outgoing.bytes
    }

    /// The next message, `None` when the server closed between two frames. Writes what is queued meanwhile.
    /// Cancel-safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Incoming>, Error> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Incoming>, Error>> {
        loop {
            if let Some(incoming) = self.take()? {
                return Poll::Ready(Ok(Some(incoming)));
            }
            if let Poll::Ready(Err(error)) = self.poll_write(cx) {
                return Poll::Ready(Err(broken(error)));
            }
            let reading = pin!(self.stream.reader.read_buf(self.decoder.read_buffer())).poll(cx);
            if ready!(reading).map_err(broken)? == 0 {
                return Poll::Ready(self.closed());
            }
        }
    }

    /// A message that has arrived already.
    pub fn take(&mut self) -> Result<Option<Incoming>, Error> {
        let Some(frame) = self.decoder.next_frame().map_err(|error| Error::Protocol(error.to_string()))?
        else {
            return Ok(None);
        };
        let message = Message::decode(frame.header.kind, &frame.map)
            .map_err(|error| Error::Protocol(error.to_string()))?;
        Ok(Some(Incoming { request_id: frame.header.request_id, message, payload: frame.payload }))
    }

    /// Writes everything that is queued.
    pub async fn flush(&mut self) -> Result<(), Error> {
        poll_fn(|cx| self.poll_write(cx)).await.map_err(broken)
    }

    fn closed(&self) -> Result<Option<Incoming>, Error> {
        if self.decoder.is_inside_frame() {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(None)
    }

    /// Writes what is queued, until all is written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let writer = Pin::new(&mut self.stream.writer);
            match ready!(writer.poll_write_vectored(cx, &self.outgoing.slices()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.outgoing.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Frames on their way out, in few pieces: what is small is gathered, what is large stays where it is.
#[derive(Debug, Default)]
struct Outgoing {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: usize,
}

impl Outgoing {
    fn push(&mut self, request_id: u64, message: &Message, payload: &[Bytes]) -> Result<(), Error> {
        let mut map = Vec::with_capacity(64);
        message.encode(&mut map);
        let payload_bytes: usize = payload.iter().map(Bytes::len).sum();
        let header = Header { kind: message.frame_type(), request_id, ..Header::default() };
        let head = encode_head(header, map.len(), payload_bytes).map_err(|error| too_large(&error))?;
        if head.len() + map.len() + payload_bytes > FRAME_BYTES_MAX as usize {
            let bytes = map.len() + payload_bytes;
            return Err(too_large(&format!("{bytes} bytes in one request, of {FRAME_BYTES_MAX} allowed")));
        }
        self.append(&head);
        self.append(&map);
        for part in payload {
            self.append_part(part);
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.bytes += bytes.len();
    }

    fn append_part(&mut self, part: &Bytes) {
        if part.len() < COPY_BYTES_MAX {
            return self.append(part);
        }
        self.seal_tail();
        self.bytes += part.len();
        self.pieces.push_back(part.clone());
    }

    fn seal_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    fn slices(&mut self) -> Vec<IoSlice<'_>> {
        self.seal_tail();
        self.pieces.iter().take(SLICES_MAX).map(|piece| IoSlice::new(piece)).collect()
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while written > 0 {
            let Some(piece) = self.pieces.front_mut() else { return };
            let step = written.min(piece.len());
            bytes::Buf::advance(piece, step);
            written -= step;
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

/// The halves of a socket of either kind.
struct Stream {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    /// The same socket.
    socket: OwnedFd,
}

impl Stream {
    async fn connect(target: &Target) -> Result<(Self, Option<String>), Error> {
        match target {
            Target::Home { home, .. } => {
                let path = home.socket()?;
                Ok((Self::unix(&path, target).await?, None))
            }
            Target::Socket(path) => Ok((Self::unix(path, target).await?, None)),
            Target::Tcp { address, token } => {
                let stream = TcpStream::connect(address)
                    .await
                    .map_err(|error| Error::no_server(target.to_string(), error.to_string()))?;
                stream.set_nodelay(true).map_err(broken)?;
                let socket = stream.as_fd().try_clone_to_owned().map_err(broken)?;
                Ok((Self::new(stream.into_split(), socket), Some(token.clone())))
            }
        }
    }

    async fn unix(path: &std::path::Path, target: &Target) -> Result<Self, Error> {
        let connecting = async {
            let stream = UnixStream::connect(path).await?.into_std()?;
            let socket = stream.as_fd().try_clone_to_owned()?;
            Ok(Self::new(socket::split(stream)?, socket))
        };
        let refused =
            |error: io::Error| Error::no_server(target.to_string(), format!("{}: {error}", path.display()));
        connecting.await.map_err(refused)
    }

    fn new(
        (reader, writer): (impl AsyncRead + Send + Unpin + 'static, impl AsyncWrite + Send + Unpin + 'static),
        socket: OwnedFd,
    ) -> Self {
        Self { reader: Box::new(reader), writer: Box::new(writer), socket }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

fn hello(target: &Target) -> Hello {
    Hello {
        protocol: (PROTOCOL, PROTOCOL),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        executable: target.executable(),
        pid: std::process::id(),
        session: None,
        open_session: false,
        token: None,
        hand_over: target.may_start(),
    }
}

/// A message that has no place where it came.
pub(crate) fn unexpected(message: &Message, expected: &str) -> Error {
    Error::Protocol(format!("{} came where {expected} was expected", message.name()))
}

fn too_large(detail: &dyn ToString) -> Error {
    Error::Refused {
        code: lineshaft_wire::message::RefusalCode::TooLarge,
        message: format!("the request is too large: {}", detail.to_string()),
        hint: Some("send fewer jobs at once, or pass large data by reference (a path, a key)".into()),
    }
}

fn broken(error: io::Error) -> Error {
    Error::io("talk to the server", error)
}

/// Errors of a handshake name whom it was with.
fn name_target(error: Error, target: &Target) -> Error {
    match error {
        Error::NoServer { address, detail, log_tail } if address.is_empty() => {
            Error::NoServer { address: target.to_string(), detail, log_tail }
        }
        Error::Io { source, .. } => Error::no_server(target.to_string(), source.to_string()),
        other => other,
    }
}
