//! What it takes to ask 1,000 directives about a logger.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use lineshaft_log::{Filter, LevelNames};

const DIRECTIVES: usize = 1_000;
const ROUNDS: usize = 200_000;
const GOAL_NS: u128 = 100;

fn main() {
    let directives: Vec<String> =
        (0..DIRECTIVES).map(|number| format!("shop.part{}.area{number}=debug", number % 37)).collect();
    let filter = Filter::parse(&directives.join(","), &LevelNames::default()).expect("directives");
    let names: Vec<String> =
        (0..64).map(|number| format!("shop.part{}.area{}.x", number % 37, number * 15)).collect();
    let mut figures: Vec<u128> = (0..9)
        .map(|_| {
            let began = Instant::now();
            for round in 0..ROUNDS {
                black_box(filter.verdict(black_box(&names[round % names.len()])));
            }
            began.elapsed().as_nanos() / ROUNDS as u128
        })
        .collect();
    figures.sort_unstable();
    let median = figures[figures.len() / 2];
    let is_met = if median <= GOAL_NS { "met" } else { "MISSED" };
    println!(
        "a logger asked of {DIRECTIVES} directives: {median} ns ({} to {})  goal {GOAL_NS}: {is_met}",
        figures[0], figures[8]
    );
}
