//! Locks whose owners are killed at each instruction.

use std::sync::Arc;
use std::time::Duration;

use lineshaft_ipc::segment::Segment;
use lineshaft_ipc::sync::{Lock, Permits, Semaphore};

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
