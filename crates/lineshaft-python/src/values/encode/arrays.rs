//! numpy arrays and scalars. The elements go out of band: they are copied once, from the array into the payload.
#![allow(unsafe_code)]

use crate::once::intern;
use lineshaft_wire::value::ext;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use super::super::arrow::Arrow;
use super::super::failure::{Converted, Failure};
use super::super::native::copy_memory;
use super::super::numpy::Numpy;
use super::{Buffer, Encoder};

impl<'py> Encoder<'_, 'py> {
    /// Writes the object if it is an array or one of its elements.
    pub(super) fn array(&mut self, object: &Bound<'py, PyAny>) -> Converted<bool> {
        Ok(self.numpy_array(object)? || self.table(object)?)
    }

    /// Writes the object if it is one of Arrow's.
    fn table(&mut self, object: &Bound<'py, PyAny>) -> Converted<bool> {
        let Some(arrow) = Arrow::loaded(self.py)? else { return Ok(false) };
        let Some(kind) = arrow.kind_of(object)? else { return Ok(false) };
        self.once(object, |to| {
            let stream = arrow.stream(object, kind)?;
            let size_bytes = stream.size_bytes()?;
            to.list_ext(ext::TABLE, 2, |to| {
                to.writer.name(kind.name())?;
                let index = to.writer.buffer(size_bytes)?;
                to.writer.uint(index);
                Ok(())
            })?;
            to.buffers.push(Buffer::Stream(stream));
            to.buffer_bytes.push(size_bytes);
            Ok(())
        })?;
        Ok(true)
    }

    fn numpy_array(&mut self, object: &Bound<'py, PyAny>) -> Converted<bool> {
        let Some(numpy) = Numpy::loaded(self.py)? else { return Ok(false) };
        if object.get_type().is(&numpy.array) {
            self.once(object, |to| to.whole_array(object, numpy))?;
        } else if object.is_instance(numpy.scalar.bind(self.py))? {
            self.array_scalar(object, numpy)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn whole_array(&mut self, object: &Bound<'py, PyAny>, numpy: &Numpy) -> Converted<()> {
        let dtype = numpy.describe(&object.getattr(intern!(self.py, "dtype"))?)?;
        let (array, is_fortran) = contiguous(object, numpy)?;
        let shape = array.getattr(intern!(self.py, "shape"))?;
        let shape = shape.cast::<PyTuple>().map_err(PyErr::from)?;
        let size_bytes: usize = array.getattr(intern!(self.py, "nbytes"))?.extract()?;
        self.list_ext(ext::ARRAY, 4, |to| {
            to.value(&dtype)?;
            to.writer.begin_plain_list(shape.len())?;
            to.items(shape)?;
            to.writer.end();
            to.writer.name(if is_fortran { "F" } else { "C" })?;
            let index = to.writer.buffer(size_bytes)?;
            to.writer.uint(index);
            Ok(())
        })?;
        self.buffers.push(Buffer::Array(array));
        self.buffer_bytes.push(size_bytes);
        Ok(())
    }

    fn array_scalar(&mut self, object: &Bound<'py, PyAny>, numpy: &Numpy) -> Converted<()> {
        // As an array: the element type of an empty text claims no bytes, its array has four.
        let object = numpy.asarray.bind(self.py).call1((object,))?;
        let dtype = numpy.describe(&object.getattr(intern!(self.py, "dtype"))?)?;
        let bytes = object.call_method0(intern!(self.py, "tobytes"))?;
        self.list_ext(ext::ARRAY_SCALAR, 2, |to| {
            to.value(&dtype)?;
            Ok(to.writer.bytes(bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes())?)
        })
    }
}

/// The array itself if its elements lie side by side, otherwise a copy where they do; and whether in Fortran's order.
fn contiguous<'py>(array: &Bound<'py, PyAny>, numpy: &Numpy) -> PyResult<(Bound<'py, PyAny>, bool)> {
    let py = array.py();
    let flags = array.getattr(intern!(py, "flags"))?;
    let is_set = |name: &Bound<'py, PyString>| flags.getattr(name)?.extract::<bool>();
    if is_set(intern!(py, "c_contiguous"))? {
        return Ok((array.clone(), false));
    }
    if is_set(intern!(py, "f_contiguous"))? {
        return Ok((array.clone(), true));
    }
    Ok((numpy.ascontiguousarray.bind(py).call1((array,))?, false))
}

/// Copies the elements of a contiguous array to their place in the payload.
pub(super) fn copy(array: &Bound<'_, PyAny>, room: &mut [u8]) -> Converted<()> {
    let py = array.py();
    let size_bytes: usize = array.getattr(intern!(py, "nbytes"))?.extract()?;
    if size_bytes != room.len() {
        return Err(Failure::said("an array changed its size while it was converted"));
    }
    let interface = array.getattr(intern!(py, "__array_interface__"))?;
    let data = interface.get_item(intern!(py, "data"))?;
    let address: usize = data.cast::<PyTuple>().map_err(PyErr::from)?.get_item(0)?.extract()?;
    if !room.is_empty() {
        // SAFETY: numpy's exact array class says that `nbytes` elements lie side by side at this address; the array
        // is alive, and no Python code runs between asking and copying.
        unsafe { copy_memory(address, room) };
    }
    Ok(())
}
