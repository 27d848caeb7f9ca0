//! What is needed of numpy, which is used when it is there and never required.

use crate::once::OnceMade;
use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::failure::{Converted, Failure};

/// Kinds of element types that are plain bytes: numbers, texts, times, structures.
const PLAIN_KINDS: &str = "biufcmMSUV";

/// Classes and functions of numpy.
pub(super) struct Numpy {
    /// `numpy.ndarray`
    pub(super) array: Py<PyType>,
    /// `numpy.generic`, the base of all array scalars.
    pub(super) scalar: Py<PyType>,
    pub(super) asarray: Py<PyAny>,
    pub(super) ascontiguousarray: Py<PyAny>,
    dtype: Py<PyType>,
    /// `numpy.lib.format.descr_to_dtype` and its inverse, which keep the gaps of structures.
    to_dtype: Py<PyAny>,
    from_dtype: Py<PyAny>,
}

static NUMPY: OnceMade<Numpy> = OnceMade::new();

impl Numpy {
    /// numpy, if the program uses it: an object cannot be an array where it was never imported.
    pub(super) fn loaded(py: Python<'_>) -> PyResult<Option<&'static Self>> {
        if let Some(numpy) = NUMPY.get(py) {
            return Ok(Some(numpy));
        }
        let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
        if !modules.cast::<PyDict>()?.contains(intern!(py, "numpy"))? {
            return Ok(None);
        }
        Self::import(py).map(Some)
    }

    /// numpy, imported now; an array on the wire needs it.
    pub(super) fn import(py: Python<'_>) -> PyResult<&'static Self> {
        NUMPY.get_or_try_init(py, || {
            let numpy = py.import("numpy")?;
            let format = py.import("numpy.lib.format")?;
            Ok(Self {
                array: numpy.getattr("ndarray")?.cast_into::<PyType>()?.unbind(),
                scalar: numpy.getattr("generic")?.cast_into::<PyType>()?.unbind(),
                asarray: numpy.getattr("asarray")?.unbind(),
                ascontiguousarray: numpy.getattr("ascontiguousarray")?.unbind(),
                dtype: numpy.getattr("dtype")?.cast_into::<PyType>()?.unbind(),
                to_dtype: format.getattr("descr_to_dtype")?.unbind(),
                from_dtype: format.getattr("dtype_to_descr")?.unbind(),
            })
        })
    }

    /// The element type as text, or as a list of fields. Fails unless the very same type can be made of it.
    pub(super) fn describe<'py>(&self, dtype: &Bound<'py, PyAny>) -> Converted<Bound<'py, PyAny>> {
        let py = dtype.py();
        let refused = || Failure::said(format!("an array of {dtype} is not a value"));
        if !is_plain(dtype)? {
            return Err(refused());
        }
        if has_long_double(dtype)? {
            return Err(refused().with_hint("its bytes differ between machines; numpy.float64 is the widest"));
        }
        let description = if dtype.getattr(intern!(py, "names"))?.is_none() {
            dtype.getattr(intern!(py, "str"))?
        } else {
            self.from_dtype.bind(py).call1((dtype,))?
        };
        let is_same = self.to_dtype.bind(py).call1((&description,))?.eq(dtype)?;
        if is_same { Ok(description) } else { Err(refused()) }
    }

    /// The element type that `description` means; never one with pointers to objects in it.
    pub(super) fn element_type<'py>(&self, description: &Bound<'py, PyAny>) -> Converted<Bound<'py, PyAny>> {
        let py = description.py();
        let is_text = description.is_instance_of::<PyString>();
        let make = if is_text { self.dtype.bind(py).as_any() } else { self.to_dtype.bind(py) };
        let dtype = make.call1((description,))?;
        if !is_plain(&dtype)? || has_long_double(&dtype)? {
            return Err(Failure::said(format!("an array of {dtype} is not accepted")));
        }
        Ok(dtype)
    }
}

fn is_plain(dtype: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = dtype.py();
    let kind = dtype.getattr(intern!(py, "kind"))?;
    let is_known = PLAIN_KINDS.contains(kind.cast::<PyString>()?.to_str()?);
    Ok(is_known && !dtype.getattr(intern!(py, "hasobject"))?.extract::<bool>()?)
}

/// Whether there are C's long doubles in it: what their bytes mean depends on the processor.
fn has_long_double(dtype: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = dtype.py();
    let base = dtype.getattr(intern!(py, "base"))?;
    let fields = base.getattr(intern!(py, "fields"))?;
    if fields.is_none() {
        let letter = base.getattr(intern!(py, "char"))?;
        return Ok(matches!(letter.cast::<PyString>()?.to_str()?, "g" | "G"));
    }
    for field in fields.call_method0(intern!(py, "values"))?.try_iter()? {
        if has_long_double(&field?.get_item(0)?)? {
            return Ok(true);
        }
    }
    Ok(false)
}
