//! Locks whose owners are killed at each instruction.

use std::sync::Arc;
use std::time::Duration;

use lineshaft_ipc::segment::Segment;
use lineshaft_ipc::sync::{Lock, Permits, Semaphore, Waiters};

use super::{LONG, killed_after, over_all_instructions};

const NOW: Option<Duration> = Some(Duration::ZERO);

fn segment() -> Arc<Segment> {
    Arc::new(Segment::create(4_096, 4_096).unwrap())
}

#[test]
fn a_lock_does_not_stay_with_the_dead() {
    over_all_instructions(|steps| {
        let lock = Lock::at(segment(), 0).unwrap();
        let unlock_and_lock = |lock: &Lock| {
            lock.lock(NOW).unwrap().unwrap();
            lock.unlock();
        };
        let prepare = || unlock_and_lock(&Lock::at(segment(), 0).unwrap());
        let is_over = killed_after(steps, prepare, || unlock_and_lock(&lock))?;
        assert!(lock.lock(LONG).unwrap().is_some(), "after {steps}");
        assert_eq!(lock.lock(NOW).unwrap(), None);
        Some(is_over)
    });
}

#[test]
fn permits_come_back_from_the_dead_and_no_more_than_there_were() {
    over_all_instructions(|steps| {
        let permits = Permits::at(segment(), 0, 2).unwrap();
        let use_one = |permits: &Permits| {
            assert!(permits.acquire(NOW).unwrap());
            assert!(permits.release().unwrap());
        };
        let prepare = || use_one(&Permits::at(segment(), 0, 2).unwrap());
        let is_over = killed_after(steps, prepare, || use_one(&permits))?;
        assert!(permits.acquire(LONG).unwrap() && permits.acquire(LONG).unwrap(), "after {steps}");
        assert!(!permits.acquire(NOW).unwrap());
        Some(is_over)
    });
}

#[test]
fn a_semaphore_is_released_once_or_not() {
    over_all_instructions(|steps| {
        let semaphore = Semaphore::at(segment(), 0).unwrap();
        let is_over = killed_after(steps, || {}, || assert!(semaphore.release(1, u32::MAX)))?;
        assert!(semaphore.value() == 1 || semaphore.value() == 0 && !is_over, "after {steps}");
        Some(is_over)
    });
}

/// One waits on a condition and is killed on its way there, asleep, or on its way back; who comes after it is notified.
#[test]
fn the_dead_keep_no_seat_and_get_no_notification() {
    over_all_instructions(|steps| {
        let segment = segment();
        let lock = Lock::at(Arc::clone(&segment), 0).unwrap();
        let waiters = Waiters::at(segment, 64, 2).unwrap();
        let wait = |timeout| {
            lock.lock(LONG).unwrap().unwrap();
            let seat = waiters.sit().unwrap().unwrap();
            lock.unlock();
            let is_notified = waiters.wait(seat, timeout);
            lock.lock(LONG).unwrap().unwrap();
            waiters.stand_up(seat);
            lock.unlock();
            is_notified
        };
        let prepare = || assert!(!wait(Some(Duration::from_micros(50))));
        let is_over = killed_after(steps, prepare, || assert!(!wait(Some(Duration::from_micros(50)))))?;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| wait(LONG));
            let notify = || {
                lock.lock(LONG).unwrap().unwrap();
                let notified = waiters.notify(1);
                lock.unlock();
                notified
            };
            while notify() == 0 {
                std::thread::yield_now();
            }
            assert!(other.join().unwrap(), "after {steps}");
        });
        assert_eq!(waiters.waiting(), 0);
        Some(is_over)
    });
}
