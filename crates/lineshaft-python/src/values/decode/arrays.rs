//! numpy arrays and scalars. The elements are copied once, into memory of their own, so that arrays can be written to.

use crate::once::intern;
use lineshaft_wire::value::{Array, ValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict, PyTuple};

use super::super::arrow::{Arrow, Kind};
use super::super::failure::{Converted, Failure};
use super::super::numpy::Numpy;
use super::Decoder;

impl<'py> Decoder<'_, 'py> {
    pub(super) fn array(&mut self) -> Converted<Bound<'py, PyAny>> {
        let dtype = self.value()?;
        let mut shape = Vec::new();
        for _ in 0..self.reader.plain_list()? {
            shape.push(self.reader.small("array")?);
        }
        self.reader.end();
        let order = self.reader.str()?;
        if order != "C" && order != "F" {
            return Err(Failure::said(format!("an array has order C or F, not {order:?}")));
        }
        let index = self.reader.buffer_index()?;
        self.build(&dtype, &shape, order, index)
    }

    /// Something of Arrow's.
    pub(super) fn table(&mut self) -> Converted<Bound<'py, PyAny>> {
        let name = self.reader.str()?;
        let index = self.reader.buffer_index()?;
        let kind = Kind::named(name)
            .ok_or_else(|| Failure::said(format!("nothing of Arrow's is called {name:?} here")))?;
        let missing = ValueError::Buffer { index, needed_bytes: 0, actual_bytes: None };
        let stream = self.payload.buffer(index).ok_or(missing)?;
        match (Arrow::import(self.py), &self.record_class) {
            (Ok(arrow), _) => arrow.read(self.py, kind, stream),
            (Err(_), Some(record_class)) => {
                let fields = PyDict::new(self.py);
                fields.set_item("kind", name)?;
                fields.set_item("stream", stream)?;
                Ok(record_class.call1(("pyarrow.lib", fields))?)
            }
            (Err(error), None) => {
                Err(Failure::said(format!("a table needs pyarrow, which cannot be imported here: {error}")))
            }
        }
    }

    fn build(
        &self,
        description: &Bound<'py, PyAny>,
        shape: &[u64],
        order: &str,
        index: u64,
    ) -> Converted<Bound<'py, PyAny>> {
        if let (Some(class), Err(_)) = (&self.record_class, Numpy::import(self.py)) {
            return self.raw_array(
                class,
                description,
                shape,
                order,
                self.payload.buffer(index).unwrap_or(&[]),
            );
        }
        let (numpy, dtype) = self.element_type(description)?;
        let item_bytes: u64 = dtype.getattr(intern!(self.py, "itemsize"))?.extract()?;
        let needed_bytes = Array::size_bytes(shape, item_bytes);
        let buffer = self.payload.buffer(index);
        let actual_bytes = buffer.map(|buffer| buffer.len() as u64);
        match buffer {
            Some(buffer) if needed_bytes == actual_bytes => {
                let memory = PyByteArray::new(self.py, buffer);
                let shape = PyTuple::new(self.py, shape)?;
                Ok(numpy.array.bind(self.py).call1((shape, dtype, memory, 0, self.py.None(), order))?)
            }
            _ => Err(ValueError::Buffer {
                index,
                needed_bytes: needed_bytes.unwrap_or(u64::MAX),
                actual_bytes,
            }
            .into()),
        }
    }

    pub(super) fn array_scalar(&mut self) -> Converted<Bound<'py, PyAny>> {
        let description = self.value()?;
        let bytes = self.reader.bytes()?;
        let (numpy, dtype) = self.element_type(&description)?;
        let item_bytes: usize = dtype.getattr(intern!(self.py, "itemsize"))?.extract()?;
        if item_bytes != bytes.len() {
            return Err(Failure::said(format!(
                "an element of {dtype} has {item_bytes} bytes, not {}",
                bytes.len()
            )));
        }
        let memory = PyByteArray::new(self.py, bytes);
        let array = numpy.array.bind(self.py).call1((PyTuple::empty(self.py), dtype, memory))?;
        Ok(array.get_item(PyTuple::empty(self.py))?)
    }

    fn element_type(
        &self,
        description: &Bound<'py, PyAny>,
    ) -> Converted<(&'static Numpy, Bound<'py, PyAny>)> {
        let numpy = Numpy::import(self.py).map_err(|error| {
            let words = format!("an array needs numpy, which cannot be imported here: {error}");
            Failure::said(words)
        })?;
        Ok((numpy, numpy.element_type(description)?))
    }
}
