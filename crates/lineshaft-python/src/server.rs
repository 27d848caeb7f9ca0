//! A server on a thread of this process, for `lineshaft.testing`.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use lineshaft_server::{Embedded, ServeOptions};
use lineshaft_store::Durability;
use pyo3::prelude::*;

use crate::errors::raise;

/// Serves a home until it is stopped or goes. Outputs leave before they are synced: the home ends with the test.
#[pyclass(module = "lineshaft._native", frozen)]
pub(crate) struct EmbeddedServer(Mutex<Embedded>);

#[pymethods]
impl EmbeddedServer {
    /// Returns when clients can connect.
    #[new]
    fn new(py: Python<'_>, home: PathBuf) -> PyResult<Self> {
        let options = ServeOptions { durability: Durability::Os, ..ServeOptions::new(home) };
        let started = py.detach(|| Embedded::start(options));
        started.map(|embedded| Self(Mutex::new(embedded))).map_err(|error| exception(py, &error))
    }

    /// Stops it and waits for its end; a second time does nothing.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let stopped = py.detach(|| self.0.lock().unwrap_or_else(PoisonError::into_inner).stop());
        stopped.map_err(|error| exception(py, &error))
    }
}

fn exception(py: Python<'_>, error: &lineshaft_server::Error) -> PyErr {
    raise(py, "ServerError", &error.to_string(), error.code())
}
