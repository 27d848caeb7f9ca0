//! The runtime of the clients' tasks.

use std::future::Future;
use std::io;
use std::time::Instant;

use tokio::runtime::{Builder, Handle};

pub(super) use lineshaft_ipc::spin::Spin;
pub(super) use tokio::runtime::Runtime;

pub(super) fn build() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(4).build()
}

/// Whether this thread runs tasks of a runtime: no other one must be driven from within it.
pub(super) fn is_within_one() -> bool {
    Handle::try_current().is_ok()
}

/// The output of `future`, `None` if there is none by `deadline`.
pub(super) async fn by<T>(deadline: Instant, future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(deadline.into(), future).await.ok()
}
