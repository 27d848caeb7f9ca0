//! A server on a thread of the process that asks for it: nothing to start, nothing left behind.

use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::{Error, ServeOptions};

/// A running server on a thread of this process. Dropped, it stops, and its end is waited for.
///
/// It leaves signals and limits of the process alone. Everything else is as in [`crate::serve`], the lock of the home
/// included.
#[derive(Debug)]
pub struct Embedded {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
    process: u32,
}

impl Embedded {
    /// Starts it; returns when clients can connect.
    pub fn start(options: ServeOptions) -> Result<Self, Error> {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let told = options.ready;
        let options = ServeOptions {
            ready: Box::new(move |address| {
                told(address);
                // Whoever started it waits below.
                let _ = ready.send(());
            }),
            ..options
        };
        let thread = std::thread::Builder::new()
            .name("lineshaft-server".to_owned())
            .spawn(move || crate::server::run(options, Some(stopped)))
            .map_err(Error::Runtime)?;
        let mut embedded = Self { stop: Some(stop), thread: Some(thread), process: std::process::id() };
        // The sender goes when the server fails before it is ready.
        if is_ready.recv().is_err() {
            embedded.stop()?;
        }
        Ok(embedded)
    }

    /// Stops it and waits for its end. Its error is given once.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.stop = None;
        // A forked child has no such thread to wait for.
        let thread = self.thread.take().filter(|_| self.process == std::process::id());
        match thread.map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(Error::Runtime(std::io::Error::other("the server's thread panicked"))),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "an embedded server ended with an error");
        }
    }
}
