//! Which queues are paused, as far as those outside can be sure of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lineshaft_wire::message::{ChangeQueue, Message, QueueVerb};

use super::Ledger;
use crate::simulation::network::Peer;

/// What was asked of queues.
#[derive(Clone, Default)]
pub(super) struct Pauses {
    /// Counts what was asked.
    asked: u64,
    /// When each pause was asked for: the producer, and the number of its request.
    pauses: BTreeMap<(usize, u64), u64>,
    /// When a queue was last asked to go on, or that was answered.
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

    /// The answer to a change of a queue left. One that is paused stays so if nobody asked it to go on meanwhile: answers
    /// may leave in another order than they were decided in, and twice.
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
                pauses.asked += 1;
                pauses.resumed.insert(Arc::clone(queue), pauses.asked);
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

#[cfg(test)]
mod tests {
    use lineshaft_wire::message::Sequence;

    use super::*;

    /// A resume that was asked for before the pause was carried out after it, and its answer left first.
    #[test]
    fn the_answer_to_a_pause_says_nothing_once_a_resume_was_answered() {
        let change = |verb, number| ChangeQueue {
            sequence: Sequence { number, lowest: number },
            queue: "mail".into(),
            verb,
        };
        let (resume, pause) = (change(QueueVerb::Resume, 1), change(QueueVerb::Pause, 4));
        let mut ledger = Ledger::default();
        ledger.resuming(&resume.clone().into());
        ledger.pausing(0, &pause.clone().into());
        ledger.queue_changed(Peer::Producer(1), &resume);
        ledger.queue_changed(Peer::Producer(0), &pause);
        assert!(!ledger.is_paused("mail"));
        let later = change(QueueVerb::Pause, 5);
        ledger.pausing(0, &later.clone().into());
        ledger.queue_changed(Peer::Producer(0), &later);
        assert!(ledger.is_paused("mail"));
    }
}
