//! Instances of registered classes, and builtin exceptions.

use crate::once::intern;
use lineshaft_wire::value::ext;
use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple, PyType};

use super::super::describe::{Default, Description, Field, canonical_name, is_made_whole};
use super::super::failure::{Converted, Failure, Reason, Step};
use super::super::native::entries;
use super::super::registry::Registered;
use super::Encoder;

impl<'py> Encoder<'_, 'py> {
    pub(super) fn registered(
        &mut self,
        object: &Bound<'py, PyAny>,
        registered: &Registered,
    ) -> Converted<()> {
        let name = &*registered.name;
        match &registered.description {
            Description::Fields { fields, leaves_out: None, .. } => {
                self.once(object, |to| to.record(object, name, fields))
            }
            Description::Fields { fields, leaves_out: Some(unset), .. } => {
                self.once(object, |to| to.record_without(object, name, fields, unset.bind(to.py)))
            }
            Description::Model(model) => self.once(object, |to| to.model(object, name, model)),
            Description::Exception { base, slots } => {
                self.once(object, |to| to.exception(object, name, base.bind(to.py), slots))
            }
            Description::NamedTuple { fields } => self.named_tuple(object, name, fields),
            Description::Enum { .. } => self.list_ext(ext::ENUM, 2, |to| {
                to.writer.name(name)?;
                let member = object.getattr(intern!(to.py, "_name_"))?;
                to.text(member.cast::<PyString>().map_err(PyErr::from)?)
            }),
            Description::Flag => self.list_ext(ext::ENUM, 2, |to| {
                to.writer.name(name)?;
                let bits = object.getattr(intern!(to.py, "_value_"))?;
                to.integer(bits.cast::<PyInt>().map_err(PyErr::from)?)
            }),
        }
    }

    /// Builtin exceptions need no registration.
    pub(super) fn builtin_exception(&mut self, object: &Bound<'py, PyAny>) -> Converted<bool> {
        let class = object.get_type();
        if !object.is_instance_of::<PyBaseException>() || class.module()? != "builtins" {
            return Ok(false);
        }
        self.once(object, |to| to.exception(object, &canonical_name(&class, None), &class, &[]))?;
        Ok(true)
    }

    fn record(&mut self, object: &Bound<'py, PyAny>, name: &str, fields: &[Field]) -> Converted<()> {
        self.list_ext(ext::RECORD, 2, |to| {
            to.writer.name(name)?;
            to.writer.begin_plain_dict(fields.len())?;
            for field in fields {
                to.writer.name(&field.text)?;
                to.field(object, field).map_err(|failure| failure.at(Step::Field(field.text.to_string())))?;
            }
            to.writer.end();
            Ok(())
        })
    }

    /// A record without those of its fields that are not set.
    fn record_without(
        &mut self,
        object: &Bound<'py, PyAny>,
        name: &str,
        fields: &[Field],
        unset: &Bound<'py, PyAny>,
    ) -> Converted<()> {
        let is_unset = |field: &Field| -> PyResult<bool> {
            let is_default =
                matches!(&field.default, Default::Value(default) if default.bind(unset.py()).is(unset));
            Ok(is_default && object.getattr(field.name.bind(unset.py()))?.is(unset))
        };
        let mut written = Vec::with_capacity(fields.len());
        for field in fields {
            if !is_unset(field)? {
                written.push(field);
            }
        }
        self.list_ext(ext::RECORD, 2, |to| {
            to.writer.name(name)?;
            to.writer.begin_plain_dict(written.len())?;
            for field in written {
                to.writer.name(&field.text)?;
                to.field(object, field).map_err(|failure| failure.at(Step::Field(field.text.to_string())))?;
            }
            to.writer.end();
            Ok(())
        })
    }

    fn field(&mut self, object: &Bound<'py, PyAny>, field: &Field) -> Converted<()> {
        let value = object.getattr(field.name.bind(self.py))?;
        self.value(&value)
    }

    fn named_tuple(&mut self, object: &Bound<'py, PyAny>, name: &str, fields: &[Field]) -> Converted<()> {
        let tuple = object.cast::<PyTuple>().map_err(PyErr::from)?;
        if tuple.len() != fields.len() {
            return Err(Failure::said(format!("{name} has {} fields, not {}", fields.len(), tuple.len())));
        }
        self.list_ext(ext::RECORD, 2, |to| {
            to.writer.name(name)?;
            to.writer.begin_plain_dict(fields.len())?;
            for (field, value) in fields.iter().zip(tuple.iter()) {
                to.writer.name(&field.text)?;
                to.value(&value).map_err(|failure| failure.at(Step::Field(field.text.to_string())))?;
            }
            to.writer.end();
            Ok(())
        })
    }

    fn exception(
        &mut self,
        object: &Bound<'py, PyAny>,
        name: &str,
        base: &Bound<'py, PyType>,
        slots: &[Py<PyString>],
    ) -> Converted<()> {
        let (arguments, state) = take_apart(object, base)?;
        let (number, is_made_whole) = (self.writer.next_number(), is_made_whole(base)?);
        let attributes = attributes(object, state.as_ref(), slots)?;
        self.list_ext(ext::EXCEPTION, 3, |to| {
            to.writer.name(name)?;
            to.writer.begin_plain_list(arguments.len())?;
            if is_made_whole {
                to.unmade.push(number);
            }
            to.items(&arguments).map_err(|failure| failure.at(Step::Field("args".into())))?;
            if is_made_whole {
                to.unmade.pop();
            }
            to.writer.end();
            to.attributes(&attributes)
        })
    }

    fn attributes(&mut self, attributes: &[(Bound<'py, PyString>, Bound<'py, PyAny>)]) -> Converted<()> {
        self.writer.begin_plain_dict(attributes.len())?;
        for (name, value) in attributes {
            self.writer.name(name.to_str()?)?;
            self.value(value).map_err(|failure| failure.at(Step::Field(name.to_string())))?;
        }
        self.writer.end();
        Ok(())
    }
}

type Attributes<'py> = Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)>;

/// The arguments that the builtin ancestor of an exception was made with (an `OSError` hides some of them), and what
/// was set on it since.
fn take_apart<'py>(
    object: &Bound<'py, PyAny>,
    base: &Bound<'py, PyType>,
) -> Converted<(Bound<'py, PyTuple>, Option<Bound<'py, PyDict>>)> {
    let parts = base.call_method1(intern!(object.py(), "__reduce__"), (object,))?;
    let parts = parts.cast_into::<PyTuple>().map_err(PyErr::from)?;
    let arguments = parts.get_item(1)?.cast_into::<PyTuple>().map_err(PyErr::from)?;
    Ok((arguments, parts.get_item(2).ok().and_then(|state| state.cast_into::<PyDict>().ok())))
}

/// The state of an exception, and its slots as far as they are filled.
fn attributes<'py>(
    object: &Bound<'py, PyAny>,
    state: Option<&Bound<'py, PyDict>>,
    slots: &[Py<PyString>],
) -> Converted<Attributes<'py>> {
    let py = object.py();
    let mut attributes = Vec::new();
    for (name, value) in state.into_iter().flat_map(entries) {
        attributes.push((name.cast_into::<PyString>().map_err(PyErr::from)?, value));
    }
    for slot in slots {
        if let Ok(value) = object.getattr(slot.bind(py)) {
            attributes.push((slot.bind(py).clone(), value));
        }
    }
    Ok(attributes)
}

impl From<std::str::Utf8Error> for Failure {
    fn from(error: std::str::Utf8Error) -> Self {
        Self::new(Reason::Said(error.to_string()))
    }
}
