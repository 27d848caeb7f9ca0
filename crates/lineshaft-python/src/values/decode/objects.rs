//! Instances of registered classes, and builtin exceptions.

use crate::once::intern;
use pyo3::exceptions::{PyBaseException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyTuple, PyType};

use super::super::classes::Classes;
use super::super::describe::{Bare, Default, Description, Field, describe, is_made_whole};
use super::super::failure::{Converted, Failure, Missing, Step};
use super::super::native::{bare_object, bare_struct, exactly, new_tuple, set_attribute};
use super::super::registry::{Found, Registered};
use super::{Decoder, Place};

impl<'a, 'py> Decoder<'a, 'py> {
    fn registered(&mut self) -> Converted<&'a Registered> {
        let name = self.reader.str()?;
        self.known.named(name).ok_or_else(|| Failure::missing(Missing::Type(name.to_owned())))
    }

    pub(super) fn enum_member(&mut self) -> Converted<Bound<'py, PyAny>> {
        if let Some(record_class) = self.record_class.clone() {
            return self.raw_member(&record_class);
        }
        let registered = self.registered()?;
        let class = registered.class.bind(self.py);
        match &registered.description {
            Description::Enum { members } => {
                let name = self.reader.str()?;
                let member = members.bind(self.py).get_item(name)?;
                member.ok_or_else(|| {
                    let (class, member) = (registered.name.to_string(), name.to_owned());
                    Failure::missing(Missing::Member { class, member })
                })
            }
            Description::Flag => {
                let bits = self.value()?;
                match exactly::<PyInt>(&bits) {
                    Some(bits) => flag(registered, class, bits),
                    None => Err(Failure::said(format!("the bits of {} are not an integer", registered.name))),
                }
            }
            _ => Err(misfit(&registered.name, "a member of an enumeration")),
        }
    }

    /// A record; `has_state` if a part of what it keeps beside its fields follows them.
    pub(super) fn record(&mut self, place: Place, has_state: bool) -> Converted<Bound<'py, PyAny>> {
        if let Some(record_class) = self.record_class.clone() {
            return self.raw_record(&record_class, place, has_state);
        }
        let registered = self.registered()?;
        match &registered.description {
            Description::Model(model) => self.model(registered, model, place, has_state),
            Description::Fields { .. } if !has_state => self.fielded(registered, place),
            Description::NamedTuple { fields } if !has_state => {
                let class = registered.class.bind(self.py);
                let tuple = self.named_tuple(registered, fields, class)?;
                Ok(self.keep(place, tuple))
            }
            _ => Err(misfit(&registered.name, "a record")),
        }
    }

    fn fielded(&mut self, registered: &Registered, place: Place) -> Converted<Bound<'py, PyAny>> {
        let Description::Fields { bare, fields, also, .. } = &registered.description else {
            return Err(misfit(&registered.name, "a record"));
        };
        let class = registered.class.bind(self.py);
        let object = match bare {
            Bare::Object => bare_object(class)?,
            Bare::Struct => bare_struct(class)?,
        };
        self.keep(place, object.clone());
        for (name, value) in also {
            set_attribute(&object, name.bind(self.py), value.bind(self.py))?;
        }
        self.fields(registered, fields, &object, |index, value| {
            Ok(set_attribute(&object, fields[index].name.bind(object.py()), &value)?)
        })?;
        Ok(object)
    }

    fn named_tuple(
        &mut self,
        registered: &Registered,
        fields: &[Field],
        class: &Bound<'py, PyType>,
    ) -> Converted<Bound<'py, PyAny>> {
        let mut values = vec![None; fields.len()];
        self.fields(registered, fields, class, |index, value| {
            values[index] = Some(value);
            Ok(())
        })?;
        let values: Vec<_> = values.into_iter().flatten().collect();
        let values = PyTuple::new(self.py, values)?;
        Ok(Classes::get(self.py)?.new_tuple.bind(self.py).call1((class, values))?)
    }

    /// Reads fields in any order, hands each to `set`, then the defaults of those that were not there.
    fn fields(
        &mut self,
        registered: &Registered,
        fields: &[Field],
        owner: &Bound<'py, PyAny>,
        mut set: impl FnMut(usize, Bound<'py, PyAny>) -> Converted<()>,
    ) -> Converted<()> {
        // Nearly always fields come as the class has them: so many did, and of the others those that came.
        let (mut in_order, mut is_set) = (0, Vec::new());
        for expected in 0..self.reader.plain_dict()? {
            let text = self.reader.str()?;
            let index = match find(fields, text, expected) {
                Some(index) => index,
                None => match registered.field_of_before(fields, text)? {
                    Found::Field(index) => index,
                    Found::Gone => {
                        self.drop_value()?;
                        continue;
                    }
                },
            };
            let value = self.value().map_err(|failure| failure.at(Step::Field(text.to_owned())))?;
            if index == in_order && is_set.is_empty() {
                in_order += 1;
            } else {
                is_set.resize(fields.len(), false);
                is_set[index] = true;
            }
            set(index, value)?;
        }
        self.reader.end();
        for (index, field) in fields.iter().enumerate().skip(in_order) {
            if !is_set.get(index).is_some_and(|is_set| *is_set) {
                set(index, self.default(&registered.name, field, owner)?)?;
            }
        }
        Ok(())
    }

    /// Reads what nobody needs any more. Its parts are made if something may refer to them and all of them can be.
    #[cold]
    pub(super) fn drop_value(&mut self) -> Converted<()> {
        let begin = self.reader.clone();
        let known = self.numbered.as_ref().map_or(0, Vec::len);
        if self.numbered.is_some() && self.value().is_ok() {
            return Ok(());
        }
        self.reader = begin;
        self.reader.skip()?;
        if let Some(numbered) = &mut self.numbered {
            // What was made of it before something turned out to be unknown is not whole.
            numbered.truncate(known);
            let count = self.reader.last_number().wrapping_add(1) as usize;
            numbered.resize(count, None);
        }
        Ok(())
    }

    /// What a field has that the bytes do not; `owner` is what is being built.
    pub(super) fn default(
        &self,
        name: &str,
        field: &Field,
        owner: &Bound<'py, PyAny>,
    ) -> Converted<Bound<'py, PyAny>> {
        match &field.default {
            Default::Value(value) => Ok(value.bind(self.py).clone()),
            Default::Factory(factory) => Ok(factory.bind(self.py).call0()?),
            Default::FactoryOf(factory) => Ok(factory.bind(self.py).call1((owner,))?),
            Default::Missing => {
                let (class, field) = (name.to_owned(), field.text.to_string());
                Err(Failure::missing(Missing::Default { class, field }))
            }
        }
    }

    pub(super) fn exception(&mut self, place: Place) -> Converted<Bound<'py, PyAny>> {
        let name = self.reader.str()?;
        let (class, base) = match (self.exception_class(name), self.record_class.clone()) {
            (Ok(found), _) => found,
            (Err(_), Some(record_class)) => return self.raw_exception(&record_class, name, place),
            (Err(failure), None) => return Err(failure),
        };
        // The builtin ancestor makes and fills it, so that no code of the class itself runs.
        let (new, init) = (intern!(self.py, "__new__"), intern!(self.py, "__init__"));
        let (object, arguments) = if is_made_whole(&base)? {
            let arguments = self.arguments()?;
            let object = base.call_method1(new, preceded(class.as_any(), &arguments)?)?;
            (self.keep(place, object), arguments)
        } else {
            let object = base.call_method1(new, (class,))?;
            (self.keep(place, object), self.arguments()?)
        };
        base.call_method1(init, preceded(&object, &arguments)?)?;
        for _ in 0..self.reader.plain_dict()? {
            let attribute = PyString::intern(self.py, self.reader.str()?);
            let value = self.value().map_err(|failure| failure.at(Step::Field(attribute.to_string())))?;
            set_attribute(&object, &attribute, &value)?;
        }
        self.reader.end();
        Ok(object)
    }

    /// The arguments of an exception, whose name is read already.
    pub(super) fn arguments(&mut self) -> Converted<Bound<'py, PyTuple>> {
        let length = self.reader.plain_list()?;
        self.items(length).map_err(|failure| failure.at(Step::Field("args".into())))
    }

    /// The class of an exception and the builtin one it derives from.
    fn exception_class(&self, name: &str) -> Converted<(Bound<'py, PyType>, Bound<'py, PyType>)> {
        if let Some(registered) = self.known.named(name) {
            let Description::Exception { base, .. } = &registered.description else {
                return Err(misfit(name, "an exception"));
            };
            return Ok((registered.class.bind(self.py).clone(), base.bind(self.py).clone()));
        }
        let class =
            self.builtin_exception(name).ok_or_else(|| Failure::missing(Missing::Type(name.to_owned())))?;
        Ok((class.clone(), class))
    }

    /// `builtins.ValueError` and the like: exception classes only, nothing else that builtins hold.
    fn builtin_exception(&self, name: &str) -> Option<Bound<'py, PyType>> {
        let name = name.strip_prefix("builtins.")?;
        let class = self.py.import(intern!(self.py, "builtins")).ok()?.getattr(name).ok()?;
        let class = class.cast_into::<PyType>().ok()?;
        (class.is_subclass_of::<PyBaseException>().ok()? && describe(&class).is_ok()).then_some(class)
    }
}

