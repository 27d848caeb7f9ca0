//! What cannot be an `on_failure`.
#![allow(unused)]

use lineshaft::Job;

#[lineshaft::task]
async fn takes_a_number(month: u32) {}

#[lineshaft::task]
async fn takes_two(job: Job, month: u32) {}

#[lineshaft::task]
async fn takes_nothing() {}

async fn is_no_task(job: Job) {}

#[lineshaft::task(on_failure = takes_a_number)]
async fn handled_by_a_number() {}

#[lineshaft::task(on_failure = takes_two)]
async fn handled_by_two() {}

#[lineshaft::task(on_failure = takes_nothing)]
async fn handled_by_nothing() {}

#[lineshaft::task(on_failure = is_no_task)]
async fn handled_by_a_function() {}

fn in_a_call() {
    takes_nothing::call().on_failure(takes_a_number::handler());
}

fn main() {}
