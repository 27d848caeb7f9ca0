//! Asking against waiting, in one order after the other: `make test-models`. Nobody waits for what has happened.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;

use super::*;

const ORDERS: usize = 2000;

#[test]
fn who_waits_for_a_request_to_stop_hears_of_it() {
    shuttle::check_random(
        || {
            let stop = Arc::new(Stop::default());
            let asker = Arc::clone(&stop);
            let asker = thread::spawn(move || asker.ask());
            block_on(stop.asked());
            asker.join().unwrap();
        },
        ORDERS,
    );
}

#[test]
fn an_attempt_is_dropped_when_its_last_shield_goes_and_not_before() {
    shuttle::check_random(
        || {
            let stop = Arc::new(Stop::default());
            (stop.shield(), stop.shield());
            let left = Arc::new(AtomicU32::new(2));
            for _ in 0..2 {
                let (stop, left) = (Arc::clone(&stop), Arc::clone(&left));
                thread::spawn(move || {
                    left.fetch_sub(1, SeqCst);
                    stop.unshield();
                });
            }
            let asker = Arc::clone(&stop);
            thread::spawn(move || asker.ask());
            block_on(stop.may_be_dropped());
            assert_eq!(left.load(SeqCst), 0);
        },
        ORDERS,
    );
}
