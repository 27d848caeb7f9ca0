//! Sleeping until something has changed.

use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use std::time::Duration;

use super::{AtomicU32, Deadline, fence, futex};

/// So long somebody sleeps at most who was not woken, since the one who should have may be dead.
pub(crate) const NAP: Duration = Duration::from_millis(100);

/// Somebody sleeps or is about to.
const SLEEPER: u32 = 1;
/// Above it, changes are counted, so that nobody falls asleep over one.
const CHANGE: u32 = 2;

/// A word to sleep on until a condition of other words may hold.
///
/// Who changes those calls [`notify`](Self::notify) afterwards, which costs a fence and a load while nobody sleeps. There is
/// no count of sleepers, which a killed one would leave too high: the mark for them stays until a call finds none.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct EventCount {
    word: AtomicU32,
}

impl EventCount {
    #[cfg(all(test, model))]
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(0) }
    }

    /// Sleeps if `is_ready` does not hold, until notified or for `longest`; the caller looks again, whatever ended it.
    pub(crate) fn wait(&self, longest: Duration, mut is_ready: impl FnMut() -> bool) {
        let word = self.word.fetch_or(SLEEPER, AcqRel) | SLEEPER;
        // Either the one who changes something sees the mark, or this one sees the change.
        fence(SeqCst);
        if !is_ready() {
            futex::wait(&self.word, word, longest);
        }
    }

    /// Waits until `is_ready` holds, at most `timeout`; whether it does.
    pub(crate) fn wait_until(&self, timeout: Option<Duration>, is_ready: impl Fn() -> bool) -> bool {
        let deadline = Deadline::after(timeout);
        while !is_ready() {
            let Some(left) = deadline.left(NAP) else { return false };
            self.wait(left, &is_ready);
        }
        true
    }

    /// Wakes up to `count` sleepers after a change.
    pub(crate) fn notify(&self, count: u32) {
        fence(SeqCst);
        self.notify_fenced(count);
    }

    /// As [`Self::notify`], where the caller has made the fence.
    pub(crate) fn notify_fenced(&self, count: u32) {
        if self.word.load(Relaxed) & SLEEPER != 0 {
            self.wake(count);
        }
    }

    #[cold]
    fn wake(&self, count: u32) {
        let word = self.word.fetch_add(CHANGE, AcqRel).wrapping_add(CHANGE);
        if futex::wake(&self.word, count) > 0 {
            return;
        }
        // Nobody slept, so the mark goes. Somebody may have fallen asleep over the marked word meanwhile: woken once more,
        // such a one marks it again. It counts as a change, lest the same word comes back under one who has just looked.
        let unmarked = word.wrapping_add(CHANGE) & !SLEEPER;
        if self.word.compare_exchange(word, unmarked, AcqRel, Relaxed).is_ok() {
            futex::wake(&self.word, u32::MAX);
        }
    }
}
