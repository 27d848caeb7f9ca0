//! Purges and other cancellations: somebody asked for each, and a purge leaves nothing of what was there.

use std::collections::BTreeMap;
use std::sync::Arc;

use lineshaft_wire::message::{ChangeQueue, Message, QueueVerb};
use lineshaft_wire::{JobId, JobRecord, JobState};

use super::{Known, Ledger, Origin, Verdict, tags_of};
use crate::simulation::network::{Frame, Peer};
use crate::simulation::{SECOND, Time};

/// How long the engine is up until a purge that was answered has come to its end.
const PURGE: Time = 5 * SECOND;

/// When purges arrived at the engine.
#[derive(Clone, Default)]
pub(super) struct Purges {
    /// Counts all that arrives.
    pub(super) arrivals: u64,
    /// When each purge did first: who asked for it, and the number of the request.
    first: BTreeMap<(Peer, u64), u64>,
    /// When one of a queue did last.
    last: BTreeMap<Arc<str>, u64>,
}

impl Ledger {
    /// A request arrives at the engine, for the first time or again.
    pub(in crate::simulation) fn arrived(&mut self, peer: Peer, frame: &Frame) {
        self.purges.arrivals += 1;
        let at = self.purges.arrivals;
        match &frame.message {
            Message::Enqueue(_) => {
                for tag in tags_of(frame) {
                    let Some(asked) = self.asked.get_mut(&tag) else { continue };
                    asked.arrived.get_or_insert(at);
                    asked.copies += 1;
                }
            }
            Message::ChangeQueue(ChangeQueue { queue, verb: QueueVerb::Purge, sequence }) => {
                self.purges.first.entry((peer, sequence.number)).or_insert(at);
                self.purges.last.insert(Arc::clone(queue), at);
            }
            _ => {}
        }
    }

    /// Somebody asks to cancel a job.
    pub(in crate::simulation) fn cancelling(&mut self, job: JobId) {
        if let Some(known) = self.jobs.get_mut(&job) {
            known.may_be_cancelled = true;
        }
    }

    /// The answer to a purge left: it takes all jobs that were there before it and never began.
    pub(super) fn purged(&mut self, peer: Peer, request: &ChangeQueue) {
        let Some(first) = self.purges.first.get(&(peer, request.sequence.number)).copied() else { return };
        let is_there = |at: Option<u64>| at.is_some_and(|at| at < first);
        let here = self.asked.values().filter(|asked| asked.wanted.queue == &*request.queue);
        for id in here.filter(|asked| is_there(asked.acknowledged)).flat_map(|asked| &asked.ids) {
            if let Some(known) = self.jobs.get_mut(id).filter(|known| known.newest.is_none()) {
                known.purged = Some(self.up);
            }
        }
    }

    /// A job is leased: not one that was purged. What the purge has not come to yet may begin, and is not looked at again.
    pub(super) fn leased_after_purge(&mut self, job: JobId) -> Verdict {
        let up = self.up;
        let Some(known) = self.jobs.get_mut(&job) else { return Ok(()) };
        let (Some(purged), Some(Origin::Asked(tag))) = (known.purged.take(), known.origin) else {
            return Ok(());
        };
        // One that was asked for again came after the purge.
        let is_first = self.asked.get(&tag).is_some_and(|asked| asked.repeats == 0);
        if is_first && up > purged + PURGE {
            return Err(format!("{job} is leased, though its queue was purged before it began"));
        }
        Ok(())
    }

    /// A job is cancelled only by who asked for that, or by a purge that came after it.
    pub(super) fn check_cancelled(&self, known: &Known, record: &JobRecord) -> Verdict {
        let Some(Origin::Asked(tag)) = known.origin.filter(|_| record.state == JobState::Cancelled) else {
            return Ok(());
        };
        let Some(asked) = self.asked.get(&tag).filter(|asked| asked.repeats == 0) else { return Ok(()) };
        let purged = self.purges.last.get(asked.wanted.queue).copied().unwrap_or(0);
        if known.may_be_cancelled || asked.arrived.is_none_or(|arrived| arrived <= purged) {
            return Ok(());
        }
        Err(format!("{} is cancelled, and nobody asked for that since it is there", record.id))
    }
}
