//! How long the items of a call take, and how many of them make a share.

use std::time::Duration;

/// So long a share should take: long against what it costs to hand over, short against a person's patience.
const TARGET: Duration = Duration::from_millis(10);
/// Most bytes of a share, unless one item has more.
const BYTES_MAX: f64 = 4e6;
/// A share is at most so many times as large as the largest that was timed, since the first items say little of the rest.
const GROWTH: f64 = 8.0;
/// How much the newest share counts.
const WEIGHT: f64 = 0.3;

/// What is known of the items of one call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Nanoseconds per item, or 0 as long as none is done.
    item_ns: f64,
    /// Bytes per item on the way to a worker.
    item_bytes: f64,
    /// Items of the largest share that was timed.
    largest: u32,
}

impl Pace {
    /// Some items took so long.
    pub(super) fn note_time(&mut self, items: u32, elapsed: Duration) {
        if items == 0 {
            return;
        }
        // Never quite 0, which says that nothing is known.
        let sample = (elapsed.as_nanos() as f64 / f64::from(items)).max(0.1);
        self.item_ns += if self.item_ns == 0.0 { sample } else { (sample - self.item_ns) * WEIGHT };
        self.largest = self.largest.max(items);
    }

    /// Some items took so many bytes.
    pub(super) fn note_bytes(&mut self, items: u32, bytes: usize) {
        self.item_bytes = bytes as f64 / f64::from(items.max(1));
    }

    /// How long so many items would take; `None` as long as none is done.
    pub(super) fn time_of(self, items: u32) -> Option<Duration> {
        (self.item_ns > 0.0).then(|| Duration::from_nanos((self.item_ns * f64::from(items)) as u64))
    }

    /// How many items a share should have. The first ones have one.
    pub(super) fn share_items(self) -> u32 {
        if self.item_ns == 0.0 {
            return 1;
        }
        let by_time = TARGET.as_nanos() as f64 / self.item_ns;
        let by_growth = f64::from(self.largest) * GROWTH;
        let by_bytes = if self.item_bytes > 0.0 { BYTES_MAX / self.item_bytes } else { f64::INFINITY };
        // Never below 1, and what is too large for the type is its greatest.
        by_time.min(by_growth).min(by_bytes).max(1.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_by_and_by_to_what_takes_ten_milliseconds() {
        let mut pace = Pace::default();
        let mut sizes = Vec::new();
        for _ in 0..6 {
            let items = pace.share_items();
            sizes.push(items);
            pace.note_time(items, Duration::from_micros(10) * items);
        }
        assert_eq!(sizes, [1, 8, 64, 512, 1_000, 1_000]);
    }

    #[test]
    fn large_or_slow_items_go_alone() {
        let mut pace = Pace::default();
        pace.note_time(1, Duration::from_secs(1));
        assert_eq!(pace.share_items(), 1);
        let mut pace = Pace::default();
        pace.note_time(1_000, Duration::from_micros(10));
        pace.note_bytes(2, 2_000_000);
        assert_eq!(pace.share_items(), 4);
        pace.note_bytes(1, 100_000_000);
        assert_eq!(pace.share_items(), 1);
    }

    #[test]
    fn items_that_take_no_time_are_known_to() {
        let mut pace = Pace::default();
        assert_eq!(pace.time_of(1), None);
        pace.note_time(5, Duration::ZERO);
        assert_eq!(pace.time_of(10), Some(Duration::from_nanos(1)));
        assert_eq!(pace.share_items(), 40);
    }
}
