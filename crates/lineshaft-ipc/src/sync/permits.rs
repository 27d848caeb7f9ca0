//! A semaphore whose dead holders give back.
#![allow(unsafe_code)] // Saying that its words are atomics.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

use super::{AtomicU32, AtomicU64, Deadline, EventCount, Owner};
use crate::Result;
use crate::segment::{Place, Segment, Shared};

/// After so much sleep it is looked whether the holders live.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Head {
    waiters: EventCount,
    unused: AtomicU32,
}

// SAFETY: atomics only.
unsafe impl Shared for Head {}

/// A semaphore in shared memory each of whose permits belongs to the process that acquired it. Those of a process that has
/// died are given to whoever waits for one, within some ten milliseconds.
#[derive(Clone, Debug)]
pub struct Permits {
    head: Place<Head>,
    /// Whose each permit is, or 0.
    holders: Place<AtomicU64>,
}

impl Permits {
    /// Bytes that so many permits take.
    pub const fn size_bytes(count: usize) -> usize {
        size_of::<Head>() + count * size_of::<u64>()
    }

    /// So many permits at `offset`, which are free where all is zero; [`Error::BadSegment`](crate::Error::BadSegment) where
    /// they do not fit: the offset must be a multiple of 8. Every process gives the same count.
    pub fn at(segment: Arc<Segment>, offset: usize, count: usize) -> Result<Self> {
        let head = Place::new(Arc::clone(&segment), offset)?;
        Ok(Self { head, holders: Place::of_many(segment, offset.saturating_add(size_of::<Head>()), count)? })
    }

    /// Acquires one for this process, as soon as there is one; whether it did within `timeout`. Errors only if this process
    /// cannot learn who it is.
    pub fn acquire(&self, timeout: Option<Duration>) -> Result<bool> {
        Ok(self.core().acquire(Owner::current()?, timeout))
    }

    /// Gives back one of this process; whether it had one.
    pub fn release(&self) -> Result<bool> {
        Ok(self.core().release(Owner::current()?))
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.core().free()
    }

    fn core(&self) -> Core<'_> {
        Core { head: self.head.get(), holders: self.holders.all() }
    }
}

/// Permits wherever they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Core<'a> {
    head: &'a Head,
    holders: &'a [AtomicU64],
}

impl Core<'_> {
    pub(crate) fn acquire(self, me: Owner, timeout: Option<Duration>) -> bool {
        if self.take(0, me) {
            return true;
        }
        let deadline = Deadline::after(timeout);
        loop {
            if self.take(0, me) || self.take_from_dead(me) {
                return true;
            }
            let Some(left) = deadline.left(LOOK) else { return false };
            self.head.waiters.wait(left, || self.free() > 0);
        }
    }

    pub(crate) fn release(self, me: Owner) -> bool {
        let is_released = self.holders.iter().any(|holder| replace(holder, me.word(), 0));
        self.head.waiters.notify(1);
        is_released
    }

    fn free(self) -> usize {
        self.holders.iter().filter(|holder| holder.load(Acquire) == 0).count()
    }

    /// Takes one that has this word.
    fn take(self, word: u64, me: Owner) -> bool {
        self.holders.iter().any(|holder| replace(holder, word, me.word()))
    }

    fn take_from_dead(self, me: Owner) -> bool {
        let mut alive = Vec::new();
        for holder in self.holders {
            let word = holder.load(Relaxed);
            if alive.contains(&word) {
                continue;
            }
            match Owner::from_word(word) {
                Some(owner) if owner.is_alive() => alive.push(word),
                // The word of a dead process is written by nobody, so it is still that permit.
                _ if replace(holder, word, me.word()) => return true,
                _ => {}
            }
        }
        false
    }
}

#[cfg(all(test, model))]
impl Core<'static> {
    /// Free ones, for a model.
    pub(crate) fn leaked(count: usize) -> Self {
        let head = Head { waiters: EventCount::new(), unused: AtomicU32::new(0) };
        let holders: Vec<AtomicU64> = (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { head: Box::leak(Box::new(head)), holders: Vec::leak(holders) }
    }
}

/// The one instant at which a permit changes hands.
fn replace(holder: &AtomicU64, from: u64, to: u64) -> bool {
    holder.load(Relaxed) == from && holder.compare_exchange(from, to, AcqRel, Relaxed).is_ok()
}

#[cfg(all(test, not(model)))]
mod tests {
    use super::*;
    use crate::process::ProcessId;

    const NOW: Option<Duration> = Some(Duration::ZERO);

    fn permits(count: usize) -> Permits {
        Permits::at(Arc::new(Segment::create(4_096, 4_096).unwrap()), 16, count).unwrap()
    }

    #[test]
    fn so_many_hold_one_and_no_more() {
        let permits = permits(2);
        assert!(permits.acquire(NOW).unwrap() && permits.acquire(NOW).unwrap());
        assert!(!permits.acquire(Some(Duration::from_millis(2))).unwrap());
        assert!(permits.release().unwrap());
        assert_eq!(permits.free(), 1);
        assert!(permits.acquire(NOW).unwrap());
        assert!(permits.release().unwrap() && permits.release().unwrap() && !permits.release().unwrap());
    }

    #[test]
    fn those_of_the_dead_come_back() {
        let permits = permits(3);
        let dead = Owner::of(ProcessId { start_time: 1, ..ProcessId::current().unwrap() }).unwrap();
        assert!(
            permits.core().take(0, dead) && permits.core().take(0, dead) && permits.acquire(NOW).unwrap()
        );
        assert!(permits.acquire(NOW).unwrap() && permits.acquire(NOW).unwrap());
        assert!(!permits.acquire(NOW).unwrap());
    }

    #[test]
    fn permits_that_do_not_fit_are_refused() {
        let segment = Arc::new(Segment::create(4_096, 0).unwrap());
        for (offset, count) in [(4_090, 0), (4, 1), (0, 512), (0, usize::MAX), (usize::MAX - 7, 1)] {
            assert!(Permits::at(Arc::clone(&segment), offset, count).is_err(), "{offset} {count}");
        }
        assert!(Permits::at(segment, 0, 511).is_ok());
    }
}
