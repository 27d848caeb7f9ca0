//! One way between processes: small messages are copied, large ones lie in blocks that both map.

use std::os::fd::RawFd;
use std::time::Duration;

use lineshaft_ipc::Error;
use lineshaft_ipc::channel::{Channel, Part, Received};
use lineshaft_ipc::ring::{Message, Options};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::ipc::block::Block;
use crate::ipc::patience::{Until, to_python, wait};
use crate::ipc::queue::{filenos, open};

/// A line of messages, each with a number of 31 bits.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Line(Channel);

impl Line {
    /// As [`wait`], but first with no time to wait: nearly always that is enough, and the GIL is kept for it.
    fn attempt<T: Send>(
        py: Python<'_>,
        timeout: Option<f64>,
        mut attempt: impl FnMut(Option<Duration>) -> lineshaft_ipc::Result<T> + Send,
    ) -> PyResult<Option<T>> {
        match attempt(Some(Duration::ZERO)) {
            Ok(value) => Ok(Some(value)),
            Err(Error::TimedOut) => wait(py, Until::after(timeout), attempt),
            Err(error) => Err(to_python(py, &error)),
        }
    }
}

#[pymethods]
impl Line {
    /// A line of its own, with room for so many bytes of small messages and so many of blocks, or fewer where addresses are
    /// scarce.
    #[new]
    fn new(py: Python<'_>, room_bytes: usize, arena_bytes: usize) -> PyResult<Self> {
        let ring = Options { room_bytes, ..Options::default() };
        Channel::create(ring, arena_bytes).map(Self).map_err(|error| to_python(py, &error))
    }

    /// The line behind two descriptors that the parent passed on.
    #[staticmethod]
    fn adopt(py: Python<'_>, ring: RawFd, arena: RawFd) -> PyResult<Self> {
        open(ring, arena).map(Self).map_err(|error| to_python(py, &error))
    }

    /// The two descriptors, which stay its own.
    fn descriptors(&self) -> (RawFd, RawFd) {
        filenos(&self.0)
    }

    /// Whether it is in memory, not in files.
    fn is_in_memory(&self) -> bool {
        self.0.is_in_memory()
    }

    /// Puts a message; whether there was room within `timeout` seconds.
    #[pyo3(signature = (tag, message, timeout=None))]
    fn put(&self, py: Python<'_>, tag: u32, message: &[u8], timeout: Option<f64>) -> PyResult<bool> {
        let message = Message { tag, bytes: message };
        Ok(Self::attempt(py, timeout, |left| self.0.put(message, left))?.is_some())
    }

    /// A block to be filled and put; `None` if there was no room within `timeout` seconds.
    #[pyo3(signature = (size, timeout=None))]
    fn allocate(&self, py: Python<'_>, size: usize, timeout: Option<f64>) -> PyResult<Option<Block>> {
        Ok(Self::attempt(py, timeout, |left| self.0.allocate(size, left))?.map(Block::new))
    }

    /// Puts a block, which is gone for the caller, and freed if there is no room within `timeout` seconds.
    #[pyo3(signature = (tag, block, timeout=None))]
    fn put_block(&self, py: Python<'_>, tag: u32, block: &Block, timeout: Option<f64>) -> PyResult<bool> {
        let mut block = Some(block.take()?);
        Ok(Self::attempt(py, timeout, |left| self.0.put_kept_block(tag, &mut block, left))?.is_some())
    }

    /// Up to `count` messages that are there, but no more than some hundred, or the next one as soon as it comes; none after
    /// `timeout` seconds. Each is a number with bytes or a block.
    #[pyo3(signature = (count=1, timeout=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        count: usize,
        timeout: Option<f64>,
    ) -> PyResult<Vec<(u32, Bound<'py, PyAny>)>> {
        let mut received = Received::default();
        if Self::attempt(py, timeout, |left| self.0.get_many(&mut received, count, left))?.is_none() {
            return Ok(Vec::new());
        }
        let messages = received.drain().map(|(tag, part)| {
            let payload = match part {
                Part::Small(bytes) => PyBytes::new(py, bytes).into_any(),
                Part::Large(block) => Block::new(block).into_bound_py_any(py)?,
            };
            Ok((tag, payload))
        });
        messages.collect()
    }
}
