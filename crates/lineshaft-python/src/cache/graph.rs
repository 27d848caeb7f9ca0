//! What depends on what, by numbers.

use std::sync::Mutex;

use lineshaft_cache::Cycle;
use pyo3::prelude::*;

/// See `lineshaft_cache::Graph`.
#[pyclass(frozen, module = "lineshaft._native")]
#[derive(Default)]
pub(super) struct Graph(Mutex<lineshaft_cache::Graph<u64>>);

#[pymethods]
impl Graph {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Has `name` depend on `sources` and nothing else. Gives the way if that would be a cycle, which changes nothing.
    fn set(&self, name: u64, sources: Vec<u64>) -> Option<Vec<u64>> {
        self.lock().set(&name, &sources).err().map(|Cycle(path)| path)
    }

    /// Has `name` depend on nothing any more.
    fn forget(&self, name: u64) {
        self.lock().forget(&name);
    }

    fn sources(&self, name: u64) -> Vec<u64> {
        self.lock().sources(&name)
    }

    /// All that depends on `name`, by whatever way, each once.
    fn dependants(&self, name: u64) -> Vec<u64> {
        self.lock().dependants(&name)
    }

    fn __contains__(&self, name: u64) -> bool {
        self.lock().contains(&name)
    }
}

impl Graph {
    fn lock(&self) -> std::sync::MutexGuard<'_, lineshaft_cache::Graph<u64>> {
        self.0.lock().expect("nobody panics with it")
    }
}
