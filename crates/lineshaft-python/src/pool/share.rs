//! The claims of one worker, in memory that it has with its parent.

use std::os::fd::{AsFd, AsRawFd};

use lineshaft::pool::SLOTS;
use lineshaft_ipc::claims;
use lineshaft_ipc::fd::adopt;
use pyo3::prelude::*;

use crate::ipc::patience::to_python;

/// Which items of its shares a worker has begun.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Claims(claims::Claims);

impl Claims {
    pub(super) fn inner(&self) -> claims::Claims {
        self.0.clone()
    }
}

#[pymethods]
impl Claims {
    /// Those of a worker that has none yet.
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        claims::Claims::create(SLOTS).map(Self).map_err(|error| to_python(py, &error))
    }

    /// Those behind a descriptor that the parent passed on.
    #[staticmethod]
    fn adopt(py: Python<'_>, descriptor: i32) -> PyResult<Self> {
        let claims = adopt(descriptor).and_then(|fd| claims::Claims::from_fd(fd, SLOTS));
        claims.map(Self).map_err(|error| to_python(py, &error))
    }

    /// The descriptor, which stays its own.
    fn descriptor(&self) -> i32 {
        self.0.as_fd().as_raw_fd()
    }

    /// Claims up to `count` items of a share: from which one to before which one, counted within it.
    fn claim(&self, slot: usize, number: u16, count: u32) -> (u32, u32) {
        let range = self.0.claim(slot, number, count);
        (range.start, range.end)
    }
}
