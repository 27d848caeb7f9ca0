//! Frames going out.

use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::Bytes;
use lineshaft_engine::{ConnectionId, Handle, Outgoing, Payloads};
use lineshaft_wire::frame::{Header, encode_frame_with, encode_head};
use lineshaft_wire::message::{FRAME_BYTES_MAX, Message, RefusalCode, Refused};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::goodbye::Goodbye;
use super::outbox::{Outbox, Taken};
use super::resolve::{Resolved, resolve};
use super::split::{is_large, split};
use super::window::Window;

/// Bytes gathered for one write: enough to make the call cheap beside the copying.
const WRITE_BYTES: usize = 256 << 10;
/// Payloads from this size on are written from where they are, not copied.
const COPY_BYTES_MAX: usize = 16 << 10;
/// Slices given to one write.
const SLICES_MAX: usize = 16;
/// What an idle connection keeps of its buffer.
const IDLE_BYTES: usize = 64 << 10;

/// Where the payloads of a connection's messages are read, and who is told if they do not.
pub(crate) struct Sources<'a> {
    pub(crate) engine: &'a Handle,
    pub(crate) payloads: &'a Payloads,
    pub(crate) connection: ConnectionId,
}

/// The writing half of a connection.
///
/// What has been gathered stays here when a future is dropped, so that a farewell never lands inside a frame.
pub(crate) struct Outbound<W> {
    stream: W,
    pending: Pending,
    stall: Duration,
}

impl<W: AsyncWrite + Unpin> Outbound<W> {
    /// Writes to `stream`, which must take something every `stall`.
    pub(crate) fn new(stream: W, stall: Duration) -> Self {
        Self { stream, pending: Pending::default(), stall }
    }

    /// Sends what the outbox holds until the engine closes it.
    pub(crate) async fn send_all(
        &mut self,
        outbox: &Outbox,
        window: &Window,
        sources: &Sources<'_>,
    ) -> Result<(), Goodbye> {
        let mut batch = Vec::new();
        loop {
            match outbox.take(&mut batch, WRITE_BYTES)? {
                Taken::Closed => return Ok(()),
                Taken::Empty => {
                    self.pending.shrink();
                    outbox.arrived().await;
                }
                Taken::Some => self.send(&mut batch, window, sources).await?,
            }
        }
    }

    async fn send(
        &mut self,
        batch: &mut Vec<Outgoing>,
        window: &Window,
        sources: &Sources<'_>,
    ) -> Result<(), Goodbye> {
        for outgoing in batch.drain(..) {
            if !is_large(&outgoing) {
                self.gather(outgoing, window, sources).await?;
                continue;
            }
            for part in split(outgoing) {
                self.gather(part, window, sources).await?;
            }
        }
        self.flush().await
    }