impl Registered {
    /// What a name stands for that is none of its fields.
    #[cold]
    pub(super) fn field_of_before(&self, fields: &[Field], name: &str) -> Converted<Found> {
        self.before.find(fields, name).ok_or_else(|| {
            Failure::missing(Missing::Field { class: self.name.to_string(), field: name.to_owned() })
        })
    }
}

/// The arguments with another one before them.
fn preceded<'py>(
    first: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    new_tuple(first.py(), arguments.len() + 1, |index| match index.checked_sub(1) {
        None => Ok(first.clone()),
        Some(index) => arguments.get_item(index),
    })
}

/// The flag with these bits; a class that is strict about bits that it does not know, makes a number of them, or drops
/// them, as any flag did in the first Python 3.11, is of another version than the sender's.
fn flag<'py>(
    registered: &Registered,
    class: &Bound<'py, PyType>,
    bits: &Bound<'py, PyInt>,
) -> Converted<Bound<'py, PyAny>> {
    let missing = || {
        let class = registered.name.to_string();
        Failure::missing(Missing::Bits { class, bits: bits.to_string() })
    };
    match class.call1((bits,)) {
        Ok(flag) if flag.get_type().is(class) && flag.getattr(intern!(flag.py(), "_value_"))?.eq(bits)? => {
            Ok(flag)
        }
        Ok(_) => Err(missing()),
        Err(error) if error.is_instance_of::<PyValueError>(class.py()) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

/// The index of a field; most often the one that is expected.
pub(super) fn find(fields: &[Field], text: &str, expected: usize) -> Option<usize> {
    match fields.get(expected) {
        Some(field) if *field.text == *text => Some(expected),
        _ => fields.iter().position(|field| *field.text == *text),
    }
}

#[cold]
fn misfit(name: &str, found: &str) -> Failure {
    Failure::said(format!("{name} is registered as another kind of type than the payload says ({found})"))
}
