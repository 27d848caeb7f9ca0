//! A counting semaphore.
#![allow(unsafe_code)] // Saying that its words are atomics.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

use super::{AtomicU32, Deadline, EventCount, NAP};
use crate::Result;
use crate::segment::{Place, Segment, Shared};

#[derive(Debug)]
#[repr(C)]
pub(crate) struct SemaphoreWords {
    value: AtomicU32,
    waiters: EventCount,
}

// SAFETY: atomics only.
unsafe impl Shared for SemaphoreWords {}

impl SemaphoreWords {
    #[cfg(all(test, model))]
    pub(crate) fn new(value: u32) -> Self {
        Self { value: AtomicU32::new(value), waiters: EventCount::new() }
    }

    pub(crate) fn acquire(&self, timeout: Option<Duration>) -> bool {
        if self.try_acquire() {
            return true;
        }
        let deadline = Deadline::after(timeout);
        while let Some(left) = deadline.left(NAP) {
            self.waiters.wait(left, || self.value.load(Acquire) > 0);
            if self.try_acquire() {
                return true;
            }
        }
        false
    }

    fn try_acquire(&self) -> bool {
        self.value.fetch_update(Acquire, Relaxed, |value| value.checked_sub(1)).is_ok()
    }

    pub(crate) fn release(&self, count: u32, value_max: u32) -> bool {
        let released = |value: u32| value.checked_add(count).filter(|sum| *sum <= value_max);
        let is_released = self.value.fetch_update(AcqRel, Relaxed, released).is_ok();
        self.waiters.notify(count);
        is_released
    }
}

/// A number in shared memory that is not taken below zero. It belongs to nobody, and so is for signals: one process
/// releases, another acquires. What a dead process acquired stays so; where it shall come back, use
/// [`Permits`](super::Permits).
#[derive(Clone, Debug)]
pub struct Semaphore(Place<SemaphoreWords>);

impl Semaphore {
    /// Bytes that it takes.
    pub const SIZE_BYTES: usize = size_of::<SemaphoreWords>();

    /// The semaphore at `offset`, which is 0 where all is zero; [`Error::BadSegment`](crate::Error::BadSegment) where none
    /// can be: the offset must be a multiple of 4.
    pub fn at(segment: Arc<Segment>, offset: usize) -> Result<Self> {
        Ok(Self(Place::new(segment, offset)?))
    }

    /// What it is now.
    pub fn value(&self) -> u32 {
        self.0.get().value.load(Relaxed)
    }

    /// Takes one, as soon as there is one; whether it did within `timeout`.
    pub fn acquire(&self, timeout: Option<Duration>) -> bool {
        self.0.get().acquire(timeout)
    }

    /// Adds `count`; whether it did, which it does not beyond `value_max`.
    pub fn release(&self, count: u32, value_max: u32) -> bool {
        self.0.get().release(count, value_max)
    }
}

#[cfg(all(test, not(model)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_released_is_acquired_once() {
        let semaphore = Semaphore::at(Arc::new(Segment::create(4_096, 4_096).unwrap()), 8).unwrap();
        assert!(!semaphore.acquire(Some(Duration::from_millis(1))));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..1_000).for_each(|_| assert!(semaphore.acquire(None))));
            }
            (0..1_000).for_each(|_| assert!(semaphore.release(3, u32::MAX)));
        });
        assert_eq!(semaphore.value(), 0);
        assert!(semaphore.release(2, 2) && !semaphore.release(1, 2));
        assert_eq!(semaphore.value(), 2);
    }
}
