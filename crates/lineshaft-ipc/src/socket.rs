//! A connected Unix socket for a runtime, which wakes its thread for what arrives and for nothing else.
//!
//! The runtime's own socket also wakes it whenever the peer has read something, because then there is room to write
//! again. Of two processes that talk in turns each would be woken twice as often as it has something to do, and a
//! wake-up costs more than a small message. So room is asked for only while there is none.
#![allow(unsafe_code)] // Buffers that only the kernel fills, and the promise that a stream keeps its descriptor.

use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// The reading half.
#[derive(Debug)]
pub struct Reader {
    stream: Arc<AsyncFd<UnixStream>>,
}

/// The writing half. Dropping it closes nothing as long as the other half lives.
#[derive(Debug)]
pub struct Writer {
    stream: Arc<AsyncFd<UnixStream>>,
    /// Wakes when there is room, while there is none.
    blocked: Option<AsyncFd<UnixStream>>,
}

/// Both halves of `stream`, to be used within a runtime.
pub fn split(stream: UnixStream) -> io::Result<(Reader, Writer)> {
    stream.set_nonblocking(true)?;
    let stream = Arc::new(register(stream, Interest::READABLE)?);
    Ok((Reader { stream: Arc::clone(&stream) }, Writer { stream, blocked: None }))
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.stream.poll_read_ready(cx))?;
            // SAFETY: bytes are only ever written into it.
            let read = rustix::io::read(ready.get_inner(), unsafe { buf.unfilled_mut() });
            let (count, is_full) = match read {
                Ok((filled, rest)) => (filled.len(), rest.is_empty()),
                Err(Errno::WOULDBLOCK) => {
                    ready.clear_ready();
                    continue;
                }
                Err(Errno::INTR) => continue,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            // Less than there was room for: that was all.
            if count > 0 && !is_full {
                ready.clear_ready();
            }
            // SAFETY: the kernel has written so many bytes.
            unsafe { buf.assume_init(count) };
            buf.advance(count);
            return Poll::Ready(Ok(()));
        }
    }
}

impl Writer {
    fn poll_with(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&UnixStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(self.stream.get_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => {
                    self.blocked = None;
                    return Poll::Ready(done);
                }
            }
            match &self.blocked {
                Some(blocked) => ready!(blocked.poll_write_ready(cx))?.clear_ready(),
                None => {
                    let other = self.stream.get_ref().try_clone()?;
                    self.blocked = Some(register(other, Interest::WRITABLE)?);
                }
            }
        }
    }
}

fn register(stream: UnixStream, interest: Interest) -> io::Result<AsyncFd<UnixStream>> {
    // SAFETY: a stream keeps its descriptor open, and the same, until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(stream, interest) }?)
}

impl AsyncWrite for Writer {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_with(cx, |mut stream| stream.write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_with(cx, |mut stream| stream.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn runtime() -> Runtime {
        Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// With the runtime's own sockets a server was woken twice for each request: once because the answer had been read.
    #[test]
    fn a_peer_that_reads_wakes_nobody() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let runtime = runtime();
        let parks = || runtime.metrics().worker_park_count(0);
        runtime.block_on(async {
            let (mut reader, mut writer) = split(near).unwrap();
            writer.write_all(b"answer").await.unwrap();
            let before = parks();
            let peer = std::thread::spawn(move || {
                for _ in 0..3 {
                    std::thread::sleep(Duration::from_millis(20));
                    far.read_exact(&mut [0; 2]).unwrap();
                }
                std::thread::sleep(Duration::from_millis(20));
                far.write_all(b"request").unwrap();
                far
            });
            let mut request = [0; 7];
            reader.read_exact(&mut request).await.unwrap();
            assert_eq!((&request, parks() - before), (b"request", 1));
            drop(peer.join().unwrap());
            assert_eq!(reader.read(&mut request).await.unwrap(), 0);
        });
    }

    #[test]
    fn a_full_socket_goes_on_when_the_peer_reads() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let sent: Vec<u8> = (0..3_000_000u32).map(|number| (number / 7) as u8).collect();
        let peer = std::thread::spawn(move || {
            let (mut buffer, mut received) = (vec![0; 100_000], Vec::new());
            loop {
                std::thread::sleep(Duration::from_millis(1));
                match far.read(&mut buffer).unwrap() {
                    0 => return received,
                    count => received.extend_from_slice(&buffer[..count]),
                }
            }
        });
        runtime().block_on(async {
            let (_reader, mut writer) = split(near).unwrap();
            writer.write_all(&sent).await.unwrap();
            assert!(writer.blocked.is_none());
            writer.shutdown().await.unwrap();
        });
        assert!(peer.join().unwrap() == sent);
    }
}
