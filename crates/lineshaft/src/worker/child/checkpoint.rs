//! Checkpoints on their way to the server, and the word on them on its way back.
//!
//! Those of one attempt may be on their way together, as its threads or coroutines leave them. The server takes them in
//! order; one that it refused for want of room is sent again later, but only if it is the newest of its attempt: an older
//! one is forgotten, and counts as durable when the newer one does.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lineshaft_wire::message::{self, Finished, Message};
use lineshaft_wire::{Fence, JobId};

use super::Ticket;
use super::queue::{Shared, State};
use crate::Error;
use crate::client::reply::{Reply, Slot};

/// A value that waits to be durable. Forgotten, it says so to whoever waits.
pub(super) struct Pending {
    pub(super) job: JobId,
    pub(super) fence: Fence,
    /// Its place among those of the attempt, from 1.
    pub(super) number: u64,
    value: Bytes,
    /// Who waits for it, or for an older one that it took the place of.
    answers: Vec<Arc<Slot>>,
}

impl Pending {
    pub(super) fn message(&self) -> (Message, Vec<Bytes>) {
        let Self { job, fence, .. } = *self;
        let length = self.value.len() as u32;
        (message::Checkpoint { job, fence, length }.into(), vec![self.value.clone()])
    }

    /// The server's word, for whoever left an older one too.
    pub(super) fn answer(&mut self, answer: Result<Finished, Error>) {
        let answer = answer.map(|finished| (finished.into(), Bytes::new()));
        self.answers.drain(..).for_each(|slot| slot.fill(answer.clone()));
    }

    /// Takes the place of an older one of the same attempt.
    pub(super) fn replace(&mut self, mut older: Self) {
        self.answers.append(&mut older.answers);
    }

    /// Whether it is newer than `other`, of the same attempt.
    pub(super) fn is_after(&self, other: &Self) -> bool {
        self.fence == other.fence && self.number > other.number
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { job, fence, .. } = self;
        f.debug_struct("Pending").field("job", job).field("fence", fence).finish_non_exhaustive()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.answer(Ok(refused(self.job, self.fence)));
    }
}

impl Shared {
    /// Leaves a checkpoint for the connection.
    pub(super) fn leave_checkpoint(&self, ticket: Ticket, value: Vec<u8>) -> Reply<bool> {
        let answer = Arc::new(Slot::default());
        let reply = Reply::new(Arc::clone(&answer)).map(is_durable);
        let mut state = self.state();
        let Some(running) = state.slots.get_mut(ticket) else {
            let lost = refused(JobId::direct(0, 0, 0, 0), ticket.fence);
            answer.fill(Ok((lost.into(), Bytes::new())));
            return reply;
        };
        running.checkpoints_left += 1;
        let (job, fence, number) = (running.job, running.fence, running.checkpoints_left);
        state.checkpoints.push_back(Pending {
            job,
            fence,
            number,
            value: value.into(),
            answers: vec![answer],
        });
        drop(state);
        self.call_connection();
        reply
    }
}

impl State {
    /// A checkpoint is durable.
    pub(super) fn note_checkpoint(&mut self, kept: &Pending) {
        if let Some(running) = self.slots.by_fence_mut(kept.fence) {
            running.checkpoint_kept = running.checkpoint_kept.max(kept.number);
        }
    }

    /// Whether a newer one of the same attempt is durable.
    pub(super) fn is_outdated(&self, checkpoint: &Pending) -> bool {
        let running = self.slots.iter().find(|(_, running)| running.fence == checkpoint.fence);
        running.is_some_and(|(_, running)| running.checkpoint_kept > checkpoint.number)
    }
}

/// The newest durable checkpoint of an attempt as its own body sees it, whichever of its threads heard of which first.
#[derive(Debug, Default)]
pub struct Newest {
    inner: Mutex<Kept>,
    /// How many were left. Counted with the lock.
    left: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    number: u64,
    value: Bytes,
}

impl Newest {
    /// The one that the attempt began with; empty is none.
    pub fn new(value: Bytes) -> Self {
        Self { inner: Mutex::new(Kept { value, ..Kept::default() }), left: AtomicU64::new(0) }
    }

    /// Whether nothing was left since.
    pub(crate) fn is_as_made(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// An encoded value; empty is none.
    pub fn value(&self) -> Bytes {
        self.lock().value.clone()
    }

    /// Leaves a checkpoint by calling `leave`, and numbers it. One after the other, so that numbers are the order.
    pub fn leave<T>(&self, leave: impl FnOnce() -> T) -> (u64, T) {
        let _kept = self.lock();
        (self.left.fetch_add(1, Ordering::Relaxed) + 1, leave())
    }

    /// The one of this number is durable.
    pub fn keep(&self, number: u64, value: &Bytes) {
        let mut kept = self.lock();
        if number > kept.number {
            (kept.number, kept.value) = (number, value.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(job: JobId, fence: Fence) -> Finished {
    Finished { refused: vec![(job, fence)] }
}

/// Whether the checkpoint stands: else its attempt is over, or belongs to another worker by now.
fn is_durable(message: Message, _: Bytes) -> Result<bool, Error> {
    match message {
        Message::Finished(finished) => Ok(finished.refused.is_empty()),
        other => Err(Error::Protocol(format!("a checkpoint was answered with {}", other.name()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers to two threads come in any order.
    #[test]
    fn an_attempt_sees_the_checkpoint_that_it_left_last() {
        let newest = Newest::new(Bytes::from_static(b"before"));
        let numbers = [newest.leave(|| ()).0, newest.leave(|| ()).0];
        assert_eq!(newest.value(), "before");
        newest.keep(numbers[1], &Bytes::from_static(b"second"));
        newest.keep(numbers[0], &Bytes::from_static(b"first"));
        assert_eq!(newest.value(), "second");
    }
}
