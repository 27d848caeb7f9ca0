//! One connection: a socket, the frames on it and the handshake. It knows nothing of sessions, resending or
//! deadlines; [`Client`](super::Client) and the workers build those on it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lineshaft_wire::frame::{FrameDecoder, Header, encode_head};
use lineshaft_wire::message::{FRAME_BYTES_MAX, Hello, Message, PROTOCOL, Welcome};
use tokio::io::Interest;
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

    /// Bytes queued and not yet written.
    pub fn queued_bytes(&self) -> usize {
        self.outgoing.bytes
    }

    /// The next message, `None` when the server closed between two frames. Writes what is queued meanwhile.
    /// Cancel-safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Incoming>, Error> {
        loop {
            if let Some(incoming) = self.take()? {
                return Ok(Some(incoming));
            }
            self.write().map_err(broken)?;
            let interest = if self.outgoing.is_empty() { Interest::READABLE } else { READABLE_OR_WRITABLE };
            let ready = self.stream.ready(interest).await.map_err(broken)?;
            if (ready.is_readable() || ready.is_read_closed()) && self.read().map_err(broken)? == Some(0) {
                return self.closed();
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
        loop {
            self.write().map_err(broken)?;
            if self.outgoing.is_empty() {
                return Ok(());
            }
            self.stream.ready(Interest::WRITABLE).await.map_err(broken)?;
        }
    }

    fn closed(&self) -> Result<Option<Incoming>, Error> {
        if self.decoder.is_inside_frame() {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(None)
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let result = self.stream.try_write_vectored(&self.outgoing.slices());
            match result {
                Ok(written) => self.outgoing.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads once: `None` if nothing was there after all, 0 at the end.
    fn read(&mut self) -> io::Result<Option<usize>> {
        match self.stream.try_read_buf(self.decoder.read_buffer()) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

const READABLE_OR_WRITABLE: Interest = Interest::READABLE.add(Interest::WRITABLE);

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

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
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
                Ok((Self::Tcp(stream), Some(token.clone())))
            }
        }
    }

    async fn unix(path: &std::path::Path, target: &Target) -> Result<Self, Error> {
        let stream = UnixStream::connect(path).await;
        stream
            .map(Self::Unix)
            .map_err(|error| Error::no_server(target.to_string(), format!("{}: {error}", path.display())))
    }

    async fn ready(&self, interest: Interest) -> io::Result<tokio::io::Ready> {
        match self {
            Self::Unix(stream) => stream.ready(interest).await,
            Self::Tcp(stream) => stream.ready(interest).await,
        }
    }

    fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_read_buf(buffer),
            Self::Tcp(stream) => stream.try_read_buf(buffer),
        }
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_write_vectored(slices),
            Self::Tcp(stream) => stream.try_write_vectored(slices),
        }
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
