//! Durations are read when the program is compiled.

#[lineshaft::task(timeout = "5 parsecs")]
async fn no_duration() {}

fn main() {}
