//! Which queues are paused, as far as those outside can be sure of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lineshaft_wire::message::{ChangeQueue, Message, QueueVerb};

use super::Ledger;
use crate::simulation::network::Peer;

/// What was asked of queues.
#[derive(Default)]
pub(super) struct Pauses {
    /// Counts what was asked.
    asked: u64,
    /// When each pause was asked for: the producer, and the number of its request.
    pauses: BTreeMap<(usize, u64), u64>,
    /// When a queue was last asked to go on.
    resumed: BTreeMap<Arc<str>, u64>,
    /// How many such requests may still be carried out.
    resuming: BTreeMap<Arc<str>, u64>,
    paused: BTreeSet<Arc<str>>,
}

impl Ledger {
    /// A producer asks for a pause, for the first time.
    pub(in crate::simulation) fn pausing(&mut self, producer: usize, message: &Message) {
        let Message::ChangeQueue(request) = message else { return };
        self.pauses.asked += 1;
        self.pauses.pauses.insert((producer, request.sequence.number), self.pauses.asked);
    }

    /// Something is sent; it may let a queue go on.
    pub(in crate::simulation) fn resuming(&mut self, message: &Message) {
        let Message::ChangeQueue(ChangeQueue { queue, verb: QueueVerb::Resume, .. }) = message else {
            return;
        };
        self.pauses.asked += 1;
        self.pauses.resumed.insert(Arc::clone(queue), self.pauses.asked);
        *self.pauses.resuming.entry(Arc::clone(queue)).or_default() += 1;
        self.pauses.paused.remove(queue);
    }

    /// The answer to a change of a queue left. One that is paused stays so if nobody asked it to go on meanwhile.
    pub(super) fn queue_changed(&mut self, peer: Peer, request: &ChangeQueue) {
        let ChangeQueue { queue, verb, sequence } = request;
        let pauses = &mut self.pauses;
        match (verb, peer) {
            (QueueVerb::Pause, Peer::Producer(place)) => {
                let asked = pauses.pauses.get(&(place, sequence.number)).copied().unwrap_or(0);
                let is_over = pauses.resumed.get(queue).is_some_and(|resumed| *resumed > asked);
                let goes_on = pauses.resuming.get(queue).is_some_and(|open| *open > 0);
                if !is_over && !goes_on {
                    pauses.paused.insert(Arc::clone(queue));
                }
            }
            (QueueVerb::Resume, _) => {
                pauses.resuming.entry(Arc::clone(queue)).and_modify(|open| *open = open.saturating_sub(1));
            }
            _ => {}
        }
    }

    /// Whether the queue is paused for sure.
    pub(super) fn is_paused(&self, queue: &str) -> bool {
        self.pauses.paused.contains(queue)
    }
}
