//! Models of pydantic, rebuilt as they were: no validator runs.

use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySet, PyString};

use super::super::describe::{Default, Model};
use super::super::failure::{Converted, Failure, Step};
use super::super::native::{bare_object, own_attribute, set_attribute};
use super::super::registry::{Found, Registered};
use super::objects::find;
use super::{Decoder, Place};

/// The names of the fields that were given, and private attributes, as far as the bytes have them.
type State<'py> = (Option<Bound<'py, PySet>>, Option<Bound<'py, PyDict>>);

impl<'py> Decoder<'_, 'py> {
    /// An instance whose name is read already; `has_state` if something is kept beside its fields.
    pub(super) fn model(
        &mut self,
        registered: &Registered,
        model: &Model,
        place: Place,
        has_state: bool,
    ) -> Converted<Bound<'py, PyAny>> {
        let py = self.py;
        let object = bare_object(registered.class.bind(py))?;
        self.keep(place, object.clone());
        let given = self.model_fields(&object, registered, model)?;
        let (set, private) = if has_state { self.model_state()? } else { (None, None) };
        let set = match set {
            Some(set) => names_now(registered, &set)?,
            None => given,
        };
        set_attribute(&object, intern!(py, "__pydantic_fields_set__"), set.as_any())?;
        let private = self.private_attributes(&object, registered, model, private.as_ref())?;
        set_attribute(&object, intern!(py, "__pydantic_private__"), &private)?;
        Ok(object)
    }

    /// Reads and sets the fields; gives the names that the bytes had.
    fn model_fields(
        &mut self,
        object: &Bound<'py, PyAny>,
        registered: &Registered,
        model: &Model,
    ) -> Converted<Bound<'py, PySet>> {
        let py = self.py;
        let (values, extra, given) = (PyDict::new(py), PyDict::new(py), PySet::empty(py)?);
        set_attribute(object, intern!(py, "__dict__"), &values)?;
        let kept = if model.allows_extra { extra.as_any() } else { &py.None().into_bound(py) };
        set_attribute(object, intern!(py, "__pydantic_extra__"), kept)?;
        for expected in 0..self.reader.plain_dict()? {
            let text = self.reader.str()?;
            let found = match find(&model.fields, text, expected) {
                Some(index) => Ok(Found::Field(index)),
                None => registered.field_of_before(&model.fields, text),
            };
            let (target, name) = match found {
                Ok(Found::Field(index)) => (&values, model.fields[index].name.bind(py).clone()),
                Ok(Found::Gone) => {
                    self.drop_value()?;
                    continue;
                }
                Err(_) if model.allows_extra => (&extra, PyString::new(py, text)),
                Err(failure) => return Err(failure),
            };
            let value = self.value().map_err(|failure| failure.at(Step::Field(text.to_owned())))?;
            target.set_item(&name, value)?;
            given.add(name)?;
        }
        self.reader.end();
        for field in &model.fields {
            let name = field.name.bind(py);
            if !values.contains(name)? {
                values.set_item(name, self.default(&registered.name, field, values.as_any())?)?;
            }
        }
        Ok(given)
    }

    /// What validation left behind.
    fn model_state(&mut self) -> Converted<State<'py>> {
        let (mut set, mut private) = (None, None);
        for _ in 0..self.reader.plain_dict()? {
            let name = self.reader.str()?;
            let value = self.value()?;
            match name {
                "set" => {
                    let names = value.cast::<PyList>().map_err(|_| misplaced(name))?;
                    set = Some(PySet::new(self.py, names)?);
                }
                "private" => private = Some(value.cast_into::<PyDict>().map_err(|_| misplaced(name))?),
                _ => return Err(Failure::said(format!("a model keeps nothing called {name:?}"))),
            }
        }
        self.reader.end();
        Ok((set, private))
    }

    /// The private attributes: those of the bytes that the class still has, defaults for the others.
    fn private_attributes(
        &self,
        object: &Bound<'py, PyAny>,
        registered: &Registered,
        model: &Model,
        given: Option<&Bound<'py, PyDict>>,
    ) -> Converted<Bound<'py, PyAny>> {
        let py = self.py;
        if model.private.is_empty() {
            return Ok(py.None().into_bound(py));
        }
        let private = PyDict::new(py);
        for field in &model.private {
            let name = field.name.bind(py);
            if let Some(value) = given.map(|given| given.get_item(name)).transpose()?.flatten() {
                private.set_item(name, value)?;
            } else if !matches!(field.default, Default::Missing) {
                let values = own_attribute(object, intern!(py, "__dict__"))?;
                private.set_item(name, self.default(&registered.name, field, &values)?)?;
            }
        }
        Ok(private.into_any())
    }
}

/// The names that fields have now, without those of fields that are gone.
fn names_now<'py>(registered: &Registered, names: &Bound<'py, PySet>) -> Converted<Bound<'py, PySet>> {
    let now = PySet::empty(names.py())?;
    for name in names {
        let name = name.cast_into::<PyString>().map_err(|_| misplaced("set"))?;
        if let Some(name) = registered.before.name_now(name.to_str()?) {
            now.add(name)?;
        }
    }
    Ok(now)
}

#[cold]
fn misplaced(name: &str) -> Failure {
    Failure::said(format!("what a model keeps as {name:?} is of another kind"))
}
