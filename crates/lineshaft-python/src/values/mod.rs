//! Python objects to payloads and back.
//!
//! [`Registry`] says which classes may be values; [`encode`], [`decode`], [`encode_call`], [`decode_call`] and
//! [`encode_exception`] convert for the rest of this extension, and [`add_to`] gives the same to Python. What each
//! type becomes is the business of `docs/values.md`.
//!
//! All conversions hold the interpreter, raise `lineshaft.SerializationError` naming the path to what is wrong
//! (`args[1].items[3]: socket is not a value`). Where nothing is wrong with the
//! bytes but this process lacks a type, field or member, the error's attribute `missing` says which.

mod arrow;
mod classes;
mod decode;
mod describe;
mod encode;
mod exception;
mod failure;
pub(crate) mod native;
mod numpy;
mod registry;

use lineshaft_wire::ErrorRecord;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};

pub(crate) use self::native::{exactly, small_integer};
pub(crate) use self::registry::Registry;

/// The payload of one value. `name` is what a message's path starts from (`value`, `result`).
pub(crate) fn encode<'py>(
    registry: &Bound<'py, Registry>,
    object: &Bound<'py, PyAny>,
    name: &'static str,
) -> PyResult<Vec<u8>> {
    let py = object.py();
    let known = registry.get().known();
    let encoded = encode::Encoder::new(py, &known).single(object, name).and_then(encode::Encoded::into_vec);
    encoded.map_err(|failure| failure.into_error(py))
}

/// A value that has been looked at and not been given its place.
pub(crate) struct Written<'py>(encode::Encoded<'py>);

/// Why something is no value.
pub(crate) struct NoValue(failure::Failure);

/// As [`encode`], for who has a place of his own for it.
pub(crate) fn write<'py>(
    registry: &Bound<'py, Registry>,
    object: &Bound<'py, PyAny>,
) -> Result<Written<'py>, NoValue> {
    let known = registry.get().known();
    encode::Encoder::new(object.py(), &known).single(object, "value").map(Written).map_err(NoValue)
}

impl Written<'_> {
    /// Bytes of the payload, which is not compressed.
    pub(crate) fn size_bytes(&self) -> usize {
        self.0.size_bytes()
    }

    /// The payload, unless it has arrays.
    pub(crate) fn plain(&self) -> Option<&[u8]> {
        self.0.plain()
    }

    /// The payload with its arrays.
    pub(crate) fn copied(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        self.0.to_vec().map_err(|failure| failure.into_error(py))
    }
}

impl NoValue {
    /// The error that says so, with the path to what is none.
    pub(crate) fn into_error(self, py: Python<'_>) -> PyErr {
        self.0.into_error(py)
    }
}

/// The value in a payload.
pub(crate) fn decode<'py>(registry: &Bound<'py, Registry>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let py = registry.py();
    decode::single(py, payload, &registry.get().known()).map_err(|failure| failure.into_error(py))
}

/// The value in a payload, instances of classes as `lineshaft.Record`s.
pub(crate) fn decode_raw<'py>(py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    decode::raw(py, payload).map_err(|failure| failure.into_error(py))
}

/// The payload of a call, of a version of its task.
pub(crate) fn encode_call<'py>(
    registry: &Bound<'py, Registry>,
    positional: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
    version: u32,
) -> PyResult<Vec<u8>> {
    let py = registry.py();
    let known = registry.get().known();
    let encoded = encode::Encoder::new(py, &known)
        .call(positional, keywords, version)
        .and_then(encode::Encoded::into_vec);
    encoded.map_err(|failure| failure.into_error(py))
}

/// The arguments in the payload of a call; `here` is the task, and its version, that are about to be called.
pub(crate) fn decode_call<'py>(
    registry: &Bound<'py, Registry>,
    payload: &[u8],
    here: Option<(&str, u32)>,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    let py = registry.py();
    decode::call(py, payload, &registry.get().known(), here).map_err(|failure| failure.into_error(py))
}

