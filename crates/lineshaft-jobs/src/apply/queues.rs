//! Queues and keys.

use std::sync::Arc;

use lineshaft_wire::message::{Unique, UniqueWhile};
use lineshaft_wire::{JobId, JobState};

use crate::change::Name;
use crate::state::{Key, Queue, State};

impl State {
    pub(super) fn pause(&mut self, queue: &Name, paused: bool) {
        let queue = self.acquire(queue, 1);
        let was = std::mem::replace(&mut self.queues.entry(queue).or_default().paused, paused);
        // A paused queue uses its name; the use just taken stays only where the pause begins.
        if was || !paused {
            self.names.release(queue);
        }
        for lane in self.queue_mut(queue).lanes.values().copied().collect::<Vec<_>>() {
            self.lanes.pause(lane, paused, &self.slots);
        }
        if was && !paused {
            self.offer_parked_from(0);
            self.close_idle_queue(queue);
            self.names.release(queue);
        } else {
            self.close_idle_queue(queue);
        }
    }

    pub(super) fn close_idle_queue(&mut self, queue: u32) {
        if self.queues.get(&queue).is_some_and(Queue::is_idle) {
            self.queues.remove(&queue);
        }
    }

    pub(crate) fn remember_key(&mut self, key: Key) {
        let text = Arc::clone(&key.text);
        let number = self.keys_by_age.push_back(key);
        self.keys.insert(text, number);
    }

    pub(super) fn expire_keys(&mut self, keys: &[Arc<str>]) {
        for key in keys {
            self.keys.remove(key);
            self.keys_by_age.pop_front();
        }
    }

    /// The key of a new job keeps others out.
    pub(super) fn hold_unique(&mut self, unique: &Unique, index: u32) {
        self.unique.insert(Arc::clone(&unique.key), index);
        if unique.while_ == UniqueWhile::Cached {
            self.cached.insert(Arc::clone(&unique.key), None);
        } else if let Some(period_ms) = unique.period_ms {
            self.hold_period(&unique.key, self.job_id(index), self.wall_ms + period_ms);
        }
    }

    /// The key keeps others out until `until_ms`, whatever becomes of the job.
    pub(crate) fn hold_period(&mut self, key: &Arc<str>, job: JobId, until_ms: u64) {
        self.periods.insert(Arc::clone(key), (job, until_ms));
        self.periods_by_end.insert((until_ms, Arc::clone(key)));
    }

    pub(super) fn end_periods(&mut self, keys: &[Arc<str>]) {
        for key in keys {
            self.end_period(key);
        }
    }

    fn end_period(&mut self, key: &Arc<str>) {
        if let Some((_, until_ms)) = self.periods.remove(key) {
            self.periods_by_end.remove(&(until_ms, Arc::clone(key)));
            self.cached.remove(key);
        }
    }

    /// Nobody is answered with the jobs of these keys, and none of them gets its key back.
    pub(super) fn free_keys(&mut self, keys: &[Arc<str>]) {
        for key in keys {
            self.end_period(key);
            self.cached.remove(key);
            if let Some(index) = self.unique.remove(key) {
                self.slots.extra_mut(index).unique = None;
            }
        }
    }

    pub(super) fn unique_while(&self, index: u32) -> Option<UniqueWhile> {
        Some(self.slots.extra(index)?.unique.as_ref()?.while_)
    }

    pub(super) fn drop_unique(&mut self, index: u32) {
        let Some(extra) = self.slots.extra(index) else { return };
        let Some(Unique { key, .. }) = &extra.unique else { return };
        if self.unique.get(key) == Some(&index) {
            self.unique.remove(key);
        }
    }

    /// The job has ended in this state: from now on its result is cached, or its key is free.
    pub(super) fn end_unique(&mut self, index: u32, state: JobState) {
        self.drop_unique(index);
        let unique = self.slots.extra(index).and_then(|extra| extra.unique.clone());
        let Some(Unique { key, while_: UniqueWhile::Cached, period_ms }) = unique else { return };
        if state == JobState::Completed {
            self.hold_period(&key, self.job_id(index), self.wall_ms + period_ms.unwrap_or(0));
            self.cached.insert(key, Some(self.wall_ms));
        } else {
            self.cached.remove(&key);
        }
    }
}
