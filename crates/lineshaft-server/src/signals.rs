//! The signals that ask a server to stop.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

/// SIGTERM and SIGINT, from when this is made until it is dropped.
#[derive(Debug)]
pub(crate) struct StopSignals {
    received: UnixStream,
    registered: Vec<SigId>,
}

impl StopSignals {
    /// Takes the two signals over. Needs a runtime.
    pub(crate) fn register() -> io::Result<Self> {
        let (received, sender) = StdUnixStream::pair()?;
        received.set_nonblocking(true)?;
        let mut signals = Self { received: UnixStream::from_std(received)?, registered: Vec::new() };
        for signal in [SIGTERM, SIGINT] {
            signals.registered.push(signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?);
        }
        Ok(signals)
    }

    /// Waits for the next of them. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        if self.received.read_u8().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for StopSignals {
    fn drop(&mut self) {
        for id in self.registered.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
