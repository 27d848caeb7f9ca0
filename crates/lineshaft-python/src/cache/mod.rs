//! What `lineshaft.cached` is made of.
//!
//! [`call::CachedCall`] is a decorated function: its binder makes the key of a call, its memory has the entry, and
//! on a hit nothing of Python runs but the `__hash__` and `__eq__` of arguments. What a miss does is in [`flight`].
//!
//! [`host`] is the same for all processes of a host, in shared memory.
//!
//! Locks of memories and flights are taken only by who holds the interpreter, and never kept while Python code can run
//! or the interpreter can pass to another thread: so hashing, comparing and dropping objects may call the cache again,
//! the collector may look into it at any time, and nobody holds one of them when the process forks.

mod binder;
mod bound;
mod call;
mod flight;
mod graph;
mod host;
mod memory;
mod names;

use pyo3::prelude::*;

/// The classes and functions, into the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<binder::Binder>()?;
    module.add_class::<graph::Graph>()?;
    module.add_class::<memory::Memory>()?;
    module.add_class::<memory::Computing>()?;
    module.add_class::<host::HostTable>()?;
    module.add_class::<host::HostMemory>()?;
    module.add_class::<host::HostComputing>()?;
    module.add_class::<host::HostSource>()?;
    module.add_class::<call::CachedCall>()?;
    module.add_class::<bound::BoundCall>()?;
    module.add_function(wrap_pyfunction!(flight::cache_forked, module)?)
}
