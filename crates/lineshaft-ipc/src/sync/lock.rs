//! A lock that a dead process does not keep.
#![allow(unsafe_code)] // Saying that its words are atomics.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use super::{AtomicU64, Deadline, EventCount, Owner};
use crate::Result;
use crate::process::ProcessId;
use crate::segment::{Place, Segment, Shared};

/// How often it is looked whether the lock is free, before the thread sleeps: less than a microsecond.
const SPINS: u32 = if cfg!(model) { 0 } else { 40 };
/// After so much sleep it is looked whether the owner lives; then after twice as much, and so on up to the longest.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(128);

/// So long a lock that is only held for moments may take, whatever a caller would wait for: longer than anybody who runs
/// keeps it on a busy machine.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// How a lock was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// It was free.
    Free,
    /// Its owner had died with it: what it protects may be half done.
    FromDead(ProcessId),
}

/// The words of a lock: all zero while it is free.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct LockWord {
    /// Whose it is, or 0.
    owner: AtomicU64,
    waiters: EventCount,
}

// SAFETY: atomics only.
unsafe impl Shared for LockWord {}

impl LockWord {
    #[cfg(all(test, model))]
    pub(crate) fn new() -> Self {
        Self { owner: AtomicU64::new(0), waiters: EventCount::new() }
    }

    /// Acquires it for `me`, a process, not a thread of it; `None` if that took longer than `timeout`.
    pub(crate) fn lock(&self, me: Owner, timeout: Option<Duration>) -> Option<Acquired> {
        if self.acquire_from(0, me) {
            return Some(Acquired::Free);
        }
        self.lock_contended(me, timeout)
    }

    /// The one instant at which it changes hands.
    fn acquire_from(&self, word: u64, me: Owner) -> bool {
        self.owner.compare_exchange(word, me.word(), Acquire, Relaxed).is_ok()
    }

    #[cold]
    fn lock_contended(&self, me: Owner, timeout: Option<Duration>) -> Option<Acquired> {
        for _ in 0..SPINS {
            std::hint::spin_loop();
            if self.is_free() && self.acquire_from(0, me) {
                return Some(Acquired::Free);
            }
        }
        self.lock_sleeping(me, Deadline::after(timeout))
    }

    fn lock_sleeping(&self, me: Owner, deadline: Deadline) -> Option<Acquired> {
        let (mut look, mut seen) = (LOOK_FIRST, 0);
        loop {
            let word = self.owner.load(Relaxed);
            if word == 0 && self.acquire_from(0, me) {
                return Some(Acquired::Free);
            }
            let left = deadline.left(look);
            // To look costs some microseconds, so it is done when the owner has stayed the same, or as the last thing.
            if (word == seen || left.is_none())
                && let Some(dead) = self.acquire_from_dead(word, me)
            {
                return Some(Acquired::FromDead(dead));
            }
            self.waiters.wait(left?, || self.owner.load(Relaxed) != word);
            seen = word;
            look = (look * 2).min(LOOK_LAST);
        }
    }

    /// Nobody but the owner takes its word away while it lives; and once it is dead, the word does not come back when
    /// another has taken it away. So it is acquired from that very owner or not at all.
    fn acquire_from_dead(&self, word: u64, me: Owner) -> Option<ProcessId> {
        let owner = Owner::from_word(word)?;
        (!owner.is_alive() && self.acquire_from(word, me)).then(|| owner.process())
    }

    pub(crate) fn is_free(&self) -> bool {
        self.owner.load(Relaxed) == 0
    }

    /// Gives it back and wakes one who waits.
    pub(crate) fn unlock(&self) {
        self.unlock_silently();
        self.waiters.notify(1);
    }

    /// Gives it back. Call [`Self::wake_fenced`] after a fence.
    pub(crate) fn unlock_silently(&self) {
        self.owner.store(0, Release);
    }

    /// Wakes one who waits, if somebody does.
    pub(crate) fn wake_fenced(&self) {
        self.waiters.notify_fenced(1);
    }

    pub(crate) fn owner(&self) -> Option<Owner> {
        Owner::from_word(self.owner.load(Relaxed))
    }
}

/// A lock in shared memory. It belongs to a process, any thread of which may unlock it.
///
/// A process that stands still keeps it; one that has died does not: whoever waits notices within some milliseconds.
/// (A process that calls `exec` while another of its threads holds a lock keeps it for good: it has not died.)
#[derive(Clone, Debug)]
pub struct Lock(Place<LockWord>);

impl Lock {
    /// Bytes that it takes.
    pub const SIZE_BYTES: usize = size_of::<LockWord>();

    /// The lock at `offset`, which is free where all is zero; [`Error::BadSegment`](crate::Error::BadSegment) where none
    /// can be: the offset must be a multiple of 8.
    pub fn at(segment: Arc<Segment>, offset: usize) -> Result<Self> {
        Ok(Self(Place::new(segment, offset)?))
    }

    /// Acquires it; `None` if that took longer than `timeout`. Errors only if this process cannot learn who it is.
    pub fn lock(&self, timeout: Option<Duration>) -> Result<Option<Acquired>> {
        Ok(self.0.get().lock(Owner::current()?, timeout))
    }

    /// Acquires it if it is free; whether it was. Some nanoseconds: nobody looks whether its owner lives.
    pub fn try_lock(&self) -> Result<bool> {
        Ok(self.0.get().acquire_from(0, Owner::current()?))
    }

    /// Gives it back, whosever it is: call it only with a right to.
    pub fn unlock(&self) {
        self.0.get().unlock();
    }

    /// Whose it is now.
    pub fn owner(&self) -> Option<ProcessId> {
        self.0.get().owner().map(Owner::process)
    }
}

#[cfg(all(test, not(model)))]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn lock() -> Lock {
        Lock::at(Arc::new(Segment::create(4_096, 4_096).unwrap()), 64).unwrap()
    }

    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn one_at_a_time_has_it() {
        let lock = lock();
        assert_eq!(lock.lock(NOW).unwrap(), Some(Acquired::Free));
        assert_eq!(lock.owner(), Some(ProcessId::current().unwrap()));
        assert_eq!(lock.lock(Some(Duration::from_millis(5))).unwrap(), None);
        assert!(!lock.try_lock().unwrap());
        lock.unlock();
        assert!(lock.try_lock().unwrap() && !lock.try_lock().unwrap());
        lock.unlock();
        assert_eq!(lock.lock(NOW).unwrap(), Some(Acquired::Free));
    }

    #[test]
    fn what_the_dead_had_is_acquired_from_them() {
        let lock = lock();
        let dead = ProcessId { start_time: 1, ..ProcessId::current().unwrap() };
        lock.0.get().lock(Owner::of(dead).unwrap(), NOW).unwrap();
        assert_eq!(lock.lock(NOW).unwrap(), Some(Acquired::FromDead(dead)));
        assert_eq!(lock.lock(NOW).unwrap(), None);
    }

    struct Unsynchronized(Cell<u32>);

    // SAFETY: only touched by the thread that has the lock.
    unsafe impl Sync for Unsynchronized {}

    #[test]
    fn threads_exclude_each_other_and_all_get_through() {
        let (lock, sum) = (lock(), Unsynchronized(Cell::new(0)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let sum = &sum;
                    for _ in 0..5_000 {
                        lock.lock(None).unwrap().unwrap();
                        sum.0.set(sum.0.get() + 1);
                        lock.unlock();
                    }
                });
            }
        });
        assert_eq!(sum.0.get(), 20_000);
    }
}
