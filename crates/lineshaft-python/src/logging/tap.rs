//! The records of a handler that is a function of Python, on a thread of Python.

use std::sync::Arc;

use lineshaft_log::{LevelNames, Tap};
use pyo3::prelude::*;

use super::record::LogRecord;

/// Where a function gets its records.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct LogTap {
    tap: Tap,
    levels: Arc<LevelNames>,
}

#[pymethods]
impl LogTap {
    /// The name of the handler.
    #[getter]
    fn name(&self) -> &str {
        self.tap.name()
    }

    /// The next records, after waiting for them; None when no more will come.
    fn take(&self, py: Python<'_>) -> Option<Vec<LogRecord>> {
        let taken = py.detach(|| {
            loop {
                let taken = self.tap.take(None);
                if taken.is_some() || self.tap.is_over() {
                    return taken;
                }
            }
        })?;
        let records = taken.wanted().iter();
        Some(records.map(|number| LogRecord::of(taken.records(), *number, self.levels.clone())).collect())
    }

    /// Says what became of the records that were taken last.
    fn finish(&self, handled: u64, failed: u64) {
        self.tap.finish(handled, failed);
    }
}

impl LogTap {
    pub(super) fn new(tap: Tap, levels: Arc<LevelNames>) -> Self {
        Self { tap, levels }
    }
}
