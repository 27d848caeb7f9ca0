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
struct Head {
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
        let me = Owner::current()?;
        if self.take(0, me) {
            return Ok(true);
        }
        let deadline = Deadline::after(timeout);
        loop {
            if self.take(0, me) || self.take_from_dead(me) {
                return Ok(true);
            }
            let Some(left) = deadline.left(LOOK) else { return Ok(false) };
            self.head.get().waiters.wait(left, || self.free() > 0);
        }
    }

    /// Gives back one of this process; whether it had one.
    pub fn release(&self) -> Result<bool> {
        let me = Owner::current()?.word();
        let is_released = self.holders.all().iter().any(|holder| replace(holder, me, 0));
        self.head.get().waiters.notify(1);
        Ok(is_released)
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.holders.all().iter().filter(|holder| holder.load(Acquire) == 0).count()
    }

    /// Takes one that has this word.
    fn take(&self, word: u64, me: Owner) -> bool {
        self.holders.all().iter().any(|holder| replace(holder, word, me.word()))
    }

    fn take_from_dead(&self, me: Owner) -> bool {
        let mut alive = Vec::new();
        for holder in self.holders.all() {
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
        assert!(permits.take(0, dead) && permits.take(0, dead) && permits.acquire(NOW).unwrap());
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