    async fn gather(
        &mut self,
        outgoing: Outgoing,
        window: &Window,
        sources: &Sources<'_>,
    ) -> Result<(), Goodbye> {
        let Outgoing { request_id, message, payloads } = outgoing;
        let Resolved { message, parts, unread } = resolve(message, payloads, sources.payloads).await?;
        unread.into_iter().for_each(|unread| sources.engine.unread(sources.connection, unread));
        self.pending.push(request_id, &message, parts)?;
        window.answered(request_id, &message);
        if self.pending.bytes >= WRITE_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Goodbye> {
        while !self.pending.is_written() {
            timeout(self.stall, self.write()).await.map_err(|_| stalled(self.stall))??;
        }
        self.pending.clear();
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Goodbye> {
        match self.stream.write_vectored(&self.pending.slices()).await {
            Ok(0) => Err(Goodbye::broken(&io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                self.pending.written += written;
                Ok(())
            }
            Err(error) => Err(Goodbye::broken(&error)),
        }
    }

    /// Tells the peer why the connection ends, and ends it. For a bounded time, since the reason may be that the peer
    /// does not read.
    pub(crate) async fn farewell(&mut self, goodbye: &Goodbye, within: Duration) {
        let Goodbye::Told(refused) = goodbye else { return };
        if let Ok(Err(failure)) = timeout(within, self.tell(refused.clone())).await {
            tracing::debug!(%failure, "a peer could not be told why its connection ends");
        }
    }

    async fn tell(&mut self, refused: Refused) -> Result<(), Goodbye> {
        self.pending.push(0, &refused.into(), Vec::new())?;
        while !self.pending.is_written() {
            self.write().await?;
        }
        self.stream.shutdown().await.map_err(|error| Goodbye::broken(&error))
    }
}

fn stalled(stall: Duration) -> Goodbye {
    Goodbye::tell(RefusalCode::TooSlow, format!("nothing was read from the connection for {stall:?}"))
}

/// Encoded frames: small parts are gathered, large ones stay where they are.
#[derive(Default)]
struct Pending {
    gathered: Vec<u8>,
    /// Large parts, and where in `gathered` each belongs.
    large: Vec<(usize, Bytes)>,
    bytes: usize,
    written: usize,
}

impl Pending {
    fn push(&mut self, request_id: u64, message: &Message, parts: Vec<Bytes>) -> Result<(), Goodbye> {
        let header = Header { kind: message.frame_type(), request_id, ..Header::default() };
        let start = self.gathered.len();
        let payload_bytes: usize = parts.iter().map(Bytes::len).sum();
        encode_frame_with::<Goodbye>(
            &mut self.gathered,
            header,
            |buffer| {
                message.encode(buffer);
                Ok(())
            },
            &[],
        )?;
        let map_start = start + lineshaft_wire::frame::HEAD_BYTES;
        let head = encode_head(header, self.gathered.len() - map_start, payload_bytes)?;
        self.gathered[start..map_start].copy_from_slice(&head);
        let frame_bytes = self.gathered.len() - start + payload_bytes;
        check_length(message, frame_bytes).inspect_err(|_| self.gathered.truncate(start))?;
        self.bytes += frame_bytes;
        for part in parts {
            self.push_part(part);
        }
        Ok(())
    }

    fn push_part(&mut self, part: Bytes) {
        if part.len() < COPY_BYTES_MAX {
            self.gathered.extend_from_slice(&part);
        } else {
            self.large.push((self.gathered.len(), part));
        }
    }

    fn is_written(&self) -> bool {
        self.written == self.bytes
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut skip = self.written;
        let unwritten = self.parts().filter_map(|part| {
            let skipped = skip.min(part.len());
            skip -= skipped;
            (skipped < part.len()).then(|| IoSlice::new(&part[skipped..]))
        });
        unwritten.take(SLICES_MAX).collect()
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.large.iter().map(|(at, _)| *at));
        let ends = self.large.iter().map(|(at, _)| *at).chain([self.gathered.len()]);
        let gathered = starts.zip(ends).map(|(start, end)| &self.gathered[start..end]);
        let large = self.large.iter().map(|(_, part)| part.as_ref()).chain([&[][..]]);
        gathered.zip(large).flat_map(|(gathered, large)| [gathered, large])
    }

    fn clear(&mut self) {
        self.gathered.clear();
        self.large.clear();
        (self.bytes, self.written) = (0, 0);
    }

    fn shrink(&mut self) {
        if self.gathered.capacity() > IDLE_BYTES {
            self.gathered = Vec::new();
        }
    }
}

/// The engine keeps answers within a frame; a client must never have to find out that it did not.
fn check_length(message: &Message, frame_bytes: usize) -> Result<(), Goodbye> {
    if frame_bytes <= FRAME_BYTES_MAX as usize {
        return Ok(());
    }
    let name = message.name();
    tracing::error!(name, frame_bytes, "an answer does not fit a frame");
    Err(Goodbye::tell(RefusalCode::Internal, format!("{name} of {frame_bytes} bytes does not fit a frame")))
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::frame::FrameDecoder;
    use lineshaft_wire::message::{Done, Fetched};

    use super::*;

    /// Takes at most `most` bytes at a time from `pending`, as a socket does.
    fn write_out(pending: &mut Pending, most: usize) -> Vec<u8> {
        let mut written = Vec::new();
        while !pending.is_written() {
            let step: Vec<u8> =
                pending.slices().iter().flat_map(|slice| slice.iter().copied()).take(most).collect();
            assert!(!step.is_empty());
            pending.written += step.len();
            written.extend(step);
        }
        pending.clear();
        written
    }

    #[test]
    fn small_and_large_parts_leave_as_they_were_pushed_however_the_socket_takes_them() {
        for most in [1000, 16_384, 16_389, usize::MAX] {
            let mut pending = Pending::default();
            let parts: Vec<Bytes> = [1, 16 << 10, 100, 40_000, 0, 20_000]
                .iter()
                .enumerate()
                .map(|(index, &length)| Bytes::from(vec![index as u8; length]))
                .collect();
            let length = parts.iter().map(|part| part.len() as u64).sum();
            pending.push(7, &Fetched { length }.into(), parts.clone()).unwrap();
            pending.push(8, &Done {}.into(), Vec::new()).unwrap();
            let mut decoder = FrameDecoder::default();
            decoder.push(&write_out(&mut pending, most));
            let frame = decoder.next_frame().unwrap().unwrap();
            assert_eq!((frame.header.request_id, frame.payload.as_ref()), (7, parts.concat().as_slice()));
            assert_eq!(decoder.next_frame().unwrap().unwrap().header.request_id, 8);
            assert!(!decoder.is_inside_frame());
        }
    }

    #[test]
    fn an_answer_over_the_frame_limit_is_not_sent() {
        let part = Bytes::from(vec![0; 37 << 20]);
        let length = 2 * part.len() as u64;
        let goodbye =
            Pending::default().push(1, &Fetched { length }.into(), vec![part.clone(), part]).unwrap_err();
        assert!(goodbye.to_string().starts_with("Fetched of 775"), "{goodbye}");
    }
}
