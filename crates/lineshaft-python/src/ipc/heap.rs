//! Shared memory in which many small things lie, since each segment takes a descriptor.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lineshaft_ipc::fd::adopt;
use lineshaft_ipc::segment::{Backing, Segment};
use pyo3::prelude::*;

use super::patience::to_python;

/// Bytes of a heap, taken as they are first used.
const SIZE_BYTES: usize = 256 << 10;
/// What lies in it begins at cache lines, so that neighbours do not slow each other down.
const ALIGNMENT: usize = 64;

/// A segment that is given away piece by piece. No piece comes back before all are gone: a child may still use it.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Heap {
    segment: Arc<Segment>,
    used_bytes: AtomicUsize,
}

impl Heap {
    pub(super) fn segment(&self) -> Arc<Segment> {
        Arc::clone(&self.segment)
    }
}

#[pymethods]
impl Heap {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let segment = segment(SIZE_BYTES, SIZE_BYTES).map_err(|error| to_python(py, &error))?;
        Ok(Self { segment: Arc::new(segment), used_bytes: AtomicUsize::new(0) })
    }

    /// The heap behind a descriptor that was inherited and belongs to nobody yet; nothing is taken from it here.
    #[staticmethod]
    fn adopt(py: Python<'_>, fd: RawFd) -> PyResult<Self> {
        let segment = adopt(fd).and_then(Segment::from_fd).map_err(|error| to_python(py, &error))?;
        let used_bytes = AtomicUsize::new(segment.size_bytes());
        Ok(Self { segment: Arc::new(segment), used_bytes })
    }

    /// Where so many bytes lie that are nobody else's and zero; `None` if there are not so many left.
    fn take(&self, bytes: usize) -> Option<usize> {
        let end = |start: usize| {
            let end = start.checked_add(bytes.next_multiple_of(ALIGNMENT))?;
            (end <= self.segment.size_bytes()).then_some(end)
        };
        self.used_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, end).ok()
    }

    /// Its descriptor, which stays its own.
    fn fileno(&self) -> RawFd {
        self.segment.as_fd().as_raw_fd()
    }
}

/// A segment of which most is only promised where that cannot break; a file has it all, since a full disk would kill.
pub(super) fn segment(bytes: usize, reserved: usize) -> lineshaft_ipc::Result<Segment> {
    /// So much is taken at once.
    const TAKEN_BYTES: usize = 64 << 10;
    let segment = Segment::create(bytes, reserved.min(TAKEN_BYTES))?;
    if segment.backing() == Backing::File {
        segment.reserve(0, reserved)?;
    }
    Ok(segment)
}
