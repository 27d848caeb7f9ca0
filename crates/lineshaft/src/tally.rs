//! What the language on top and its caches did in this thread so far, for the accounts of attempts.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether somebody says how long the garbage collector works.
static COUNTS_COLLECTIONS: AtomicBool = AtomicBool::new(false);

thread_local! {
    static TALLY: Cell<Tally> = const { Cell::new(Tally { collected: Duration::ZERO, cache_hits: 0 }) };
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Time in a garbage collector.
    pub collected: Duration,
    /// Calls that caches answered.
    pub cache_hits: u64,
}

impl Tally {
    /// What was added to `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            collected: self.collected.saturating_sub(before.collected),
            cache_hits: self.cache_hits.saturating_sub(before.cache_hits),
        }
    }
}

/// What was counted in this thread.
pub fn tally() -> Tally {
    TALLY.get()
}

/// From now on it is told how long the garbage collector works, in whichever thread.
pub fn count_collections() {
    COUNTS_COLLECTIONS.store(true, Ordering::Relaxed);
}

/// Whether that is so.
pub fn counts_collections() -> bool {
    COUNTS_COLLECTIONS.load(Ordering::Relaxed)
}

/// The garbage collector has worked for so long in this thread.
pub fn tally_collected(time: Duration) {
    change(|tally| tally.collected += time);
}

/// A cache has answered a call in this thread. A nanosecond.
#[inline]
pub fn tally_cache_hit() {
    change(|tally| tally.cache_hits += 1);
}

fn change(how: impl FnOnce(&mut Tally)) {
    let mut tally = TALLY.get();
    how(&mut tally);
    TALLY.set(tally);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_counts_for_itself() {
        let before = tally();
        tally_cache_hit();
        tally_collected(Duration::from_millis(2));
        std::thread::spawn(tally_cache_hit).join().unwrap();
        assert_eq!(tally().since(before), Tally { collected: Duration::from_millis(2), cache_hits: 1 });
    }
}
