//! Random histories on the state machine and on the reference model, compared after every step.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::steps::{self, Step};
use crate::world::{World, limits};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn state_machine_and_model_agree_on_random_histories((tight, history) in steps::histories()) {
        run(tight, &history);
    }
}

fn run(tight: bool, history: &[Step]) -> World {
    let mut world = World::new(limits(tight));
    for step in history {
        world.step(step);
    }
    world.run_dry();
    world
}

/// Circles of those who wait are rare where jobs are made, too; here there are some hundred, as large as the parties allow.
#[test]
fn they_agree_on_locks_alone_and_on_those_who_wait_for_each_other() {
    let config =
        ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() };
    let deadlocks = Cell::new(0);
    let agrees = TestRunner::new(config).run(&steps::lock_histories(), |(tight, history)| {
        deadlocks.set(deadlocks.get() + run(tight, &history).deadlocks);
        Ok(())
    });
    agrees.unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(deadlocks.get() > 10, "{} of those who waited for each other gave up", deadlocks.get());
}

#[test]
fn an_empty_history_agrees() {
    run(false, &[]);
}
