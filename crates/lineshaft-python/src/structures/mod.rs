//! What `lineshaft.structures` is made of: see `lineshaft_structures`.
//!
//! Their locks are taken only by who holds the interpreter, and never kept while Python code can run.

mod bloom_filter;
mod dag;
mod hash;
mod trie;

use pyo3::prelude::*;

/// The classes, into the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<bloom_filter::BloomFilter>()?;
    module.add_class::<dag::Dag>()?;
    module.add_class::<trie::Trie>()
}
