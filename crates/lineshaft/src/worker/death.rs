//! The death of a process as something to await.
#![allow(unsafe_code)] // The runtime wants a promise that the descriptor stays open while it watches it.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use lineshaft_ipc::process::Pidfd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Error;

/// A process whose end can be awaited.
#[derive(Debug)]
pub(super) struct Watched(AsyncFd<Held>);

/// A pidfd that nobody but its [`Watched`] owns.
#[derive(Debug)]
struct Held(Pidfd);

impl AsRawFd for Held {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Watched {
    /// Watches `process`; within a runtime.
    pub(super) fn new(process: Pidfd) -> Result<Self, Error> {
        // SAFETY: `Held` owns the pidfd, gives always the same number, and neither closes nor replaces it before it is
        // dropped, which the runtime does only after it has stopped watching.
        let registered = unsafe { AsyncFd::register_with_interest(Held(process), Interest::READABLE) };
        registered.map(Self).map_err(|error| Error::io("watch a process")(std::io::Error::from(error)))
    }

    /// Waits until the process has ended. Cancel-safe.
    pub(super) async fn ended(&self) {
        while !self.0.get_ref().0.has_exited() {
            match self.0.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime shuts down, and nobody listens any more.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// The process.
    pub(super) fn pidfd(&self) -> &Pidfd {
        &self.0.get_ref().0
    }
}
