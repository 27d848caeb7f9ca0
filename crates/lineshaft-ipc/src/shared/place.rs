//! The marks of one slot: what its child takes up, begins and ends there.
//!
//! Each mark has a number that grows with every lease taken up in the place. `taken`, `begun` and `ended` hold the
//! number of the newest mark for which that is so: one store moves it on, and a child that dies before or after that
//! store leaves no state between. A reader takes what it needs and then looks whether the mark is still the same.
//! Neither ever waits.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::compiler_fence;

use super::atomics::{AtomicU64, fence};
use super::{Begun, Fence, Note, StopReason};

/// Bits of a request to stop that hold its reason; the number of the mark is above them.
const REASON_BITS: u32 = 8;

/// Only atomics, all zero at first.
#[repr(C, align(128))]
#[derive(Debug)]
pub(super) struct Place {
    taken: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
    /// Number of the mark and reason; it only grows, so any process may write it.
    stop: AtomicU64,
    /// Epoch and counter of the marks with an even and an odd number: while one is written, the other stands.
    fences: [[AtomicU64; 2]; 2],
    /// Start, timeout and note of the newest begun mark.
    words: [AtomicU64; 6],
}

impl Place {
    pub(super) fn take(&self, of: Fence) {
        let number = self.taken.load(Relaxed).wrapping_add(1);
        // A reader that sees the fence of this mark must also see that the one before the last is long over.
        fence(Release);
        let [epoch, counter] = self.fence_words(number);
        epoch.store(of.epoch, Relaxed);
        counter.store(of.counter, Relaxed);
        self.taken.store(number, Release);
    }

    pub(super) fn begin(&self, started_ms: u64, timeout_ms: u64, note: Note) {
        // A reader that sees a word of this mark must also see that it was taken up.
        fence(Release);
        let [a, b, c, d] = note;
        for (place, word) in self.words.iter().zip([started_ms, timeout_ms, a, b, c, d]) {
            place.store(word, Relaxed);
        }
        self.begun.store(self.taken.load(Relaxed), Release);
        // Nothing that the program does next may move before the store. The processor needs no fence for that: a
        // store it has retired becomes visible even if the process dies at the next instruction.
        compiler_fence(SeqCst);
    }

    pub(super) fn end(&self) {
        self.ended.store(self.taken.load(Relaxed), Release);
    }

    /// The attempt whose body runs here.
    pub(super) fn running(&self, place: u32) -> Option<Begun> {
        let number = self.taken.load(Acquire);
        if self.begun.load(Acquire) != number || self.ended.load(Acquire) == number {
            return None;
        }
        let words = std::array::from_fn(|index| self.words[index].load(Relaxed));
        let [started_ms, timeout_ms, note @ ..]: [u64; 6] = words;
        let found = Begun { place, fence: self.fence_of(number), started_ms, timeout_ms, note };
        self.is_still(number).then_some(found)
    }

    /// The newest lease taken up here, and whether its body ever began.
    pub(super) fn newest(&self) -> Option<(Fence, bool)> {
        loop {
            let number = self.taken.load(Acquire);
            if number == 0 {
                return None;
            }
            let found = (self.fence_of(number), self.begun.load(Acquire) == number);
            // The second one after it is written where it was: what is read meanwhile may be of both.
            if self.is_still(number) {
                return Some(found);
            }
        }
    }

    /// Asks the attempt to stop if it is the newest here; whether it is.
    pub(super) fn request_stop(&self, of: Fence, reason: StopReason) -> bool {
        let number = self.taken.load(Acquire);
        let is_newest = number != 0 && self.fence_of(number) == of && self.is_still(number);
        if is_newest {
            self.stop.fetch_max((number << REASON_BITS) | reason as u64, AcqRel);
        }
        is_newest
    }

    pub(super) fn stop_requested(&self, of: Fence) -> Option<StopReason> {
        let stop = self.stop.load(Acquire);
        let number = self.taken.load(Acquire);
        let is_meant = stop >> REASON_BITS == number & (u64::MAX >> REASON_BITS) && stop != 0;
        (is_meant && self.fence_of(number) == of).then(|| StopReason::from_number(stop & 0xff))
    }

    /// Whether nothing was taken up since `number`: what was read before this belongs to it.
    fn is_still(&self, number: u64) -> bool {
        fence(Acquire);
        self.taken.load(Relaxed) == number
    }

