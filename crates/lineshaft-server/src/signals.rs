//! What asks a server to stop, clients aside.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

/// Who may ask.
#[derive(Debug)]
pub(crate) enum Stops {
    /// SIGTERM and SIGINT.
    Signals(StopSignals),
    /// The program around the server; dropping the sender asks too.
    Told(oneshot::Receiver<()>),
}

impl Stops {
    /// Takes SIGTERM and SIGINT over. Needs a runtime.
    pub(crate) fn signals() -> io::Result<Self> {
        StopSignals::register().map(Self::Signals)
    }

    /// Waits until somebody asks. Cancel-safe; not to be awaited again afterwards.
    pub(crate) async fn next(&mut self) {
        match self {
            Self::Signals(signals) => signals.next().await,
            Self::Told(told) => drop(told.await),
        }
    }
}

/// SIGTERM and SIGINT, from when this is made until it is dropped.
#[derive(Debug)]
pub(crate) struct StopSignals {
    received: UnixStream,
    registered: Vec<SigId>,
}

impl StopSignals {
    fn register() -> io::Result<Self> {
        let (received, sender) = StdUnixStream::pair()?;
        received.set_nonblocking(true)?;
        let mut signals = Self { received: UnixStream::from_std(received)?, registered: Vec::new() };
        for signal in [SIGTERM, SIGINT] {
            signals.registered.push(signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?);
        }
        Ok(signals)
    }

    /// Waits for the next of them. Cancel-safe.
    async fn next(&mut self) {
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
