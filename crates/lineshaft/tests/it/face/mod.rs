//! The face of a Rust program: declared tasks, calls, jobs.

mod cache;
mod calls;
mod compile;
mod declared;
mod embedded;
mod failures;
mod jobs;
mod locks;
#[cfg(feature = "log")]
mod logs;
mod profiles;
mod short;
mod tracebacks;
mod workers;

use std::future::Future;

use lineshaft::Client;

use crate::bench::Server;

/// Runs `test` under a runtime of one thread with a client of a new home.
fn with_client<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    let server = Server::start();
    let client = server.client().into();
    block_on(test(client));
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test);
}
