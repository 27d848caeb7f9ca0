//! What a class is made of, found out once when it is registered.

mod models;

use crate::once::intern;
use pyo3::exceptions::{PyBaseException, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

pub(super) use self::models::{Model, is_model};
use super::classes::Classes;
use crate::errors::declaration_error;

/// How to take instances apart and build them again.
#[derive(Debug)]
pub(super) enum Description {
    /// Fields are set one by one on a bare object; `__init__` does not run.
    Fields {
        bare: Bare,
        fields: Vec<Field>,
        /// A field with this very object, which is its default, is not written.
        leaves_out: Option<Py<PyAny>>,
        /// Attributes that are no fields, and what they begin with.
        also: Vec<(Py<PyString>, Py<PyAny>)>,
    },
    /// A model of pydantic.
    Model(Box<Model>),
    /// A tuple with names.
    NamedTuple { fields: Vec<Field> },
    /// Members are found by name.
    Enum { members: Py<PyDict> },
    /// Members are bits.
    Flag,
    /// Built by the builtin exception it derives from.
    Exception { base: Py<PyType>, slots: Vec<Py<PyString>> },
}

impl Description {
    /// What instances are made of; empty if they have no fields.
    pub(super) fn fields(&self) -> &[Field] {
        match self {
            Self::Fields { fields, .. } | Self::NamedTuple { fields } => fields,
            Self::Model(model) => &model.fields,
            Self::Enum { .. } | Self::Flag | Self::Exception { .. } => &[],
        }
    }
}

/// What fields are set on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bare {
    /// What `object.__new__` makes.
    Object,
    /// A `msgspec.Struct`, which has no `__new__`.
    Struct,
}

/// A field of a dataclass or named tuple.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) text: Box<str>,
    pub(super) name: Py<PyString>,
    pub(super) default: Default,
}

/// What a field has when the bytes are older than it.
#[derive(Debug)]
pub(super) enum Default {
    Missing,
    Value(Py<PyAny>),
    Factory(Py<PyAny>),
    /// Called with what is being built: the instance of attrs, the values of pydantic.
    FactoryOf(Py<PyAny>),
}

/// Looks at a class. Raises `DeclarationError` if its instances cannot be values.
pub(super) fn describe(class: &Bound<'_, PyType>) -> PyResult<Description> {
    let py = class.py();
    let classes = Classes::get(py)?;
    if class.is_subclass_of::<PyBaseException>()? {
        return exception(class);
    }
    if class.is_subclass(classes.flag.bind(py))? {
        return Ok(Description::Flag);
    }
    if class.is_subclass(classes.enum_.bind(py))? {
        let members = class.getattr(intern!(py, "__members__"))?;
        let members = py.get_type::<PyDict>().call1((members,))?.cast_into::<PyDict>()?;
        return Ok(Description::Enum { members: members.unbind() });
    }
    if class.is_subclass_of::<PyTuple>()? && class.hasattr(intern!(py, "_field_defaults"))? {
        return named_tuple(class);
    }
    if is_dataclass(class) {
        return dataclass(class, classes);
    }
    if let Some(description) = models::model(class, classes)? {
        return Ok(description);
    }
    Err(refused(
        class,
        "is no dataclass, enumeration, named tuple, exception or model of pydantic, msgspec or attrs",
        "make it one; @dataclass stands below @lineshaft.value",
    ))
}

/// Whether the class is a dataclass or derives from one.
pub(super) fn is_dataclass(class: &Bound<'_, PyType>) -> bool {
    class.hasattr(intern!(class.py(), "__dataclass_fields__")).unwrap_or(false)
}

/// `module.qualname`, with `main` in place of `__main__`.
pub(super) fn canonical_name(class: &Bound<'_, PyType>, main: Option<&str>) -> String {
    let text =
        |name: PyResult<Bound<'_, PyString>>| name.map_or_else(|_| "?".to_owned(), |name| name.to_string());
    let module = text(class.module());
    let module = if module == "__main__" { main.unwrap_or("__main__") } else { &module };
    format!("{module}.{}", text(class.qualname()))
}

fn refused(class: &Bound<'_, PyType>, why: &str, hint: &str) -> PyErr {
    declaration_error(class.py(), &format!("{} {why}", canonical_name(class, None)), hint)
}

