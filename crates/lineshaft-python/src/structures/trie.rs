//! A trie of texts, with any objects as values.

use std::sync::{Mutex, MutexGuard};

use pyo3::PyTraverseError;
use pyo3::exceptions::PyKeyError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;

/// What `lineshaft.structures.Trie` adds the methods of mappings to.
#[pyclass(frozen, subclass, module = "lineshaft._native")]
#[derive(Default)]
pub(super) struct Trie(Mutex<lineshaft_structures::Trie<Py<PyAny>>>);

#[pymethods]
impl Trie {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.lock().len()
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> bool {
        key.extract::<&str>().is_ok_and(|key| self.lock().contains(key.as_bytes()))
    }

    fn __getitem__(&self, py: Python<'_>, key: &str) -> PyResult<Py<PyAny>> {
        let found = self.lock().get(key.as_bytes()).map(|value| value.clone_ref(py));
        found.ok_or_else(|| PyKeyError::new_err(key.to_owned()))
    }

    fn __setitem__(&self, key: &str, value: Py<PyAny>) {
        let before = self.lock().insert(key.as_bytes(), value);
        drop(before);
    }

    fn __delitem__(&self, key: &str) -> PyResult<()> {
        let removed = self.lock().remove(key.as_bytes());
        removed.map(drop).ok_or_else(|| PyKeyError::new_err(key.to_owned()))
    }

    /// All keys that begin with `prefix` in order, with their values.
    fn with_prefix(&self, py: Python<'_>, prefix: &str) -> Vec<(String, Py<PyAny>)> {
        let trie = self.lock();
        trie.with_prefix(prefix.as_bytes()).map(|(key, value)| (text(key), value.clone_ref(py))).collect()
    }

    /// All keys that begin with `prefix`, in order.
    fn keys_with_prefix(&self, prefix: &str) -> Vec<String> {
        self.lock().with_prefix(prefix.as_bytes()).map(|(key, _)| text(key)).collect()
    }

    /// The longest key that `text` begins with or is, with its value.
    fn longest_prefix<'t>(&self, py: Python<'_>, text: &'t str) -> Option<(&'t str, Py<PyAny>)> {
        let trie = self.lock();
        trie.longest_prefix(text.as_bytes()).map(|(length, value)| (&text[..length], value.clone_ref(py)))
    }

    /// All keys that `text` begins with or is, shortest first, with their values.
    fn prefixes<'t>(&self, py: Python<'_>, text: &'t str) -> Vec<(&'t str, Py<PyAny>)> {
        let trie = self.lock();
        trie.prefixes(text.as_bytes()).map(|(length, value)| (&text[..length], value.clone_ref(py))).collect()
    }

    /// Takes out all keys that begin with `prefix`; how many there were.
    fn delete_prefix(&self, prefix: &str) -> usize {
        let removed = self.lock().remove_prefix(prefix.as_bytes());
        removed.len()
    }

    /// Takes out every key.
    fn clear(&self) {
        let removed = self.lock().remove_prefix(&[]);
        drop(removed);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(trie) = self.0.try_lock() else { return Ok(()) };
        trie.values().try_for_each(|value| visit.call(value))
    }

    fn __clear__(&self) {
        self.clear();
    }
}

impl Trie {
    fn lock(&self) -> MutexGuard<'_, lineshaft_structures::Trie<Py<PyAny>>> {
        self.0.lock().expect("nobody panics with it")
    }
}

/// Nodes end within characters, keys do not.
fn text(key: Vec<u8>) -> String {
    String::from_utf8(key).expect("only texts come in")
}
