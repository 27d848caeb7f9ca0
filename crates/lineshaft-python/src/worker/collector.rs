//! How long Python's garbage collector works, told to the accounts of attempts.

use std::cell::Cell;
use std::time::Instant;

use lineshaft::tally::{count_collections, tally_collected};
use pyo3::prelude::*;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Called by the collector before and after each of its runs, in the thread that it holds up.
#[pyfunction]
fn watch(phase: &str, _info: &Bound<'_, PyAny>) {
    if phase == "start" {
        BEGAN.set(Some(Instant::now()));
    } else if let Some(began) = BEGAN.take() {
        tally_collected(began.elapsed());
    }
}

/// From here on it is measured in this process, until whoever runs in it takes the callback away.
pub(super) fn watch_collector(py: Python<'_>) -> PyResult<()> {
    py.import("gc")?.getattr("callbacks")?.call_method1("append", (wrap_pyfunction!(watch, py)?,))?;
    count_collections();
    Ok(())
}
