//! SIGINT and SIGTERM, as something to await.

use std::os::unix::net::UnixStream;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use tokio::io::AsyncReadExt;

use crate::worker::Error;

const ACTION: &str = "handle signals";

/// Hears of signals until it is dropped; then they do what they did before.
pub(super) struct Signals {
    stream: tokio::net::UnixStream,
    ids: Vec<SigId>,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Error> {
        let (told, heard) = UnixStream::pair().map_err(Error::io(ACTION))?;
        heard.set_nonblocking(true).map_err(Error::io(ACTION))?;
        let stream = tokio::net::UnixStream::from_std(heard).map_err(Error::io(ACTION))?;
        let mut signals = Self { stream, ids: Vec::new() };
        for signal in [SIGINT, SIGTERM] {
            let told = told.try_clone().map_err(Error::io(ACTION))?;
            signals.ids.push(pipe::register(signal, told).map_err(Error::io(ACTION))?);
        }
        Ok(signals)
    }

    /// Waits for a signal. Cancel-safe.
    pub(super) async fn next(&mut self) {
        // It ends with the process only: the writing ends are the handlers'.
        let _ = self.stream.read_u8().await;
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.ids.drain(..).for_each(|id| {
            unregister(id);
        });
    }
}
