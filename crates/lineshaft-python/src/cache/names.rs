//! Entries of a memory by the text in their keys.

use lineshaft_cache::{Prefixes, Residents};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::memory::Item;

/// Where entries are whose key has a text at one place. Nothing of Python runs in it.
pub(super) struct Names {
    place: usize,
    prefixes: Prefixes,
}

impl Names {
    /// Those of all entries.
    pub(super) fn of(py: Python<'_>, residents: &Residents<Item>, place: usize) -> Self {
        let mut names = Self { place, prefixes: Prefixes::default() };
        residents.iter().for_each(|(slot, item)| names.add(item.key.bind(py), slot));
        names
    }

    pub(super) fn add(&mut self, key: &Bound<'_, PyAny>, slot: u32) {
        if let Some(text) = text(key, self.place) {
            self.prefixes.add(&text, id(key), slot);
        }
    }

    pub(super) fn remove(&mut self, key: &Bound<'_, PyAny>) {
        if let Some(text) = text(key, self.place) {
            self.prefixes.remove(&text, id(key));
        }
    }

    pub(super) fn clear(&mut self) {
        self.prefixes.clear();
    }

    pub(super) fn slots(&self, prefix: &str) -> Vec<u32> {
        self.prefixes.slots(prefix)
    }
}

/// The text at a place of a key; none if there is something else, or what UTF-8 cannot say.
pub(super) fn text(key: &Bound<'_, PyAny>, place: usize) -> Option<String> {
    let item = key.cast::<PyTuple>().ok()?.get_item(place).ok()?;
    item.cast::<PyString>().ok()?.to_str().ok().map(str::to_owned)
}

/// Where the key is: no two are at one place while they are kept.
fn id(key: &Bound<'_, PyAny>) -> u64 {
    key.as_ptr() as u64
}
