//! Models of pydantic: fields as a record's, and beside them what validation left behind.

use crate::once::intern;
use lineshaft_wire::value::ext;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString};

use super::super::describe::Model;
use super::super::failure::{Converted, Failure, Step};
use super::super::native::{entries, own_attribute};
use super::Encoder;

/// Names and their values.
type Named<'py> = Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)>;

impl<'py> Encoder<'_, 'py> {
    pub(super) fn model(&mut self, object: &Bound<'py, PyAny>, name: &str, model: &Model) -> Converted<()> {
        let fields = fields(object, model)?;
        let set = fields_set(object, &fields)?;
        let private = own_attribute(object, intern!(self.py, "__pydantic_private__"))?;
        let private = private.cast_into::<PyDict>().ok().filter(|private| !private.is_empty());
        let state_entries = usize::from(set.is_some()) + usize::from(private.is_some());
        self.list_ext(ext::RECORD, if state_entries == 0 { 2 } else { 3 }, |to| {
            to.writer.name(name)?;
            to.writer.begin_plain_dict(fields.len())?;
            for (name, value) in &fields {
                to.writer.name(name.to_str()?)?;
                to.value(value).map_err(|failure| failure.at(Step::Field(name.to_string())))?;
            }
            to.writer.end();
            if state_entries > 0 {
                to.state(state_entries, set.as_ref(), private.as_ref())?;
            }
            Ok(())
        })
    }

    fn state(
        &mut self,
        count: usize,
        set: Option<&Bound<'py, PyList>>,
        private: Option<&Bound<'py, PyDict>>,
    ) -> Converted<()> {
        self.writer.begin_plain_dict(count)?;
        if let Some(set) = set {
            self.writer.name("set")?;
            self.list(set)?;
        }
        if let Some(private) = private {
            self.writer.name("private")?;
            self.dict(private)?;
        }
        self.writer.end();
        Ok(())
    }
}

/// The fields of an instance, then what it was given beyond them.
fn fields<'py>(object: &Bound<'py, PyAny>, model: &Model) -> Converted<Named<'py>> {
    let py = object.py();
    let values =
        own_attribute(object, intern!(py, "__dict__"))?.cast_into::<PyDict>().map_err(PyErr::from)?;
    let mut fields = Vec::with_capacity(model.fields.len());
    for field in &model.fields {
        let name = field.name.bind(py);
        let Some(value) = values.get_item(name)? else {
            return Err(Failure::said("it was made without this field").at(Step::Field(name.to_string())));
        };
        fields.push((name.clone(), value));
    }
    let extra = own_attribute(object, intern!(py, "__pydantic_extra__"))?;
    if let Ok(extra) = extra.cast::<PyDict>() {
        for (name, value) in entries(extra) {
            fields.push((name.cast_into::<PyString>().map_err(PyErr::from)?, value));
        }
    }
    Ok(fields)
}

/// The names of the fields that were given rather than defaulted, `None` if all were.
fn fields_set<'py>(object: &Bound<'py, PyAny>, fields: &Named<'py>) -> Converted<Option<Bound<'py, PyList>>> {
    let py = object.py();
    let set = own_attribute(object, intern!(py, "__pydantic_fields_set__"))?;
    let set = set.cast_into::<PySet>().map_err(PyErr::from)?;
    let given = PyList::empty(py);
    for (name, _) in fields {
        if set.contains(name)? {
            given.append(name)?;
        }
    }
    if given.len() == fields.len() && set.len() == fields.len() {
        return Ok(None);
    }
    if given.len() < set.len() {
        // Names of nothing, such as `model_construct` takes: in an order that does not change.
        let others = PyList::empty(py);
        for name in set.iter().filter(|name| !given.contains(name).unwrap_or(true)) {
            others.append(name)?;
        }
        others.sort()?;
        others.iter().try_for_each(|name| given.append(name))?;
    }
    Ok(Some(given))
}
