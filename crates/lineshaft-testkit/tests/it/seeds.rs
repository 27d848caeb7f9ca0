//! Some seeds of the simulation in each run of the tests; `simulate` runs as many as there is time for.
//!
//! A seed means another run whenever the simulation changes. So what one found is kept as a mutant: the rule that was
//! mended, broken again, must be noticed.

use lineshaft_testkit::simulation::{Plan, run};

#[test]
fn no_seed_breaks_a_promise() {
    for seed in 1..=200 {
        let plan = Plan::of(seed);
        if let Err(violation) = run(&plan) {
            panic!(
                "seed {seed}: {violation}\nto see how: cargo run --release -p lineshaft-testkit --bin simulate -- {}",
                plan.arguments()
            );
        }
    }
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for seed in [3, 7, 11] {
        let plan = Plan::of(seed);
        assert_eq!(run(&plan), run(&plan), "seed {seed}");
    }
}

#[test]
fn jobs_at_rest_leave_memory_in_some_seeds() {
    let spilled = [2, 7, 9].map(|seed| run(&Plan::of(seed)).expect("nothing is broken").spilled);
    assert!(spilled.iter().all(|parts| *parts > 0), "{spilled:?}");
}

#[test]
fn a_power_cut_at_any_operation_of_the_disk_breaks_no_promise() {
    let short = Plan { requests: 2, ..Plan::short(1) };
    let operations = run(&short).expect("nothing goes wrong in it").operations;
    assert!(operations > 50, "the run is too short to say anything: {operations}");
    for operation in 1..=operations {
        let plan = Plan { power_cut: Some(operation), ..short.clone() };
        if let Err(violation) = run(&plan) {
            panic!("{violation}\nto see how: simulate {}", plan.arguments());
        }
    }
}
