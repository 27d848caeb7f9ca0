//! Random histories on the state machine and on the reference model, compared after every step.

use proptest::prelude::*;

use crate::steps::{self, Step};
use crate::world::{World, limits};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn state_machine_and_model_agree_on_random_histories((tight, history) in steps::histories()) {
        run(tight, &history);
    }
}

fn run(tight: bool, history: &[Step]) {
    let mut world = World::new(limits(tight));
    for step in history {
        world.step(step);
    }
    world.run_dry();
}

#[test]
fn an_empty_history_agrees() {
    run(false, &[]);
}
