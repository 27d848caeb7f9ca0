//! Large messages as Python sees them: memory that goes when the last view of it does.

use std::sync::Mutex;

use lineshaft_ipc::arena;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::client::lock;

/// A block of shared memory. It is free again when this object is gone, unless it was put into a queue.
#[pyclass(frozen, name = "SharedBlock", module = "lineshaft._native")]
pub(crate) struct Block {
    block: Mutex<Option<arena::Block>>,
    address: usize,
    offset: usize,
    size_bytes: usize,
}

impl Block {
    pub(crate) fn new(block: arena::Block) -> Self {
        let (address, offset, size_bytes) = (block.as_ptr().expose_provenance(), block.offset(), block.len());
        Self { block: Mutex::new(Some(block)), address, offset, size_bytes }
    }

    /// The block itself, once.
    pub(crate) fn take(&self) -> PyResult<arena::Block> {
        lock(&self.block).take().ok_or_else(|| PyValueError::new_err("the block has been put"))
    }
}

#[pymethods]
impl Block {
    /// Where it begins in this process.
    #[getter]
    fn address(&self) -> usize {
        self.address
    }

    /// Where it begins in the segment: at a memory page.
    #[getter]
    fn offset(&self) -> usize {
        self.offset
    }

    fn __len__(&self) -> usize {
        self.size_bytes
    }
}
