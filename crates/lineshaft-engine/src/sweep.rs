//! Finds blobs that nobody needs while the engine runs: their removal failed, or whoever brought them is gone.
//!
//! The thread that stores blobs also lists them, and its word comes through the engine's inbox: so everything that it
//! had stored by then has been named or refused already. A query stores blobs on a thread of its own, hence a blob goes
//! only when two lists in a row have it and no job needs it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::clock::Clock;
use crate::handle::Input;

/// The engine's part of it.
pub(crate) struct Sweep {
    clock: Clock,
    every: Duration,
    ask_at: Instant,
    blobs: Sender<Input>,
    /// Blobs of the last list that nobody needed.
    suspects: BTreeSet<u64>,
}

impl Sweep {
    /// A sweep that asks for a list on `blobs` so often.
    pub(crate) fn new(every: Duration, clock: Clock, blobs: Sender<Input>) -> Self {
        Self { ask_at: clock.instant() + every, clock, every, blobs, suspects: BTreeSet::new() }
    }

    pub(crate) fn ask_if_due(&mut self) {
        if self.clock.instant() >= self.ask_at {
            self.ask_at = self.clock.instant() + self.every;
            drop(self.blobs.send(Input::ListBlobs));
        }
    }

    /// The blobs of a list that nobody needs, for the second time.
    pub(crate) fn listed(&mut self, blobs: Vec<u64>, is_needed: impl Fn(u64) -> bool) -> Vec<u64> {
        let unneeded: BTreeSet<u64> = blobs.into_iter().filter(|blob| !is_needed(*blob)).collect();
        let (gone, suspects) = unneeded.into_iter().partition(|blob| self.suspects.contains(blob));
        let gone: BTreeSet<u64> = gone;
        self.suspects = suspects;
        gone.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_goes_when_it_was_unneeded_twice_in_a_row() {
        let (blobs, _) = crossbeam_channel::unbounded();
        let mut sweep = Sweep::new(Duration::ZERO, Clock::default(), blobs);
        let needed = |blob| blob == 1;
        assert_eq!(sweep.listed(vec![1, 2], needed), [0; 0]);
        assert_eq!(sweep.listed(vec![1, 3], needed), [0; 0]);
        assert_eq!(sweep.listed(vec![1, 2, 3], needed), [3]);
        assert_eq!(sweep.listed(vec![1, 2], |_| true), [0; 0], "it was on its way");
        assert_eq!(sweep.listed(vec![1, 2], needed), [0; 0]);
    }
}
