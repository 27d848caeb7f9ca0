//! Locks, permits, semaphores and conditions in every order.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::mortal::{live, owner};
use super::{check, check_deaths};
use crate::sync::{LockWord, Owner, PermitsCore, SemaphoreWords, WaitersCore};

/// A number that only the owner of the lock may touch, which loom checks.
struct Guarded {
    lock: LockWord,
    number: UnsafeCell<u32>,
}

// SAFETY: loom checks what is done with the number.
unsafe impl Sync for Guarded {}
unsafe impl Send for Guarded {}

impl Guarded {
    fn new() -> Arc<Self> {
        Arc::new(Self { lock: LockWord::new(), number: UnsafeCell::new(0) })
    }

    fn increment(&self, me: Owner) {
        self.lock.lock(me, None).unwrap();
        // SAFETY: this thread has the lock.
        self.number.with_mut(|number| unsafe { *number += 1 });
        self.lock.unlock();
    }

    fn number(&self, me: Owner) -> u32 {
        self.lock.lock(me, None).unwrap();
        // SAFETY: as above.
        let number = self.number.with(|number| unsafe { *number });
        self.lock.unlock();
        number
    }
}

#[test]
fn one_at_a_time_has_a_lock_and_all_get_it() {
    check(2, || {
        let guarded = Guarded::new();
        let threads: Vec<_> = (1..=2)
            .map(|pid| {
                let guarded = Arc::clone(&guarded);
                thread::spawn(move || guarded.increment(owner(pid)))
            })
            .collect();
        guarded.increment(owner(3));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(guarded.number(owner(3)), 3);
    });
}

/// Two want it, one of which may take it from the dead; neither sleeps for good, nor do both have it.
#[test]
fn a_lock_is_acquired_from_the_dead_by_one() {
    check_deaths(2, |steps| {
        let guarded = Guarded::new();
        let dying = Arc::clone(&guarded);
        let dying = thread::spawn(move || live(1, steps, |me| dying.increment(me)));
        let other = Arc::clone(&guarded);
        let other = thread::spawn(move || other.increment(owner(2)));
        guarded.increment(owner(3));
        other.join().unwrap();
        let is_over = dying.join().unwrap().is_some();
        let number = guarded.number(owner(3));
        assert!(number == 3 || number == 2 && !is_over, "{number}");
    });
}

#[test]
fn what_is_released_wakes_whoever_waits_for_it() {
    check(3, || {
        let semaphore = Arc::new(SemaphoreWords::new(0));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let semaphore = Arc::clone(&semaphore);
                thread::spawn(move || assert!(semaphore.acquire(None)))
            })
            .collect();
        assert!(semaphore.release(1, u32::MAX));
        assert!(semaphore.release(1, u32::MAX));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A condition: a number that waiters want to be above zero.
struct Condition {
    lock: LockWord,
    waiters: WaitersCore<'static>,
    number: UnsafeCell<u32>,
}

// SAFETY: loom checks what is done with the number.
unsafe impl Sync for Condition {}
unsafe impl Send for Condition {}

impl Condition {
    fn new() -> Arc<Self> {
        let waiters = WaitersCore::leaked(3);
        Arc::new(Self { lock: LockWord::new(), waiters, number: UnsafeCell::new(0) })
    }

    /// Takes one from the number, as soon as it is above zero.
    fn take(&self, me: Owner) {
        self.lock.lock(me, None).unwrap();
        // SAFETY: this thread has the lock, here and below.
        while self.number.with(|number| unsafe { *number }) == 0 {
            let seat = self.waiters.sit(me).unwrap();
            self.lock.unlock();
            self.waiters.wait(seat, None);
            self.lock.lock(me, None).unwrap();
            self.waiters.stand_up(seat);
        }
        self.number.with_mut(|number| unsafe { *number -= 1 });
        self.lock.unlock();
    }

    /// Adds one, and notifies one.
    fn give(&self, me: Owner) {
        self.lock.lock(me, None).unwrap();
        // SAFETY: as above.
        self.number.with_mut(|number| unsafe { *number += 1 });
        self.waiters.notify(1);
        self.lock.unlock();
    }
}

#[test]
fn whoever_waits_on_a_condition_is_notified() {
    check(2, || {
        let condition = Condition::new();
        let other = Arc::clone(&condition);
        let other = thread::spawn(move || other.take(owner(1)));
        condition.give(owner(2));
        other.join().unwrap();
    });
}

/// What is given goes to the one that lives, wherever the other dies, unless that one took it.
#[test]
fn no_notification_goes_to_the_dead() {
    check_deaths(1, |steps| {
        let condition = Condition::new();
        let dying = Arc::clone(&condition);
        let dying = thread::spawn(move || live(1, steps, |me| dying.take(me)));
        let other = Arc::clone(&condition);
        let other = thread::spawn(move || other.take(owner(2)));
        condition.give(owner(3));
        condition.give(owner(3));
        dying.join().unwrap();
        other.join().unwrap();
    });
}

/// One permit, and a number that only who has it may touch.
struct Permitted {
    permits: PermitsCore<'static>,
    number: UnsafeCell<u32>,
}

// SAFETY: loom checks what is done with the number.
unsafe impl Sync for Permitted {}
unsafe impl Send for Permitted {}

impl Permitted {
    fn new() -> Arc<Self> {
        Arc::new(Self { permits: PermitsCore::leaked(1), number: UnsafeCell::new(0) })
    }

    fn increment(&self, me: Owner) {
        assert!(self.permits.acquire(me, None));
        // SAFETY: this thread has the only permit.
        self.number.with_mut(|number| unsafe { *number += 1 });
        assert!(self.permits.release(me));
    }

    fn number(&self, me: Owner) -> u32 {
        assert!(self.permits.acquire(me, None));
        // SAFETY: as above.
        let number = self.number.with(|number| unsafe { *number });
        assert!(self.permits.release(me));
        number
    }
}

#[test]
fn one_at_a_time_has_the_only_permit_and_all_get_it() {
    check(2, || {
        let permitted = Permitted::new();
        let threads: Vec<_> = (1..=2)
            .map(|pid| {
                let permitted = Arc::clone(&permitted);
                thread::spawn(move || permitted.increment(owner(pid)))
            })
            .collect();
        permitted.increment(owner(3));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(permitted.number(owner(3)), 3);
    });
}

/// Two want the permit, which one of them may take from the dead; neither sleeps for good, nor do both have it.
#[test]
fn the_permit_of_the_dead_goes_to_one() {
    check_deaths(1, |steps| {
        let permitted = Permitted::new();
        let dying = Arc::clone(&permitted);
        let dying = thread::spawn(move || live(1, steps, |me| dying.increment(me)));
        let other = Arc::clone(&permitted);
        let other = thread::spawn(move || other.increment(owner(2)));
        permitted.increment(owner(3));
        other.join().unwrap();
        let is_over = dying.join().unwrap().is_some();
        let number = permitted.number(owner(3));
        assert!(number == 3 || number == 2 && !is_over, "{number}");
    });
}
