//! See [`crate::shared::model`].

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::shared::atomics::mortal::dies_after;
use crate::shared::model::{check, check_deaths};

fn place() -> Arc<Place> {
    let zero = || AtomicU64::new(0);
    Arc::new(Place {
        taken: zero(),
        begun: zero(),
        ended: zero(),
        stop: zero(),
        fences: std::array::from_fn(|_| [zero(), zero()]),
        words: std::array::from_fn(|_| zero()),
    })
}

fn fence_of(number: u64) -> Fence {
    Fence { epoch: number, counter: number }
}

fn take_and_begin(place: &Place, number: u64) {
    place.take(fence_of(number));
    place.begin(number, number, [number; 4]);
}

/// All that a reader finds belongs to one attempt.
fn is_of_one(found: Begun) {
    let number = found.started_ms;
    assert_eq!(
        found,
        Begun {
            place: 3,
            fence: fence_of(number),
            started_ms: number,
            timeout_ms: number,
            note: [number; 4]
        }
    );
}

/// The words of an attempt are written where those of the one before are read.
#[test]
fn a_mark_is_that_of_one_attempt_while_the_next_one_begins() {
    check(2, || {
        let place = place();
        take_and_begin(&place, 1);
        let child = Arc::clone(&place);
        let child = thread::spawn(move || take_and_begin(&child, 2));
        place.running(3).into_iter().for_each(is_of_one);
        child.join().unwrap();
    });
}

/// The fence of an attempt is written where that of the one before the last is read.
#[test]
fn a_mark_is_that_of_one_attempt_while_two_more_are_taken_up() {
    check(3, || {
        let place = place();
        take_and_begin(&place, 1);
        let child = Arc::clone(&place);
        let child = thread::spawn(move || {
            child.take(fence_of(2));
            child.take(fence_of(3));
        });
        if let Some(found) = place.running(3) {
            assert_eq!(found.started_ms, 1);
            is_of_one(found);
        }
        child.join().unwrap();
    });
}

/// A supervisor that was told "it is there" by the words of an attempt that was just being taken up left its request to the
/// one before the last, where nobody found it.
#[test]
fn a_stop_that_was_accepted_is_found() {
    check(3, || {
        let place = place();
        place.take(fence_of(1));
        let child = Arc::clone(&place);
        let child = thread::spawn(move || {
            child.take(fence_of(2));
            child.take(fence_of(3));
        });
        let is_accepted = place.request_stop(fence_of(3), StopReason::Cancelled);
        child.join().unwrap();
        let expected = is_accepted.then_some(StopReason::Cancelled);
        assert_eq!(place.stop_requested(fence_of(3)), expected);
    });
}

#[test]
fn a_stop_reaches_nobody_but_the_one_it_is_meant_for() {
    check(3, || {
        let place = place();
        place.take(fence_of(1));
        let child = Arc::clone(&place);
        let child = thread::spawn(move || {
            child.take(fence_of(2));
            assert_eq!(child.stop_requested(fence_of(2)), None);
        });
        place.request_stop(fence_of(1), StopReason::TimedOut);
        child.join().unwrap();
        assert_eq!(place.stop_requested(fence_of(2)), None);
    });
}

/// Whatever its last store was: its newest lease is the one that it was taking up or the one before, with what is true of
/// that.
#[test]
fn a_dead_child_leaves_a_whole_mark() {
    check_deaths(|stores| {
        let place = place();
        take_and_begin(&place, 1);
        let lived = dies_after(stores, || take_and_begin(&place, 2));
        let (newest, running) = (place.newest().unwrap(), place.running(3));
        assert!(
            [(fence_of(1), true), (fence_of(2), false), (fence_of(2), true)].contains(&newest),
            "{newest:?}"
        );
        assert_eq!(running.is_some(), newest.1);
        running.into_iter().for_each(|found| {
            assert_eq!(found.fence, newest.0);
            is_of_one(found);
        });
        lived
    });
}

#[test]
fn a_dead_child_has_ended_an_attempt_or_has_not() {
    check_deaths(|stores| {
        let place = place();
        take_and_begin(&place, 1);
        let lived = dies_after(stores, || {
            place.end();
            place.take(fence_of(2));
        });
        let newest = place.newest().unwrap();
        assert!([(fence_of(1), true), (fence_of(2), false)].contains(&newest), "{newest:?}");
        assert!(place.running(3).is_none_or(|found| newest.0 == fence_of(1) && found.fence == fence_of(1)));
        lived
    });
}
