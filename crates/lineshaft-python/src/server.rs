//! A server on a thread of this process, for `lineshaft.testing`.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lineshaft_server::{Clock, Embedded, ServeOptions};
use lineshaft_store::Durability;
use pyo3::prelude::*;

use crate::errors::raise;

/// 3,650 days, as any duration.
const ADVANCE_SECONDS_MAX: f64 = 3_650.0 * 86_400.0;

/// Serves a home until it is stopped or goes. Outputs leave before they are synced: the home ends with the test.
#[pyclass(module = "lineshaft._native", frozen)]
pub(crate) struct EmbeddedServer {
    embedded: Mutex<Embedded>,
    clock: Clock,
}

#[pymethods]
impl EmbeddedServer {
    /// Returns when clients can connect.
    #[new]
    fn new(py: Python<'_>, home: PathBuf) -> PyResult<Self> {
        let clock = Clock::default();
        let options =
            ServeOptions { durability: Durability::Os, clock: clock.clone(), ..ServeOptions::new(home) };
        let started = py.detach(|| Embedded::start(options));
        let embedded = Mutex::new(started.map_err(|error| exception(py, &error))?);
        Ok(Self { embedded, clock })
    }

    /// Moves its time forward by so many seconds; it acts on that with the next request.
    fn advance(&self, seconds: f64) {
        self.clock.advance(Duration::from_secs_f64(seconds.clamp(0.0, ADVANCE_SECONDS_MAX)));
    }

    /// Stops it and waits for its end; a second time does nothing.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let stopped = py.detach(|| self.embedded.lock().unwrap_or_else(PoisonError::into_inner).stop());
        stopped.map_err(|error| exception(py, &error))
    }
}

fn exception(py: Python<'_>, error: &lineshaft_server::Error) -> PyErr {
    raise(py, "ServerError", &error.to_string(), error.code())
}
