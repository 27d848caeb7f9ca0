//! The slots of a child: which attempt is in each.

use std::time::Instant;

use lineshaft_wire::{Fence, JobId};

use super::accounts::Opening;
use super::held::Held;
use super::job::{Job, Ticket};

/// The attempt in a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) job: JobId,
    pub(super) fence: Fence,
    /// When the slot took it.
    pub(super) since: Instant,
    pub(super) argument_bytes: usize,
    /// Its body's beginning.
    pub(super) begun: Option<Beginning>,
    /// A request to stop was passed on: once is enough.
    pub(super) told: bool,
    /// Checkpoints that it left, and the number of the newest one that is durable.
    pub(super) checkpoints_left: u64,
    pub(super) checkpoint_kept: u64,
}

/// When a body began, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    pub(super) started_at: u64,
    pub(super) began: Instant,
    pub(super) at_most_once: bool,
    /// What had been used by then.
    pub(super) opening: Option<Opening>,
}

/// All slots; a place is given away when something is taken up, the one that was left last first.
#[derive(Debug)]
pub(super) struct Slots {
    running: Vec<Option<Running>>,
    left: Vec<u32>,
    most: u32,
}

impl Slots {
    pub(super) fn new(most: u32) -> Self {
        Self { running: Vec::new(), left: Vec::new(), most }
    }

    /// Slots that there are.
    pub(super) fn most(&self) -> u32 {
        self.most
    }

    /// Slots with an attempt.
    pub(super) fn busy(&self) -> u32 {
        (self.running.len() - self.left.len()) as u32
    }

    pub(super) fn is_full(&self) -> bool {
        self.busy() == self.most
    }

    /// Puts a job into a free slot, of which there must be one; gives its place.
    pub(super) fn occupy(&mut self, job: &Job, since: Instant) -> u32 {
        let place = self.left.pop().unwrap_or_else(|| {
            debug_assert!((self.running.len() as u32) < self.most, "no slot is free");
            self.running.push(None);
            self.running.len() as u32 - 1
        });
        let (argument_bytes, begun) = (job.arguments.len(), None);
        let running = Running {
            job: job.id,
            fence: job.fence,
            since,
            argument_bytes,
            begun,
            told: false,
            checkpoints_left: 0,
            checkpoint_kept: 0,
        };
        self.running[place as usize] = Some(running);
        place
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Running> {
        let running = self.running.get_mut(ticket.place as usize)?.as_mut();
        running.filter(|running| running.fence == ticket.fence)
    }

    pub(super) fn by_fence_mut(&mut self, fence: Fence) -> Option<&mut Running> {
        self.running.iter_mut().flatten().find(|running| running.fence == fence)
    }

    /// Frees the slot of an attempt.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Running> {
        let running = self.get_mut(ticket).copied()?;
        self.running[ticket.place as usize] = None;
        self.left.push(ticket.place);
        Some(running)
    }

    /// What is seen of the bodies that run.
    pub(super) fn held_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        let running = self.running.iter_mut().flatten();
        running.filter_map(|running| running.begun.as_mut()?.opening.as_mut()?.held.as_mut())
    }

    /// Whether an attempt is in a slot whose body has not begun.
    pub(super) fn has_unbegun(&self) -> bool {
        self.running.iter().flatten().any(|running| running.begun.is_none())
    }

    /// Every attempt that is in a slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Ticket, &Running)> {
        (0..).zip(&self.running).filter_map(|(place, running)| {
            let running = running.as_ref()?;
            Some((Ticket { place, fence: running.fence }, running))
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lineshaft_wire::Looks;

    use super::*;

    fn job(counter: u64) -> Job {
        Job {
            id: JobId::direct(1, 0, counter as u32, 0),
            fence: Fence { epoch: 1, counter },
            task: 0,
            attempt: 1,
            is_last: false,
            timeout: None,
            keep_result: true,
            arguments: Bytes::new(),
            checkpoint: Bytes::new(),
            looks: Looks::NONE,
            context: None,
            place: 0,
        }
    }

    #[test]
    fn places_are_given_away_and_come_back() {
        let mut slots = Slots::new(2);
        let now = Instant::now();
        let tickets =
            [1, 2].map(|counter| Ticket { place: slots.occupy(&job(counter), now), ..job(counter).ticket() });
        assert_eq!((slots.busy(), slots.is_full(), tickets.map(|ticket| ticket.place)), (2, true, [0, 1]));
        assert!(slots.leave(tickets[0]).is_some() && slots.leave(tickets[0]).is_none());
        assert_eq!(slots.occupy(&job(3), now), 0);
        assert!(slots.get_mut(tickets[0]).is_none(), "the place is somebody else's by now");
        assert_eq!(slots.iter().map(|(ticket, _)| ticket.fence.counter).collect::<Vec<_>>(), [3, 2]);
    }
}
