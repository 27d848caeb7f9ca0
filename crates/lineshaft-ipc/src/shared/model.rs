//! The page under every order of loads and stores that the memory model allows: `make models`. The child is one thread, the
//! supervisor the other.

use loom::model::Builder;

/// Runs `body` once for each order with so many preemptions at most.
pub(super) fn check(preemptions: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}
