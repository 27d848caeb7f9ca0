//! The way into the channel of a client's task.

use std::sync::{Arc, PoisonError};
use std::{fmt, mem};

use tokio::sync::mpsc::{UnboundedSender, WeakUnboundedSender};

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
    way: Option<Way>,
}

#[derive(Clone)]
struct Way {
    sender: UnboundedSender<Command>,
    /// The last command, if it is a batch that the task has not taken yet: what fits goes with it.
    last: Last,
}

type Last = Arc<Mutex<Option<Arc<Batch>>>>;

impl Commands {
    pub(crate) fn new(io: &'static Io, sender: UnboundedSender<Command>) -> Self {
        Self { io, way: Some(Way { sender, last: Last::default() }) }
    }

    /// The same without keeping the task alive; of a channel that this process made.
    pub(crate) fn downgrade(&self) -> WeakCommands {
        let Way { sender, last } = self.way.as_ref().expect("only dropping takes it");
        WeakCommands { io: self.io, sender: sender.downgrade(), last: Arc::clone(last) }
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
        self.push(way, command)
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
        self.push(way, Command::Request(Arc::clone(&batch)))?;
        *last = Some(batch);
        Ok(())
    }

    fn way(&self) -> Result<&Way, Error> {
        self.way.as_ref().filter(|_| self.is_ours()).ok_or(Error::Closed)
    }

    fn push(&self, way: &Way, command: Command) -> Result<(), Error> {
        if way.sender.is_closed() {
            return Err(Error::Closed);
        }
        let (io, sender) = (self.io, way.sender.clone());
        self.io.add_command(move || {
            if sender.send(command).is_err() {
                io.remove_work();
            }
        });
        Ok(())
    }
}

/// A way that may be closed.
pub(crate) struct WeakCommands {
    io: &'static Io,
    sender: WeakUnboundedSender<Command>,
    last: Last,
}

impl Way {
    fn lock_last(&self) -> MutexGuard<'_, Option<Arc<Batch>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WeakCommands {
    /// The way, if the task still listens to others.
    pub(crate) fn upgrade(&self) -> Option<Commands> {
        let way = Way { sender: self.sender.upgrade()?, last: Arc::clone(&self.last) };
        Some(Commands { io: self.io, way: Some(way) })
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        let way = self.way.take();
        if !self.is_ours() {
            return mem::forget(way);
        }
        let is_last = way.as_ref().is_some_and(|way| way.sender.strong_count() == 1);
        drop(way);
        if is_last {
            // Nobody else would drive to close the connection.
            self.io.call();
        }
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}
