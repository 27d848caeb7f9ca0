//! The way into the channel of a client's task.

use std::mem;

use tokio::sync::mpsc::UnboundedSender;

use super::actor::Command;
use crate::Error;

/// Sends to the task of the process that made it. In a forked copy nobody listens, so nothing is sent there, and the
/// channel is left alone: its locks are as the parent's threads had them, and its waker is shared with them.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    pid: u32,
    sender: Option<UnboundedSender<Command>>,
}

impl Commands {
    pub(crate) fn new(sender: UnboundedSender<Command>) -> Self {
        Self { pid: std::process::id(), sender: Some(sender) }
    }

    /// Whether this process made it.
    pub(crate) fn is_ours(&self) -> bool {
        self.pid == std::process::id()
    }

    /// [`Error::Closed`] if the task is not there (any more).
    pub(crate) fn send(&self, command: Command) -> Result<(), Error> {
        match &self.sender {
            Some(sender) if self.is_ours() => sender.send(command).map_err(|_| Error::Closed),
            _ => Err(Error::Closed),
        }
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        if !self.is_ours() {
            mem::forget(self.sender.take());
        }
    }
}
