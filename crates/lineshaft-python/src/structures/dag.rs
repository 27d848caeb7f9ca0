//! A graph of numbers, which stand for the nodes of `lineshaft.structures.Dag`.

use std::sync::{Mutex, MutexGuard};

use lineshaft_structures::Cycle;
use pyo3::prelude::*;

/// See `lineshaft_structures::Dag`.
#[pyclass(frozen, module = "lineshaft._native")]
#[derive(Default)]
pub(super) struct Dag(Mutex<lineshaft_structures::Dag<u64>>);

#[pymethods]
impl Dag {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn add_node(&self, node: u64) -> bool {
        self.lock().add_node(&node)
    }

    /// Whether the edge is new, or the way that it would close.
    fn add_edge(&self, before: u64, after: u64) -> (bool, Option<Vec<u64>>) {
        match self.lock().add_edge(&before, &after) {
            Ok(is_new) => (is_new, None),
            Err(Cycle(way)) => (false, Some(way)),
        }
    }

    fn remove_edge(&self, before: u64, after: u64) -> bool {
        self.lock().remove_edge(&before, &after)
    }

    fn remove_node(&self, node: u64) -> Option<Vec<u64>> {
        self.lock().remove_node(&node)
    }

    fn has_edge(&self, before: u64, after: u64) -> bool {
        self.lock().contains_edge(&before, &after)
    }

    fn order(&self) -> Vec<u64> {
        self.lock().order().into_iter().copied().collect()
    }

    fn ready(&self) -> Vec<u64> {
        self.lock().ready().into_iter().copied().collect()
    }

    fn predecessors(&self, node: u64) -> Vec<u64> {
        self.lock().predecessors(&node).into_iter().copied().collect()
    }

    fn successors(&self, node: u64) -> Vec<u64> {
        self.lock().successors(&node).into_iter().copied().collect()
    }

    fn ancestors(&self, node: u64) -> Vec<u64> {
        self.lock().ancestors(&node).into_iter().copied().collect()
    }

    fn descendants(&self, node: u64) -> Vec<u64> {
        self.lock().descendants(&node).into_iter().copied().collect()
    }

    fn edge_count(&self) -> usize {
        self.lock().edge_count()
    }
}

impl Dag {
    fn lock(&self) -> MutexGuard<'_, lineshaft_structures::Dag<u64>> {
        self.0.lock().expect("nobody panics with it")
    }
}
