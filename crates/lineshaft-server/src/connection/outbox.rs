//! What waits to be sent to one connection.
//!
//! The engine's thread puts messages in, the connection's task takes them out. Payloads that lie in the journal are
//! only named here and read when they are sent, so a client that asks for a gigabyte of results costs no memory until
//! it reads them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lineshaft_engine::Outgoing;
use lineshaft_wire::message::{Message, RefusalCode};
use tokio::sync::Notify;

use super::footprint::footprint;
use super::goodbye::Goodbye;

/// The queue of a connection.
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    arrived: Notify,
    bytes_max: usize,
}

#[derive(Default)]
struct Queue {
    messages: VecDeque<Outgoing>,
    bytes: usize,
    end: End,
}

/// How the queue ends.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// The engine closed it: what is queued is still sent.
    Closed,
    /// It grew over its bound: what was queued is gone.
    Overflowed,
}

/// What [`Outbox::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Messages.
    Some,
    /// Nothing for now.
    Empty,
    /// Nothing, for ever: the engine closed.
    Closed,
}

impl Outbox {
    /// An empty outbox that holds about `bytes_max` bytes and what comes on top of them at once.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { queue: Mutex::default(), arrived: Notify::new(), bytes_max }
    }

    /// Appends one message of the server's own.
    pub(crate) fn push(&self, request_id: u64, message: impl Into<Message>) {
        lineshaft_engine::Outbox::deliver(self, vec![Outgoing::new(request_id, message)]);
    }

    /// Moves messages of about `bytes` into `batch`, at least one if there is one. Fails once the peer has let too
    /// much pile up.
    pub(crate) fn take(&self, batch: &mut Vec<Outgoing>, bytes: usize) -> Result<Taken, Goodbye> {
        let mut queue = self.lock();
        if queue.end == End::Overflowed {
            return Err(too_slow(self.bytes_max));
        }
        let mut taken = 0;
        while taken < bytes
            && let Some(outgoing) = queue.messages.pop_front()
        {
            taken += footprint(&outgoing);
            batch.push(outgoing);
        }
        queue.bytes -= taken;
        Ok(match (batch.is_empty(), queue.end) {
            (false, _) => Taken::Some,
            (true, End::Closed) => Taken::Closed,
            (true, _) => Taken::Empty,
        })
    }

    /// Waits until something may have changed. Cancel-safe.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl lineshaft_engine::Outbox for Outbox {
    fn deliver(&self, messages: Vec<Outgoing>) {
        let mut queue = self.lock();
        if queue.end != End::Open {
            return;
        }
        // What comes at once may be more than the bound: the engine held it already. What is there and not read counts.
        if queue.bytes > self.bytes_max {
            *queue = Queue { end: End::Overflowed, ..Queue::default() };
        } else {
            queue.bytes += messages.iter().map(footprint).sum::<usize>();
            queue.messages.extend(messages);
        }
        drop(queue);
        self.arrived.notify_one();
    }

    fn close(&self) {
        let mut queue = self.lock();
        if queue.end == End::Open {
            queue.end = End::Closed;
        }
        drop(queue);
        self.arrived.notify_one();
    }
}

fn too_slow(bytes_max: usize) -> Goodbye {
    let message = format!("more than {bytes_max} bytes wait to be read by this client");
    Goodbye::tell(RefusalCode::TooSlow, message)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lineshaft_engine::{Outbox as _, Payload};
    use lineshaft_store::PayloadRef;
    use lineshaft_wire::message::Fetched;

    use super::*;

    fn fetched(payload: Payload) -> Outgoing {
        Outgoing { request_id: 1, message: Fetched { length: 0 }.into(), payloads: vec![payload] }
    }

    fn at_hand(bytes: usize) -> Outgoing {
        fetched(Payload::Bytes(Bytes::from(vec![0; bytes])))
    }

    #[test]
    fn messages_leave_in_order_and_in_batches() {
        let outbox = Outbox::new(1 << 20);
        outbox.deliver((1..=3).map(|request_id| Outgoing { request_id, ..at_hand(10_000) }).collect());
        let mut batch = Vec::new();
        assert_eq!(outbox.take(&mut batch, 15_000).unwrap(), Taken::Some);
        assert_eq!(batch.drain(..).map(|outgoing| outgoing.request_id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(outbox.take(&mut batch, 15_000).unwrap(), Taken::Some);
        assert_eq!(batch.drain(..).map(|outgoing| outgoing.request_id).collect::<Vec<_>>(), [3]);
        assert_eq!(outbox.take(&mut batch, 15_000).unwrap(), Taken::Empty);
        assert_eq!(outbox.lock().bytes, 0);
    }

    #[test]
    fn what_is_queued_when_the_engine_closes_still_leaves() {
        let outbox = Outbox::new(1 << 20);
        outbox.deliver(vec![at_hand(1)]);
        outbox.close();
        outbox.deliver(vec![at_hand(1)]);
        let mut batch = Vec::new();
        assert_eq!(outbox.take(&mut batch, 10_000).unwrap(), Taken::Some);
        assert_eq!(batch.drain(..).count(), 1);
        assert_eq!(outbox.take(&mut batch, 10_000).unwrap(), Taken::Closed);
    }

    #[test]
    fn too_much_frees_the_queue_and_says_so() {
        let outbox = Outbox::new(10_000);
        outbox.deliver(vec![at_hand(5_000)]);
        outbox.deliver(vec![at_hand(6_000)]);
        outbox.deliver(vec![at_hand(1)]);
        outbox.close();
        let goodbye = outbox.take(&mut Vec::new(), 1).unwrap_err();
        assert_eq!(goodbye.to_string(), "more than 10000 bytes wait to be read by this client");
        assert!(outbox.lock().messages.is_empty());
    }

    #[test]
    fn payloads_that_can_be_read_later_do_not_count() {
        let outbox = Outbox::new(10_000);
        let stored = PayloadRef::Blob { id: 1, length: 1 << 30 };
        outbox.deliver(vec![fetched(Payload::Stored(stored))]);
        assert_eq!(outbox.take(&mut Vec::new(), 1).unwrap(), Taken::Some);
    }
}
