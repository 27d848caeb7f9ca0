//! A profile, for Python.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lineshaft_insight::profile::{self, Allocation, Kind, Profile, Weight};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// (wall in ns, processor in ns, samples).
type Numbers = (u64, u64, u64);
/// (function, file, first line, own, with calls, awaited).
type FunctionRow = (String, String, u32, Numbers, Numbers, Numbers);
/// (function, file, line, own).
type LineRow = (String, String, u32, Numbers);

/// Where time went. The lock is never waited for: whoever has it has the GIL too, and gives up neither before the other.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct ProfileData(Mutex<Profile>);

#[pymethods]
impl ProfileData {
    /// One of nothing.
    #[new]
    fn new() -> Self {
        Self::of(Profile::new())
    }

    /// What `to_bytes` gave. Raises `ValueError` if it did not.
    #[staticmethod]
    fn from_bytes(data: &[u8]) -> PyResult<Self> {
        let found = Profile::from_bytes(data);
        Ok(Self::of(found.map_err(|error| PyValueError::new_err(error.to_string()))?))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner().encode())
    }

    /// Adds what another one has.
    fn merge(&self, other: &Bound<'_, Self>) {
        let other = other.get().inner().clone();
        self.inner().merge(&other);
    }

    /// Adds the time of collecting garbage, in ns, and how often that was done.
    fn collected(&self, wall_ns: u64, times: u64) {
        self.inner().collected(wall_ns, times);
    }

    /// Adds what lines have allocated: (file, line, bytes, blocks).
    fn allocated(&self, rows: Vec<(String, u32, i64, i64)>) {
        let mut inner = self.inner();
        rows.iter().for_each(|(file, line, bytes, blocks)| {
            inner.allocated(file, *line, Allocation { bytes: *bytes, blocks: *blocks });
        });
    }

    /// There were at most so many bytes more than at its beginning.
    fn peaked(&self, most: u64) {
        self.inner().peaked(most);
    }

    #[getter]
    fn memory_bytes_max(&self) -> u64 {
        self.inner().memory_bytes_max()
    }

    #[getter]
    fn duration_ns(&self) -> u64 {
        self.inner().duration_ns()
    }

    /// (ns, times).
    #[getter]
    fn garbage(&self) -> (u64, u64) {
        self.inner().garbage()
    }

    /// The sum of threads, or of what tasks awaited.
    fn total(&self, awaiting: bool) -> Numbers {
        numbers(self.inner().total(kind(awaiting)))
    }

    /// What was beyond a bound.
    fn more(&self) -> Numbers {
        numbers(self.inner().more())
    }

    /// (name, is it of a task, sum).
    fn tracks(&self) -> Vec<(String, bool, Numbers)> {
        let row =
            |(name, kind, sum): (&str, Kind, Weight)| (name.to_owned(), kind == Kind::Awaiting, numbers(sum));
        self.inner().tracks().into_iter().map(row).collect()
    }

    fn hot_functions(&self, n: usize) -> Vec<FunctionRow> {
        let row = |one: profile::HotFunction<'_>| {
            let sums = (numbers(one.own), numbers(one.total), numbers(one.awaited));
            (one.name.to_owned(), one.file.to_owned(), one.line, sums.0, sums.1, sums.2)
        };
        self.inner().hot_functions(n).into_iter().map(row).collect()
    }

    fn hot_lines(&self, n: usize) -> Vec<LineRow> {
        let row = |one: profile::HotLine<'_>| {
            (one.name.to_owned(), one.file.to_owned(), one.line, numbers(one.own))
        };
        self.inner().hot_lines(n).into_iter().map(row).collect()
    }

    /// (function, file, part before, part after), the greatest change first.
    fn diff(&self, after: &Bound<'_, Self>) -> Vec<(String, String, f64, f64)> {
        let before = self.inner().clone();
        let changes = profile::diff(&before, &after.get().inner());
        changes.into_iter().map(|one| (one.name, one.file, one.before, one.after)).collect()
    }

    /// (file, line, bytes, blocks), the greatest difference first.
    fn allocations(&self) -> Vec<(String, u32, i64, i64)> {
        let row = |(file, line, one): (&str, u32, Allocation)| (file.to_owned(), line, one.bytes, one.blocks);
        self.inner().allocations().into_iter().map(row).collect()
    }

    fn advice(&self) -> Vec<String> {
        self.inner().advice()
    }

    fn svg(&self, title: &str) -> String {
        profile::flame_graph_svg(&self.inner(), title)
    }

    /// A page; `source` has texts of lines, by file and number.
    fn html(&self, title: &str, source: HashMap<(String, u32), String>) -> String {
        let line = |file: &str, line: u32| source.get(&(file.to_owned(), line)).cloned();
        profile::html(&self.inner(), title, &line)
    }

    fn speedscope(&self, title: &str) -> String {
        self.inner().speedscope(title)
    }

    fn pprof<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner().pprof())
    }
}

impl ProfileData {
    pub(super) fn of(profile: Profile) -> Self {
        Self(Mutex::new(profile))
    }

    fn inner(&self) -> MutexGuard<'_, Profile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn numbers(weight: Weight) -> Numbers {
    (weight.wall_ns, weight.cpu_ns, weight.samples)
}

fn kind(is_awaiting: bool) -> Kind {
    if is_awaiting { Kind::Awaiting } else { Kind::Thread }
}
