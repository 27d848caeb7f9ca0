//! The way in: what arrives waits here until a thread takes the engine's next turn.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::handle::Input;
use crate::sync::{AtomicBool, OnceLock, Thread, current};

/// Hands inputs to the engine; clones lead to the same one.
#[derive(Clone)]
pub(crate) struct Inbox {
    sender: Sender<Input>,
    bell: Arc<Bell>,
}

/// Calls the engine's thread.
#[derive(Default)]
pub(crate) struct Bell {
    thread: OnceLock<Thread>,
    rung: AtomicBool,
}

impl Inbox {
    pub(crate) fn new() -> (Self, Receiver<Input>) {
        let (sender, inputs) = unbounded();
        (Self { sender, bell: Arc::default() }, inputs)
    }

    /// Hands an input to the engine's thread. Never blocks; an engine that has ended drops it.
    pub(crate) fn send(&self, input: Input) {
        self.leave(input);
        self.bell.ring();
    }

    /// Leaves an input for whoever takes the next turn, and calls nobody.
    pub(crate) fn leave(&self, input: Input) {
        drop(self.sender.send(input));
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}

impl Bell {
    /// The calling thread is the engine's.
    pub(crate) fn answer_here(&self) {
        self.thread.get_or_init(current);
    }

    /// Makes the engine's thread take a turn, now or after the one it is at.
    pub(crate) fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        // Before the thread has begun there is nobody to wake: it looks before it sleeps.
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Whether the engine's thread is still to look at everything that was left before this.
    pub(crate) fn has_rung(&self) -> bool {
        // A load might give what was true before the thread heard it, and then it need not see what was left since. An
        // exchange stands in one row with the thread's.
        self.rung.fetch_or(false, Ordering::AcqRel)
    }

    /// The engine's thread is about to look at everything that was left before this.
    pub(crate) fn heard(&self) {
        self.rung.swap(false, Ordering::AcqRel);
    }
}
