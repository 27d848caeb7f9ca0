//! Everything derived from the rows of a snapshot, built again.

use std::sync::Arc;

use lineshaft_wire::JobState;
use lineshaft_wire::message::UniqueWhile;

use super::SnapshotError;
use super::tables::sorted;
use crate::change::Place;
use crate::state::State;

impl State {
    pub(super) fn index(&mut self) -> Result<(), SnapshotError> {
        let rows = (0..).zip(self.slots.iter());
        let (mut jobs, mut free) = (Vec::new(), Vec::new());
        for (index, slot) in rows {
            let list = if slot.is_free() { &mut free } else { &mut jobs };
            list.push((slot.order, index));
        }
        self.index_free(free)?;
        self.index_keys()?;
        jobs.sort_unstable();
        for (_, index) in jobs {
            self.index_job(index);
        }
        self.index_leases()?;
        self.lanes.refresh_all(&self.slots);
        Ok(())
    }

    /// Where places are used in turn they became free one by one as jobs were archived, so the turns of those still free
    /// are the last ones.
    fn index_free(&mut self, mut free: Vec<(u64, u32)>) -> Result<(), SnapshotError> {
        if self.free.hand().is_none() {
            free.sort_unstable();
            let before = self.archived.checked_sub(free.len() as u64);
            let turns = before.map(|before| (before..).skip(1).take(free.len()));
            if !turns.is_some_and(|turns| free.iter().map(|(order, _)| *order).eq(turns)) {
                return Err(SnapshotError::Inconsistent("free places out of turn"));
            }
        }
        free.iter().for_each(|(_, index)| self.free.insert(*index));
        Ok(())
    }

    fn index_keys(&mut self) -> Result<(), SnapshotError> {
        let keys = self.keys_by_age.range().zip(self.keys_by_age.iter());
        self.keys = keys.map(|(number, key)| (Arc::clone(&key.text), number)).collect();
        let each_once = self.keys.len() as u64 == self.keys_by_age.len();
        if each_once { Ok(()) } else { Err(SnapshotError::Inconsistent("an idempotency key twice")) }
    }

    fn index_job(&mut self, index: u32) {
        let job = self.slots.job(index);
        let (state, run_at, has_limit) = (job.job_state(), job.times.run_at(), job.limit().is_some());
        let (arguments, has_extra) = (job.arguments, job.extra.is_some());
        let lane = self.index_lane(index, state);
        if let Some(run_at) = run_at {
            self.start_timer(index, run_at);
        }
        if has_limit && !state.is_finished() && state != JobState::Running {
            self.set_limit(index);
        }
        if has_extra {
            self.index_extra(index, state);
        } else {
            self.keep(arguments);
        }
        self.index_list(index, lane, state);
    }

    fn index_lane(&mut self, index: u32, state: JobState) -> u32 {
        let slot = self.slots.at(index);
        let (queue, task) = (slot.queue, slot.task);
        let entry = self.queues.entry(queue).or_default();
        entry.counts[state as usize] += 1;
        if let Some(lane) = self.lanes.find(queue, task) {
            self.lanes.at_mut(lane).jobs += 1;
            return lane;
        }
        let lane =
            self.lanes.enter((queue, self.names.at(queue)), (task, self.names.at(task)), entry.paused, 1);
        entry.lanes.insert(task, lane);
        lane
    }

    fn index_extra(&mut self, index: u32, state: JobState) {
        let places: Vec<Place> = self.slots.job(index).places().collect();
        places.into_iter().for_each(|place| self.keep(place));
        self.index_unique(index, state);
    }

    fn index_unique(&mut self, index: u32, state: JobState) {
        let slot = self.slots.job(index);
        let Some(unique) = slot.extra.and_then(|extra| extra.unique.as_ref()) else { return };
        // A key that holds while queued is free from the first lease on, even if the job waits again.
        let queued_only = unique.while_ == UniqueWhile::Queued;
        let leased_before = slot.attempts() > 0 || state == JobState::Running;
        let is_free = state.is_finished() || (queued_only && leased_before);
        if !is_free {
            let key = Arc::clone(&unique.key);
            if unique.while_ == UniqueWhile::Cached {
                self.cached.insert(Arc::clone(&key), None);
            }
            self.unique.entry(key).or_insert(index);
        }
    }

    fn index_list(&mut self, index: u32, lane: u32, state: JobState) {
        let slot = self.slots.job(index);
        match state {
            JobState::Available if slot.parked().is_some() => self.enter_parked(index),
            JobState::Available => {
                let priority = usize::from(slot.priority) - 1;
                self.lanes.at_mut(lane).available[priority].insert(&mut self.slots, index);
            }
            JobState::Running => {}
            state if state.is_finished() => self.finished.push_back(&mut self.slots, index),
            _ => self.lanes.at_mut(lane).waiting.push_back(&mut self.slots, index),
        }
    }

    /// Gives every child its leases, in the order in which it got them.
    fn index_leases(&mut self) -> Result<(), SnapshotError> {
        let leases =
            sorted(self.leases.iter().map(|(slot, lease)| (lease.fence, lease.child, *slot)), |row| row.0);
        for (_, child, slot) in leases {
            let child = self.children.get_mut(&child);
            let child = child.ok_or(SnapshotError::Inconsistent("a lease of an unknown child"))?;
            child.leases.push_back(&mut self.slots, slot);
        }
        Ok(())
    }
}