    fn fence_words(&self, number: u64) -> &[AtomicU64; 2] {
        &self.fences[(number % 2) as usize]
    }

    fn fence_of(&self, number: u64) -> Fence {
        let [epoch, counter] = self.fence_words(number);
        Fence { epoch: epoch.load(Relaxed), counter: counter.load(Relaxed) }
    }
}

#[cfg(all(test, model))]
mod model;
#[cfg(all(test, not(model)))]
mod tests {
    use super::*;
    use crate::shared::race::while_writing;

    fn place() -> Place {
        Place {
            taken: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            stop: AtomicU64::new(0),
            fences: [const { [const { AtomicU64::new(0) }; 2] }; 2],
            words: [const { AtomicU64::new(0) }; 6],
        }
    }

    fn fence_of(number: u64) -> Fence {
        Fence { epoch: number, counter: number }
    }

    fn begun(number: u64) -> Begun {
        let fence = fence_of(number);
        Begun { place: 3, fence, started_ms: number, timeout_ms: number, note: [number; 4] }
    }

    #[test]
    fn a_mark_is_taken_up_then_begun_then_over() {
        let place = place();
        assert_eq!((place.running(3), place.newest()), (None, None));
        for number in 1..=5 {
            place.take(fence_of(number));
            assert_eq!((place.running(3), place.newest()), (None, Some((fence_of(number), false))));
            place.begin(number, number, [number; 4]);
            assert_eq!(
                (place.running(3), place.newest()),
                (Some(begun(number)), Some((fence_of(number), true)))
            );
            place.end();
            assert_eq!((place.running(3), place.newest()), (None, Some((fence_of(number), true))));
        }
    }

    #[test]
    fn a_mark_half_written_is_not_there() {
        let place = place();
        place.take(fence_of(1));
        place.begin(1, 1, [1; 4]);
        place.fences[0][0].store(99, Relaxed);
        assert_eq!((place.running(3), place.newest()), (Some(begun(1)), Some((fence_of(1), true))));
        place.end();
        place.take(fence_of(2));
        place.words[0].store(99, Relaxed);
        assert_eq!((place.running(3), place.newest()), (None, Some((fence_of(2), false))));
    }

    #[test]
    fn a_stop_reaches_only_the_attempt_that_it_is_meant_for() {
        let place = place();
        assert!(!place.request_stop(fence_of(0), StopReason::Cancelled));
        place.take(fence_of(1));
        assert_eq!(place.stop_requested(fence_of(1)), None);
        assert!(place.request_stop(fence_of(1), StopReason::TimedOut));
        assert!(!place.request_stop(fence_of(2), StopReason::Shutdown));
        assert_eq!(place.stop_requested(fence_of(1)), Some(StopReason::TimedOut));
        assert_eq!(place.stop_requested(fence_of(2)), None);
        place.end();
        place.take(fence_of(2));
        assert_eq!(place.stop_requested(fence_of(2)), None, "it does not leak into the next");
        assert!(!place.request_stop(fence_of(1), StopReason::Cancelled));
    }

    #[test]
    fn any_number_is_read_without_panic() {
        for number in [u64::MAX, u64::MAX - 1, 1 << 63] {
            let place = place();
            for word in [&place.taken, &place.begun, &place.stop] {
                word.store(number, Relaxed);
                let _ = (place.running(0), place.newest(), place.stop_requested(fence_of(0)));
                place.request_stop(fence_of(0), StopReason::Cancelled);
            }
            place.take(fence_of(1));
            place.begin(0, 0, [0; 4]);
            place.end();
        }
    }

    #[test]
    fn readers_never_see_a_mixed_mark() {
        let place = place();
        let mut last = 0;
        while_writing(
            |number| {
                place.take(fence_of(number));
                place.begin(number, number, [number; 4]);
                if number % 3 == 0 {
                    place.end();
                }
            },
            || {
                let Some(found) = place.running(3) else { return };
                let number = found.started_ms;
                assert_eq!(found, begun(number));
                assert!(number >= last, "{number} after {last}");
                last = number;
            },
        );
        // However seldom the reader came to look meanwhile.
        place.take(fence_of(7));
        place.begin(7, 7, [7; 4]);
        assert_eq!(place.running(3), Some(begun(7)));
    }
}
