//! Jobs that are over, and places that are free again.

use std::sync::Arc;

use lineshaft_wire::JobState;

use crate::command::Event;
use crate::slot::Slot;
use crate::state::State;

impl State {
    pub(super) fn finish(&mut self, index: u32, state: JobState, reason: Option<&Arc<str>>) {
        if !self.is_detached(index) {
            self.unlink(index);
            let lane = self.lane_of(index);
            self.lanes.refresh(lane, &self.slots);
        }
        self.clear_timer(index);
        self.clear_limit(index);
        self.end_unique(index, state);
        self.set_state(index, state);
        self.finish_number += 1;
        let (number, now) = (self.finish_number, self.wall_ms);
        let slot = self.slots.at_mut(index);
        slot.order = number;
        slot.set_cancelling(false);
        let extra = self.slots.extra_mut(index);
        (extra.finalized_ms, extra.reason) = (now, reason.cloned());
        self.finished.push_back(&mut self.slots, index);
        self.events.push(Event::Finished { slot: index });
    }

    pub(super) fn free_oldest_finished(&mut self) {
        let Some(index) = self.finished.pop_front(&mut self.slots) else { return };
        self.archived += 1;
        let lane = self.lane_of(index);
        let generation = (self.slots.at(index).generation + 1) % lineshaft_wire::id::GENERATIONS;
        let free = Slot { order: self.archived, ..Slot::free(generation) };
        let row = self.slots.replace(index, free.into());
        let (job, slot) = (row.job(), row.slot);
        self.free.insert(index);
        for place in job.places() {
            self.unkeep(place);
        }
        self.queue_mut(slot.queue).counts[slot.job_state() as usize] -= 1;
        self.lanes.leave(lane);
        if self.lanes.find(slot.queue, slot.task).is_none() {
            self.queue_mut(slot.queue).lanes.remove(&slot.task);
            self.close_idle_queue(slot.queue);
        }
        self.names.release(slot.task);
        self.names.release(slot.queue);
        self.rules.release(slot.rules);
        for tag in job.tags() {
            self.names.release(*tag);
        }
        self.slots.recycle(row.extra);
    }
}
