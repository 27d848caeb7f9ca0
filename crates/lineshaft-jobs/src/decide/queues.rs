//! Pausing, resuming and purging queues.

use std::sync::Arc;

use lineshaft_wire::JobState;
use lineshaft_wire::message::{QueueVerb, Sequence};

use super::enqueue::check_name;
use super::{Answered, Turn, check_room};
use crate::change::Change;
use crate::command::{Decision, Refusal};
use crate::state::State;

impl State {
    pub(super) fn decide_queue(
        &self,
        session: u64,
        sequence: Sequence,
        queue: &Arc<str>,
        verb: QueueVerb,
    ) -> Result<Decision, Refusal> {
        let request = match self.turn(session, sequence)? {
            Turn::Answered(decision) => return Ok(decision),
            Turn::Fresh(request) => request,
        };
        check_name("queue", queue)?;
        if self.names.number(queue).is_none() {
            check_room("distinct names", self.names.len(), 1, self.limits.names)?;
        }
        let name = self.name(queue);
        let change = match verb {
            QueueVerb::Pause => Change::QueuePaused { queue: name, paused: true },
            QueueVerb::Resume => Change::QueuePaused { queue: name, paused: false },
            QueueVerb::Purge => Change::PurgeStarted { queue: name },
        };
        let jobs = if verb == QueueVerb::Purge { self.purgeable(queue) } else { 0 };
        Ok(Decision::answered(vec![change.into()], request, Answered { jobs, ..Answered::default() }))
    }

    /// Jobs of the queue that do not run and are not finished.
    fn purgeable(&self, queue: &str) -> u64 {
        let entry = self.names.number(queue).and_then(|number| self.queues.get(&number));
        let states = [JobState::Scheduled, JobState::Available, JobState::Retryable];
        entry.map_or(0, |entry| states.iter().map(|state| entry.counts[*state as usize]).sum())
    }
}
