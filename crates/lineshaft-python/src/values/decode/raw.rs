//! Types as data: what `result(raw=True)` gives in place of instances, so that no class is needed.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::super::failure::{Converted, Step};
use super::super::native::exactly;
use super::{Decoder, Place};

impl<'py> Decoder<'_, 'py> {
    /// A record with all its fields; what it keeps beside them is left out.
    pub(super) fn raw_record(
        &mut self,
        class: &Bound<'py, PyType>,
        place: Place,
        has_state: bool,
    ) -> Converted<Bound<'py, PyAny>> {
        let fields = PyDict::new(self.py);
        let record = class.call1((self.reader.str()?, &fields))?;
        self.keep(place, record.clone());
        self.raw_fields(&fields)?;
        if has_state {
            self.raw_fields(&PyDict::new(self.py))?;
        }
        Ok(record)
    }

    /// A member of an enumeration, `{"name": "RED"}`, or the bits of flags, `{"value": 5}`.
    pub(super) fn raw_member(&mut self, class: &Bound<'py, PyType>) -> Converted<Bound<'py, PyAny>> {
        let name = self.reader.str()?;
        let member = self.value()?;
        let fields = PyDict::new(self.py);
        let field = if exactly::<PyString>(&member).is_some() { "name" } else { "value" };
        fields.set_item(field, member)?;
        Ok(class.call1((name, fields))?)
    }

    /// An exception: `args`, then its attributes. Its name is read already.
    pub(super) fn raw_exception(
        &mut self,
        class: &Bound<'py, PyType>,
        name: &str,
        place: Place,
    ) -> Converted<Bound<'py, PyAny>> {
        let fields = PyDict::new(self.py);
        let record = self.keep(place, class.call1((name, &fields))?);
        fields.set_item("args", self.arguments()?)?;
        self.raw_fields(&fields)?;
        Ok(record)
    }

    /// An array for which there is no numpy here.
    pub(super) fn raw_array(
        &self,
        class: &Bound<'py, PyType>,
        dtype: &Bound<'py, PyAny>,
        shape: &[u64],
        order: &str,
        data: &[u8],
    ) -> Converted<Bound<'py, PyAny>> {
        let fields = PyDict::new(self.py);
        fields.set_item("dtype", dtype)?;
        fields.set_item("shape", PyTuple::new(self.py, shape)?)?;
        fields.set_item("order", order)?;
        fields.set_item("data", data)?;
        Ok(class.call1(("numpy.ndarray", fields))?)
    }

    fn raw_fields(&mut self, fields: &Bound<'py, PyDict>) -> Converted<()> {
        for _ in 0..self.reader.plain_dict()? {
            let name = PyString::new(self.py, self.reader.str()?);
            let value = self.value().map_err(|failure| failure.at(Step::Field(name.to_string())))?;
            fields.set_item(name, value)?;
        }
        self.reader.end();
        Ok(())
    }
}
