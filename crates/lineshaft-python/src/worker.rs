//! Placeholder until the worker's binding is here.

use pyo3::prelude::*;

/// Adds nothing yet.
pub(crate) fn add_to(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
