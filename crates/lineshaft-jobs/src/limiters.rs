//! When the next turn at each limiter is: the generic cell rate algorithm (ITU-T I.371), on the logical clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rustc_hash::FxHashMap;

/// Those that are as new are forgotten, so many with each turn that is taken: more than one, so that none stay.
const FORGOTTEN_AT_ONCE: usize = 2;

/// Limiters at which a turn was taken that is not long ago. All times are in logical nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Limiters {
    /// When the next turn would be if all came evenly.
    next: FxHashMap<Arc<str>, u64>,
    /// The same, the first to be as new first.
    by_next: BTreeSet<(u64, Arc<str>)>,
}

impl Limiters {
    pub(crate) fn len(&self) -> usize {
        self.next.len()
    }

    /// When the next turn would be if all came evenly; a limiter that is not known is as new.
    pub(crate) fn next(&self, key: &str) -> Option<u64> {
        self.next.get(key).copied()
    }

    /// A turn was taken, after which the next one is at `next`.
    pub(crate) fn pass(&mut self, key: &Arc<str>, next: u64, now: u64) {
        if let Some(before) = self.next.insert(Arc::clone(key), next) {
            self.by_next.remove(&(before, Arc::clone(key)));
        }
        self.by_next.insert((next, Arc::clone(key)));
        for _ in 0..FORGOTTEN_AT_ONCE {
            if self.by_next.first().is_none_or(|(next, _)| *next > now) {
                return;
            }
            if let Some((_, key)) = self.by_next.pop_first() {
                self.next.remove(&key);
            }
        }
    }

    /// All of them, by their next turns.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (u64, Arc<str>)> {
        self.by_next.iter().cloned()
    }

    /// Those of a snapshot; `None` if one is there twice.
    pub(crate) fn of_rows(rows: Vec<(u64, Arc<str>)>) -> Option<Self> {
        let next: FxHashMap<Arc<str>, u64> =
            rows.iter().map(|(next, key)| (Arc::clone(key), *next)).collect::<HashMap<_, _, _>>();
        let is_whole = next.len() == rows.len();
        is_whole.then(|| Self { next, by_next: rows.into_iter().collect() })
    }
}
