//! A checkpoint on its way to the server, and the word on it on its way back.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use lineshaft_wire::message::{self, Finished, Message};
use lineshaft_wire::{Fence, JobId};

use super::Ticket;
use super::queue::Shared;
use crate::Error;
use crate::client::reply::{Reply, Slot};

/// A value that waits to be durable. Forgotten, it says so to whoever waits.
pub(super) struct Pending {
    pub(super) job: JobId,
    pub(super) fence: Fence,
    value: Bytes,
    answer: Arc<Slot>,
}

impl Pending {
    pub(super) fn message(&self) -> (Message, Vec<Bytes>) {
        let Self { job, fence, .. } = *self;
        let length = self.value.len() as u32;
        (message::Checkpoint { job, fence, length }.into(), vec![self.value.clone()])
    }

    /// The server's word.
    pub(super) fn answer(&self, answer: Result<Finished, Error>) {
        self.answer.fill(answer.map(|finished| (finished.into(), Bytes::new())));
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
        // The first answer counts.
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
        let (job, fence) = (running.job, running.fence);
        state.checkpoints.push_back(Pending { job, fence, value: value.into(), answer });
        drop(state);
        self.wake.notify_one();
        reply
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
