//! What a pool and its processes share: lines for messages, and the plan of who does what.

mod foreman;
mod line;
mod share;

use pyo3::prelude::*;

/// Adds the classes to the extension module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<line::Line>()?;
    module.add_class::<share::Claims>()?;
    module.add_class::<foreman::Foreman>()
}
