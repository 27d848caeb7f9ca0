//! What is found when constants are computed, which is when the program is compiled.
#![allow(unused)]

use lineshaft::JobId;

#[lineshaft::task(timeout = "5 parsecs")]
async fn no_duration() {}

#[lineshaft::task]
async fn fifth(job: JobId) {}

#[lineshaft::task(on_failure = fifth)]
async fn fourth(job: JobId) {}

#[lineshaft::task(on_failure = fourth)]
async fn third(job: JobId) {}

#[lineshaft::task(on_failure = third)]
async fn second(job: JobId) {}

#[lineshaft::task(on_failure = second)]
async fn first(job: JobId) {}

#[lineshaft::task(on_failure = first)]
async fn too_many() {}

#[lineshaft::task(unique(period = "1h"))]
async fn hourly(job: JobId) {}

#[lineshaft::task(on_failure = hourly)]
async fn handled_hourly() {}

#[lineshaft::task(cache = "25h")]
async fn cached_too_long() {}

#[lineshaft::task(cache = "1h", unique = "args")]
async fn cached_and_unique() {}

fn main() {}
