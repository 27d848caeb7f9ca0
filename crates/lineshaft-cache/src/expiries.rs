//! When to look whether an entry's time is over.
//!
//! Whoever looks an entry up asks for its time itself, so this only gives memory back. Slots therefore wait in buckets
//! of about a second, which are what the timer wheel knows: four to eight bytes an entry and a timer a second, where a
//! timer for each entry took 32 bytes. A slot stands in a bucket no later than its time; if it turns out to live
//! longer, since it was used or is somebody else's by now, it is put into a later one.

use lineshaft_structures::TimerWheel;
use rustc_hash::FxHashMap;

use crate::column::Column;

const BUCKET_MS: u64 = 1_024;

pub(crate) struct Expiries {
    wheel: TimerWheel<u32>,
    /// Slots by the number of their bucket.
    buckets: FxHashMap<u32, Vec<u32>>,
    /// The bucket that each slot waits in; 0 if in none.
    queued: Column<u32>,
    /// Slots that are to be looked at.
    due: Vec<u32>,
}

impl Expiries {
    pub(crate) fn new() -> Self {
        Self {
            wheel: TimerWheel::new(0),
            buckets: FxHashMap::default(),
            queued: Column::new(),
            due: Vec::new(),
        }
    }

    /// Has `slot` looked at soon after `at_ms`, or before.
    pub(crate) fn watch(&mut self, slot: u32, at_ms: u64, len_max: usize) {
        let bucket = u32::try_from(at_ms / BUCKET_MS + 1).unwrap_or(u32::MAX);
        let queued = self.queued.get(slot);
        if queued != 0 && queued <= bucket {
            return;
        }
        self.queued.set(slot, bucket, len_max);
        let slots = self.buckets.entry(bucket).or_insert_with(|| {
            self.wheel.insert(u64::from(bucket) * BUCKET_MS, bucket);
            Vec::new()
        });
        slots.push(slot);
    }

    /// A slot that is to be looked at. Bounded by what is due, whatever `now_ms`.
    pub(crate) fn next(&mut self, now_ms: u64) -> Option<u32> {
        if self.due.is_empty() {
            self.open_buckets(now_ms);
        }
        self.due.pop()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self { wheel: TimerWheel::new(self.wheel.present_ms()), ..Self::new() };
    }

    fn open_buckets(&mut self, now_ms: u64) {
        let mut numbers = Vec::new();
        self.wheel.expired(now_ms, usize::MAX, &mut numbers);
        for bucket in numbers {
            for slot in self.buckets.remove(&bucket).unwrap_or_default() {
                if self.queued.get(slot) == bucket {
                    self.queued.set(slot, 0, usize::MAX);
                    self.due.push(slot);
                }
            }
        }
        if self.due.is_empty() {
            self.due = Vec::new();
        }
    }
}