/// What is kept of an exception: its classes by name, its text, its traceback and, if they are values, its arguments
/// as an encoded list. Never fails.
pub(crate) fn encode_exception(
    registry: &Bound<'_, Registry>,
    error: &Bound<'_, PyBaseException>,
) -> ErrorRecord {
    exception::record(error, &registry.get().known())
}

/// Adds the conversions and the registry to the extension module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Registry>()?;
    module.add_function(wrap_pyfunction!(py_encode, module)?)?;
    module.add_function(wrap_pyfunction!(py_decode, module)?)?;
    module.add_function(wrap_pyfunction!(py_decode_raw, module)?)?;
    module.add_function(wrap_pyfunction!(py_encode_call, module)?)?;
    module.add_function(wrap_pyfunction!(py_decode_call, module)?)?;
    module.add_function(wrap_pyfunction!(py_describe_exception, module)?)?;
    module.add_function(wrap_pyfunction!(py_show, module)?)
}

/// The payload of a value.
#[pyfunction(name = "encode")]
fn py_encode<'py>(
    value: &Bound<'py, PyAny>,
    registry: &Bound<'py, Registry>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = value.py();
    let known = registry.get().known();
    let encoded =
        encode::Encoder::new(py, &known).single(value, "value").and_then(|encoded| encoded.into_bytes(py));
    encoded.map_err(|failure| failure.into_error(py))
}

/// The value in a payload.
#[pyfunction(name = "decode")]
fn py_decode<'py>(
    payload: &Bound<'py, PyBytes>,
    registry: &Bound<'py, Registry>,
) -> PyResult<Bound<'py, PyAny>> {
    decode(registry, payload.as_bytes())
}

/// The value in a payload, instances of classes as `lineshaft.Record`s.
#[pyfunction(name = "decode_raw")]
fn py_decode_raw<'py>(payload: &Bound<'py, PyBytes>) -> PyResult<Bound<'py, PyAny>> {
    decode_raw(payload.py(), payload.as_bytes())
}

/// The payload of a call.
#[pyfunction(name = "encode_call")]
fn py_encode_call<'py>(
    args: &Bound<'py, PyTuple>,
    kwargs: Option<&Bound<'py, PyDict>>,
    registry: &Bound<'py, Registry>,
) -> PyResult<Bound<'py, PyBytes>> {
    let py = args.py();
    let known = registry.get().known();
    let encoded =
        encode::Encoder::new(py, &known).call(args, kwargs, 1).and_then(|encoded| encoded.into_bytes(py));
    encoded.map_err(|failure| failure.into_error(py))
}

/// The arguments in the payload of a call.
#[pyfunction(name = "decode_call")]
fn py_decode_call<'py>(
    payload: &Bound<'py, PyBytes>,
    registry: &Bound<'py, Registry>,
) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
    decode_call(registry, payload.as_bytes(), None)
}

/// Types, message, traceback, and the payload of the argument list.
type Described<'py> = (Vec<String>, String, Option<String>, Option<Bound<'py, PyBytes>>);

/// What is kept of an exception: (types, message, traceback or None, payload of the argument list or None).
#[pyfunction(name = "describe_exception")]
fn py_describe_exception<'py>(
    error: &Bound<'py, PyBaseException>,
    registry: &Bound<'py, Registry>,
) -> Described<'py> {
    let record = encode_exception(registry, error);
    let arguments = record.arguments.map(|payload| PyBytes::new(error.py(), &payload));
    (record.types, record.message, record.traceback, arguments)
}

/// A payload's value as text of at most `chars_max` characters, whatever types it names.
#[pyfunction(name = "show", signature = (payload, chars_max = 1000))]
fn py_show(payload: &Bound<'_, PyBytes>, chars_max: usize) -> PyResult<String> {
    let value = lineshaft_wire::value::decode(payload.as_bytes())
        .map_err(|error| failure::Failure::from(error).into_error(payload.py()))?;
    Ok(value.summary(chars_max))
}
