//! Says why an object is not a value, and what to do about it.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;
use pyo3::types::{
    PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple, PyType,
};

use super::super::classes::Classes;
use super::super::describe::{canonical_name, is_dataclass, is_model};
use super::super::failure::Failure;

/// What is a value, where nothing better can be said.
const DATA: &str = "values are data: text, numbers, bytes, lists, dicts, dataclasses, models, arrays; \
    what a worker opens for itself is a resource: @app.resource";

/// `socket is not a value`, with a hint where there is one.
#[cold]
pub(super) fn explain(object: &Bound<'_, PyAny>) -> Failure {
    let class = object.get_type();
    let name = class.qualname().map_or_else(|_| "an object".to_owned(), |name| name.to_string());
    if is_registrable(&class) {
        let canonical = canonical_name(&class, None);
        return Failure::said(format!("{name} is not a registered type"))
            .with_hint(format!("app.register({name}) makes {canonical} one"));
    }
    let failure = Failure::said(format!("{name} is not a value"));
    match builtin_base(object) {
        Some(base) => failure.with_hint(format!("only {base} itself is; convert it")),
        None => failure.with_hint(DATA),
    }
}

fn is_registrable(class: &Bound<'_, PyType>) -> bool {
    let is_enum =
        || Classes::get(class.py()).and_then(|classes| class.is_subclass(classes.enum_.bind(class.py())));
    is_dataclass(class)
        || is_model(class)
        || class.is_subclass_of::<PyBaseException>().unwrap_or(false)
        || is_enum().unwrap_or(false)
        || (class.is_subclass_of::<PyTuple>().unwrap_or(false)
            && class.hasattr("_field_defaults").unwrap_or(false))
}

/// The builtin value class that the object's class derives from.
fn builtin_base(object: &Bound<'_, PyAny>) -> Option<&'static str> {
    let bases: [(bool, &str); 10] = [
        (object.is_instance_of::<PyDict>(), "dict"),
        (object.is_instance_of::<PyList>(), "list"),
        (object.is_instance_of::<PyTuple>(), "tuple"),
        (object.is_instance_of::<PyString>(), "str"),
        (object.is_instance_of::<PyBytes>(), "bytes"),
        (object.is_instance_of::<PyByteArray>(), "bytearray"),
        (object.is_instance_of::<PyInt>(), "int"),
        (object.is_instance_of::<PyFloat>(), "float"),
        (object.is_instance_of::<PySet>(), "set"),
        (object.is_instance_of::<PyFrozenSet>(), "frozenset"),
    ];
    bases.into_iter().find_map(|(is_base, name)| is_base.then_some(name))
}