fn dataclass(class: &Bound<'_, PyType>, classes: &Classes) -> PyResult<Description> {
    let py = class.py();
    if !can_be_bare(class, classes) {
        let why = "cannot be built field by field: it derives from a builtin class";
        return Err(refused(class, why, "hold the builtin in a field instead"));
    }
    let mut fields = Vec::new();
    for field in py.import("dataclasses")?.call_method1("fields", (class,))?.try_iter()? {
        let field = field?;
        let name = field.getattr("name")?.cast_into::<PyString>()?;
        fields.push(new_field(&name, dataclass_default(&field, classes)?)?);
    }
    Ok(Description::Fields { bare: Bare::Object, fields, leaves_out: None, also: Vec::new() })
}

/// Whether `object.__new__` makes instances of the class; of an abstract one there are none.
fn can_be_bare(class: &Bound<'_, PyType>, classes: &Classes) -> bool {
    let py = class.py();
    let is_abstract = class
        .getattr(intern!(py, "__abstractmethods__"))
        .is_ok_and(|names| names.is_truthy().unwrap_or(false));
    is_abstract || classes.new_object.bind(py).call1((class,)).is_ok()
}

fn dataclass_default(field: &Bound<'_, PyAny>, classes: &Classes) -> PyResult<Default> {
    let missing = classes.missing.bind(field.py());
    let value = field.getattr("default")?;
    if !value.is(missing) {
        return Ok(Default::Value(value.unbind()));
    }
    let factory = field.getattr("default_factory")?;
    Ok(if factory.is(missing) { Default::Missing } else { Default::Factory(factory.unbind()) })
}

fn named_tuple(class: &Bound<'_, PyType>) -> PyResult<Description> {
    let defaults = class.getattr("_field_defaults")?.cast_into::<PyDict>()?;
    let mut fields = Vec::new();
    for name in class.getattr("_fields")?.try_iter()? {
        let name = name?.cast_into::<PyString>()?;
        let default =
            defaults.get_item(&name)?.map_or(Default::Missing, |value| Default::Value(value.unbind()));
        fields.push(new_field(&name, default)?);
    }
    Ok(Description::NamedTuple { fields })
}

fn new_field(name: &Bound<'_, PyString>, default: Default) -> PyResult<Field> {
    let text = name.to_str()?;
    Ok(Field { text: text.into(), name: PyString::intern(name.py(), text).unbind(), default })
}

fn exception(class: &Bound<'_, PyType>) -> PyResult<Description> {
    let mut slots = Vec::new();
    for ancestor in class.mro() {
        let ancestor = ancestor.cast_into::<PyType>()?;
        if ancestor.module()? == "builtins" {
            return Ok(Description::Exception { base: ancestor.unbind(), slots });
        }
        slots.extend(own_slots(&ancestor)?);
    }
    Err(refused(class, "derives from no builtin exception", "derive it from Exception"))
}

/// Whether exceptions of this builtin class are made with their arguments; all others get theirs when they exist.
pub(super) fn is_made_whole(base: &Bound<'_, PyType>) -> PyResult<bool> {
    let is_group = || -> PyResult<bool> {
        // Groups are of Python 3.11.
        let groups = base.py().import(intern!(base.py(), "builtins"))?.getattr_opt("BaseExceptionGroup")?;
        groups.map_or(Ok(false), |groups| base.is_subclass(&groups))
    };
    Ok(base.is_subclass_of::<PyOSError>()? || is_group()?)
}

/// The names in a class's `__slots__`, which attributes of an exception may hide in.
fn own_slots(class: &Bound<'_, PyType>) -> PyResult<Vec<Py<PyString>>> {
    let own = class.getattr(intern!(class.py(), "__dict__"))?;
    let Ok(slots) = own.get_item("__slots__") else { return Ok(Vec::new()) };
    if let Ok(single) = slots.cast::<PyString>() {
        return Ok(vec![single.clone().unbind()]);
    }
    let mut names = Vec::new();
    for name in slots.try_iter()? {
        let name = name?.cast_into::<PyString>()?;
        if name != "__dict__" && name != "__weakref__" {
            names.push(name.unbind());
        }
    }
    Ok(names)
}
