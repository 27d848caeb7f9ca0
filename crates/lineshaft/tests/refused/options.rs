//! Options that are refused, with the name that was probably meant.

use std::time::Duration;

#[lineshaft::task(retrys = 3)]
async fn nearly_an_option() {}

#[lineshaft::task(time_out = "1m")]
async fn nearly_another() {}

#[lineshaft::task(retry(frist = "1s"))]
async fn nearly_an_option_of_retry() {}

#[lineshaft::task(retry = 3)]
async fn retry_for_retries() {}

#[lineshaft::task(retry(on = 3))]
async fn a_number_for_a_type() {}

#[lineshaft::task(unique = "arguments")]
async fn another_word() {}

#[lineshaft::task(unique(by = ["tenat"]))]
async fn nearly_an_argument(tenant: String, id: u64) {}

#[lineshaft::task(unique(while = "running"))]
async fn unknown_while() {}

#[lineshaft::task(queue = "my queue")]
async fn no_name() {}

#[lineshaft::task(result = "no")]
async fn text_for_a_flag() {}

#[lineshaft::task(queue = "a", queue = "b")]
async fn twice() {}

#[lineshaft::task(tags = [1])]
async fn number_for_a_tag() {}

#[lineshaft::task(on_failures = "alarms.tell")]
async fn nearly_a_handler() {}

#[lineshaft::task(on_failure = 3)]
async fn a_number_for_a_handler() {}

#[lineshaft::task(on_failure = "alarms tell")]
async fn no_name_of_a_handler() {}

fn too_few(_: u32) -> Duration {
    Duration::ZERO
}

#[lineshaft::task(retry(after = too_few))]
async fn another_function() {}

struct Opaque;

#[lineshaft::task]
async fn fails_opaquely() -> Result<(), Opaque> {
    Err(Opaque)
}

#[lineshaft::task(profile = 1.5)]
async fn more_than_all() {}

fn main() {}
