//! Queues and keys.

use std::sync::Arc;

use lineshaft_wire::JobId;
use lineshaft_wire::message::{Unique, UniqueWhile};

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

    /// The key keeps others out until `until_ms`, whatever becomes of the job.
    pub(crate) fn hold_period(&mut self, key: &Arc<str>, job: JobId, until_ms: u64) {
        self.periods.insert(Arc::clone(key), (job, until_ms));
        self.periods_by_end.insert((until_ms, Arc::clone(key)));
    }

    pub(super) fn end_periods(&mut self, keys: &[Arc<str>]) {
        for key in keys {
            if let Some((_, until_ms)) = self.periods.remove(key) {
                self.periods_by_end.remove(&(until_ms, Arc::clone(key)));
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
}
