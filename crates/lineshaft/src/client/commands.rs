//! The way into the channel of a client's task.

use std::{fmt, mem};

use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};

use super::actor::Command;
use super::io_thread::Io;
use crate::Error;

/// Sends to the task of the process that made it. In a forked copy nobody listens, so nothing is sent there, and the
/// channel is left alone: its locks are as the parent's threads had them, and its waker is shared with them.
#[derive(Clone)]
pub(crate) struct Commands {
    io: &'static Io,
    sender: Option<UnboundedSender<Command>>,
}

impl Commands {
    pub(crate) fn new(io: &'static Io, sender: UnboundedSender<Command>) -> Self {
        Self { io, sender: Some(sender) }
    }

    /// The same without keeping the task alive; of a channel that this process made.
    pub(crate) fn downgrade(&self) -> WeakCommands {
        let sender = self.sender.as_ref().expect("only dropping takes it").downgrade();
        WeakCommands { io: self.io, sender }
    }

    /// Where the task runs.
    pub(crate) fn io(&self) -> &'static Io {
        self.io
    }

    /// Whether this process made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.io.is_ours()
    }

    /// [`Error::Closed`] if the task is not there (any more).
    pub(crate) fn send(&self, command: Command) -> Result<(), Error> {
        match &self.sender {
            Some(sender) if self.is_ours() => {
                self.io.add_work();
                sender.send(command).map_err(|_| {
                    self.io.remove_work();
                    Error::Closed
                })
            }
            _ => Err(Error::Closed),
        }
    }
}

/// A way that may be closed.
pub(crate) struct WeakCommands {
    io: &'static Io,
    sender: WeakUnboundedSender<Command>,
}

impl WeakCommands {
    /// The way, if the task still listens to others.
    pub(crate) fn upgrade(&self) -> Option<Commands> {
        self.sender.upgrade().map(|sender| Commands::new(self.io, sender))
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        if !self.is_ours() {
            mem::forget(self.sender.take());
        }
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}
