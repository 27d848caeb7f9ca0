//! A Bloom filter of objects.

use std::sync::{Mutex, MutexGuard};

use lineshaft_structures::BloomFilter as Filter;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};

use super::hash::{SCHEME, hash};
use crate::errors::option_error;

const CAPACITY_MAX: u64 = 1 << 40;

/// A set that takes about ten bits a member: "not in it" is certain, "in it" is sometimes wrong.
///
/// `capacity` is how many members it is made for, `error_rate` the part of others that it takes for members once it has
/// as many, from 0.000001 to 0.5. With more members it is wrong more often. Members are texts, bytes, integers and tuples of
/// those; they cannot be taken out, counted exactly or gone through. Adding one and looking one up is O(1) and touches one
/// line of memory. Threads may share it.
///
/// A split block filter with the blocks of Parquet's (Putze, Sanders and Singler, JEA 2009) and hashes by XXH3, which are
/// the same in every process. Raises `OptionError` for options out of their range, `MemoryError` beyond 16 GiB.
#[pyclass(frozen, module = "lineshaft.structures")]
pub(super) struct BloomFilter {
    filter: Mutex<Filter>,
    capacity: u64,
    error_rate: f64,
}

#[pymethods]
impl BloomFilter {
    #[new]
    #[pyo3(signature = (capacity, error_rate = 0.01))]
    fn new(py: Python<'_>, capacity: u64, error_rate: f64) -> PyResult<Self> {
        if !(1..=CAPACITY_MAX).contains(&capacity) {
            let message =
                format!("capacity={capacity}: a Bloom filter is made for 1 to {CAPACITY_MAX} members");
            return Err(option_error(py, &message, "give about how many members there will be"));
        }
        if !(Filter::ERROR_RATE_MIN..=0.5).contains(&error_rate) {
            let message =
                format!("error_rate={error_rate}: a Bloom filter is wrong in 0.000001 to 0.5 of all cases");
            return Err(option_error(
                py,
                &message,
                "0.01 is one in a hundred, for 10.5 bits a member; 0.001 takes 17",
            ));
        }
        let filter = Filter::new(capacity, error_rate);
        let filter = filter.map_err(|error| PyMemoryError::new_err(error.to_string()))?;
        Ok(Self { filter: Mutex::new(filter), capacity, error_rate })
    }

    /// Adds a member. Gives whether it is certain that it is new.
    ///
    /// Raises `TypeError` for what is no text, bytes, integer or tuple of those.
    fn add(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        let hash = hash(item)?;
        Ok(self.lock().insert(hash))
    }

    /// Adds all of an iterable. Those before one that raises stay.
    fn update(&self, items: &Bound<'_, PyAny>) -> PyResult<()> {
        for item in items.try_iter()? {
            let hash = hash(&item?)?;
            self.lock().insert(hash);
        }
        Ok(())
    }

    fn __contains__(&self, item: &Bound<'_, PyAny>) -> PyResult<bool> {
        let hash = hash(item)?;
        Ok(self.lock().contains(hash))
    }

    /// A filter of the members of both. O(size).
    ///
    /// Raises `ValueError` unless both were made with the same capacity and error rate.
    fn union(&self, other: &Bound<'_, Self>) -> PyResult<Self> {
        let made = self.copy();
        made.merge(other.get())?;
        Ok(made)
    }

    fn __or__(&self, other: &Bound<'_, Self>) -> PyResult<Self> {
        self.union(other)
    }

    fn __ior__(&self, other: &Bound<'_, Self>) -> PyResult<()> {
        self.merge(other.get())
    }

    /// Another filter with the same members.
    fn copy(&self) -> Self {
        let filter = self.lock().clone();
        Self { filter: Mutex::new(filter), capacity: self.capacity, error_rate: self.error_rate }
    }

    fn __copy__(&self) -> Self {
        self.copy()
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> Self {
        self.copy()
    }

    /// Takes out all members.
    fn clear(&self) {
        self.lock().clear();
    }

    /// About how many members it has, told from the bits that are set. O(size).
    fn estimated_count(&self) -> u64 {
        self.lock().estimated_count()
    }

    /// The filter as bytes with a checksum, for `from_bytes` in whatever process. A pickle has the same.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.lock().to_bytes([SCHEME << 56 | self.capacity, self.error_rate.to_bits()]))
    }

    /// The filter that `to_bytes` made these of. Raises `ValueError` if they were cut or changed, or are something else.
    #[classmethod]
    fn from_bytes(_class: &Bound<'_, PyType>, data: &[u8]) -> PyResult<Self> {
        let (filter, [first, rate]) =
            Filter::from_bytes(data).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let (capacity, error_rate) = (first & ((1 << 56) - 1), f64::from_bits(rate));
        let is_ours = (1..=CAPACITY_MAX).contains(&capacity) && (0.0..=0.5).contains(&error_rate);
        if first >> 56 != SCHEME || !is_ours {
            return Err(PyValueError::new_err(
                "these bytes are a Bloom filter whose members were hashed in another way",
            ));
        }
        Ok(Self { filter: Mutex::new(filter), capacity, error_rate })
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let from_bytes = slf.get_type().getattr("from_bytes")?;
        Ok((from_bytes, (slf.get().to_bytes(slf.py()),)))
    }

    /// How many members it is made for.
    #[getter]
    fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The part of others that it takes for members once it has as many.
    #[getter]
    fn error_rate(&self) -> f64 {
        self.error_rate
    }

    /// What it takes in memory.
    #[getter]
    fn size_bytes(&self) -> u64 {
        self.lock().size_bytes()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let Ok(other) = other.cast::<Self>() else { return false };
        // One lock at a time: it may be the same.
        let theirs = other.get().lock().clone();
        (self.capacity, self.error_rate.to_bits()) == (other.get().capacity, other.get().error_rate.to_bits())
            && *self.lock() == theirs
    }

    fn __repr__(&self) -> String {
        let Self { capacity, error_rate, .. } = self;
        format!("BloomFilter(capacity={capacity}, error_rate={error_rate})")
    }
}

impl BloomFilter {
    fn lock(&self) -> MutexGuard<'_, Filter> {
        self.filter.lock().expect("nobody panics with it")
    }

    fn merge(&self, other: &Self) -> PyResult<()> {
        if (self.capacity, self.error_rate.to_bits()) != (other.capacity, other.error_rate.to_bits()) {
            return Err(PyValueError::new_err(format!(
                "{} and {} have no union: make both with the same capacity and error rate",
                self.__repr__(),
                other.__repr__()
            )));
        }
        let theirs = other.lock().clone();
        self.lock().unite(&theirs).map_err(|error| PyValueError::new_err(error.to_string()))
    }
}
