//! A flag that can be waited for.
#![allow(unsafe_code)] // Saying that its words are atomics.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use super::{AtomicU32, EventCount};
use crate::Result;
use crate::segment::{Place, Segment, Shared};

#[derive(Debug)]
#[repr(C)]
pub(crate) struct EventWords {
    is_set: AtomicU32,
    waiters: EventCount,
}

// SAFETY: atomics only.
unsafe impl Shared for EventWords {}

/// A flag in shared memory. It is nobody's: what the dead set stays set.
#[derive(Clone, Debug)]
pub struct Event(Place<EventWords>);

impl Event {
    /// Bytes that it takes.
    pub const SIZE_BYTES: usize = size_of::<EventWords>();

    /// The event at `offset`, which is not set where all is zero; [`Error::BadSegment`](crate::Error::BadSegment) where
    /// none can be: the offset must be a multiple of 4.
    pub fn at(segment: Arc<Segment>, offset: usize) -> Result<Self> {
        Ok(Self(Place::new(segment, offset)?))
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.0.get().is_set.load(Acquire) != 0
    }

    /// Sets it and wakes all who wait.
    pub fn set(&self) {
        let words = self.0.get();
        words.is_set.store(1, Release);
        words.waiters.notify(u32::MAX);
    }

    /// Takes it back.
    pub fn clear(&self) {
        self.0.get().is_set.store(0, Relaxed);
    }

    /// Waits until it is set, at most `timeout`; whether it is.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        self.0.get().waiters.wait_until(timeout, || self.is_set())
    }
}

#[cfg(all(test, not(model)))]
mod tests {
    use super::*;

    #[test]
    fn all_who_wait_are_woken() {
        let event = Event::at(Arc::new(Segment::create(4_096, 4_096).unwrap()), 0).unwrap();
        assert!(!event.wait(Some(Duration::from_millis(1))));
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| event.wait(None))).collect();
            event.set();
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
        });
        event.clear();
        assert!(!event.is_set() && !event.wait(Some(Duration::ZERO)));
    }
}
