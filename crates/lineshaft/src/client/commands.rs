//! The way into the channel of a client's task.

use std::sync::{Arc, PoisonError, Weak};
use std::{fmt, mem};

use tokio::sync::mpsc::UnboundedSender;

use super::actor::Command;
use super::io_thread::Io;
use super::ledger::{Batch, Request};
use crate::Error;
use crate::sync::{Mutex, MutexGuard};

/// Sends to the task of the process that made it. In a forked copy nobody listens, so nothing is sent there, and the
/// channel is left alone: its locks are as the parent's threads had them, and its waker is shared with them.
#[derive(Clone)]
pub(crate) struct Commands {
    io: &'static Io,
    /// Only dropping takes it.
    way: Option<Arc<Way>>,
}

/// What all of them share, and so does what is on its way: it ends once, and the task is told.
struct Way {
    io: &'static Io,
    sender: UnboundedSender<Command>,
    /// The last command, if it is a batch that the task has not taken yet: what fits goes with it.
    last: Mutex<Option<Arc<Batch>>>,
}

impl Commands {
    pub(crate) fn new(io: &'static Io, sender: UnboundedSender<Command>) -> Self {
        Self { io, way: Some(Arc::new(Way { io, sender, last: Mutex::default() })) }
    }

    /// The same without keeping the task alive; of a channel that this process made.
    pub(crate) fn downgrade(&self) -> WeakCommands {
        let way = self.way.as_ref().expect("only dropping takes it");
        WeakCommands { io: self.io, way: Arc::downgrade(way) }
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
        let way = self.way()?;
        let mut last = way.lock_last();
        *last = None;
        way.push(command)
    }

    /// Sends a request, with the one before it if that is as good.
    pub(crate) fn request(&self, request: Request) -> Result<(), Error> {
        let way = self.way()?;
        let mut last = way.lock_last();
        let request = match &*last {
            Some(batch) => batch.join(request),
            None => Some(request),
        };
        let Some(request) = request else { return Ok(()) };
        let batch = Arc::new(Batch::of(request));
        way.push(Command::Request(Arc::clone(&batch)))?;
        *last = Some(batch);
        Ok(())
    }

    fn way(&self) -> Result<&Arc<Way>, Error> {
        self.way.as_ref().filter(|_| self.is_ours()).ok_or(Error::Closed)
    }
}

impl Way {
    fn push(self: &Arc<Self>, command: Command) -> Result<(), Error> {
        if self.sender.is_closed() {
            return Err(Error::Closed);
        }
        let way = Arc::clone(self);
        self.io.add_command(move || {
            if way.sender.send(command).is_err() {
                way.io.remove_work();
            }
        });
        Ok(())
    }

    fn lock_last(&self) -> MutexGuard<'_, Option<Arc<Batch>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Way {
    /// The end of the channel is work as every command is, until the task has ended: whoever drives sees to it, or calls
    /// the thread.
    fn drop(&mut self) {
        if !self.sender.is_closed() {
            self.io.add_work();
            self.io.call();
        }
    }
}

/// A way that may be closed.
pub(crate) struct WeakCommands {
    io: &'static Io,
    way: Weak<Way>,
}

impl WeakCommands {
    /// The way, if the task still listens to others.
    pub(crate) fn upgrade(&self) -> Option<Commands> {
        Some(Commands { io: self.io, way: Some(self.way.upgrade()?) })
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        if !self.is_ours() {
            mem::forget(self.way.take());
        }
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}
