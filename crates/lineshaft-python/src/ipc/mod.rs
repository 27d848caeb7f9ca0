//! What Python's processes share: queues, and what they wait for each other with.
//!
//! [`Channel`] is the channel of `lineshaft-ipc` with objects for messages: `message.rs` makes the ones of the others, and
//! `patience.rs` says how a call waits. A coroutine is woken by `watch.rs`. [`SharedLock`] and its like are in `sync.rs`.
//! `python/lineshaft/multiprocessing` is the face that people use.

pub(crate) mod block;
mod heap;
mod message;
pub(crate) mod patience;
pub(crate) mod queue;
mod sync;
mod watch;

use pyo3::prelude::*;

use self::block::Block;
use self::heap::Heap;
use self::queue::Channel;
use self::sync::{SharedEvent, SharedLock, SharedSemaphore, SharedWaiters};

/// Adds the classes to the extension module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(patience::interpreter_ends, module)?)?;
    module.add_class::<Block>()?;
    module.add_class::<Channel>()?;
    module.add_class::<Heap>()?;
    module.add_class::<SharedEvent>()?;
    module.add_class::<SharedLock>()?;
    module.add_class::<SharedSemaphore>()?;
    module.add_class::<SharedWaiters>()
}
