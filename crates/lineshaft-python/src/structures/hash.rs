//! Hashes of objects that are the same in every process and version: Python's own are not.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyByteArray, PyBytes, PyInt, PyString, PyTuple};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Says how objects are hashed, in what is written: another way would be another number.
pub(super) const SCHEME: u64 = 1;
/// Tuples in tuples may be so deep.
const DEPTH_MAX: u32 = 64;

/// Seeds, by which a text and the same bytes have hashes of their own.
const TEXT: u64 = 0;
const BYTES: u64 = 1;
const INTEGER: u64 = 2;
const LONG_INTEGER: u64 = 3;
const TUPLE: u64 = 4;

/// XXH3 of what the object says: UTF-8, bytes, or the integer in two's complement, little-endian, of 8 bytes or as few
/// as it needs beyond; of a tuple that of its items' hashes. Equal objects have equal ones.
pub(super) fn hash(item: &Bound<'_, PyAny>) -> PyResult<u64> {
    nested(item, 0)
}

fn nested(item: &Bound<'_, PyAny>, depth: u32) -> PyResult<u64> {
    if let Ok(text) = item.cast::<PyString>() {
        return Ok(xxh3_64_with_seed(text.to_str()?.as_bytes(), TEXT));
    }
    if let Ok(integer) = item.cast::<PyInt>() {
        return integer_hash(integer);
    }
    if let Ok(bytes) = item.cast::<PyBytes>() {
        return Ok(xxh3_64_with_seed(bytes.as_bytes(), BYTES));
    }
    if let Ok(bytes) = item.cast::<PyByteArray>() {
        return Ok(xxh3_64_with_seed(&bytes.to_vec(), BYTES));
    }
    let Ok(tuple) = item.cast::<PyTuple>() else { return Err(refused(item)?) };
    if depth == DEPTH_MAX {
        return Err(PyValueError::new_err(format!("tuples are nested more than {DEPTH_MAX} deep")));
    }
    let mut hashes = Vec::with_capacity(8 * tuple.len());
    for item in tuple {
        hashes.extend_from_slice(&nested(&item, depth + 1)?.to_le_bytes());
    }
    Ok(xxh3_64_with_seed(&hashes, TUPLE))
}

fn integer_hash(integer: &Bound<'_, PyInt>) -> PyResult<u64> {
    if let Ok(short) = integer.extract::<i64>() {
        return Ok(xxh3_64_with_seed(&short.to_le_bytes(), INTEGER));
    }
    // The methods of `int` itself: a subclass may have others.
    let class = integer.py().get_type::<PyInt>();
    let bits: usize = class.call_method1("bit_length", (integer,))?.extract()?;
    let signed = [("signed", true)].into_py_dict(integer.py())?;
    let made = class.call_method("to_bytes", (integer, bits / 8 + 1, "little"), Some(&signed))?;
    Ok(xxh3_64_with_seed(made.cast::<PyBytes>()?.as_bytes(), LONG_INTEGER))
}

fn refused(item: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let class = item.get_type().qualname()?;
    Ok(PyTypeError::new_err(format!(
        "a Bloom filter takes texts, bytes, integers and tuples of those, not {class}: make one of those of it, in the \
         same way when it is added and when it is looked for"
    )))
}
