//! The page under every order of loads and stores that the memory model allows: `make test-models`. The child is one
//! thread, the supervisor the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use loom::model::Builder;

/// Runs `body` once for each order with so many preemptions at most.
pub(super) fn check(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

/// Runs `body` once for each store at which a writer may die, and once more for one that does not; it says whether it came
/// to its end.
pub(super) fn check_deaths(body: fn(usize) -> bool) {
    let lived = Arc::new(AtomicBool::new(false));
    for stores in 0.. {
        let has_lived = Arc::clone(&lived);
        loom::model(move || has_lived.store(body(stores), Relaxed));
        if lived.load(Relaxed) {
            assert!(stores > 0);
            return;
        }
    }
}
