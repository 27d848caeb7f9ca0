//! The atomics and the futex of shared memory: those of the machine, or in a build for models those of a checker, whose
//! threads may also die at any of them.

#[cfg(not(model))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};

#[cfg(model)]
pub(crate) use super::model::mortal::{AtomicU32, AtomicU64, fence, futex};

/// Sleeping on a word, and waking those who do.
#[cfg(not(model))]
pub(crate) mod futex {
    use std::time::Duration;

    use rustix::event::Timespec;
    use rustix::thread::futex::{Flags, wait as wait_on, wake as wake_on};

    use super::AtomicU32;

    /// Sleeps until woken, for `timeout` at most; not at all if the word is not `expected`. May end early for no reason.
    pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) {
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
        // Whatever it says, the caller looks again.
        let _ = wait_on(word, Flags::empty(), expected, Some(&timeout));
    }

    /// Wakes up to `count` sleepers; how many it woke.
    pub(crate) fn wake(word: &AtomicU32, count: u32) -> usize {
        // It only fails for addresses that are none.
        wake_on(word, Flags::empty(), count.min(i32::MAX as u32)).unwrap_or(0)
    }
}
