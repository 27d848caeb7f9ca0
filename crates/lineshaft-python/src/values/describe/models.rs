//! Classes of attrs, msgspec and pydantic. The libraries are never imported here: where a class of one is at hand, the
//! program has imported it.

use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use super::super::classes::Classes;
use super::{Bare, Default, Description, Field, can_be_bare, new_field, refused};

/// What a pydantic model has beside its fields.
#[derive(Debug)]
pub(in super::super) struct Model {
    pub(in super::super) fields: Vec<Field>,
    /// Other names than its fields' are kept too.
    pub(in super::super) allows_extra: bool,
    /// Private attributes; one without a default may be absent.
    pub(in super::super) private: Vec<Field>,
}

/// A description, if the class is of one of the libraries.
pub(super) fn model(class: &Bound<'_, PyType>, classes: &Classes) -> PyResult<Option<Description>> {
    let py = class.py();
    if class.hasattr(intern!(py, "__struct_fields__"))? {
        return structure(class).map(Some);
    }
    if class.hasattr(intern!(py, "__attrs_attrs__"))? {
        return attrs(class, classes).map(Some);
    }
    if is_pydantic(class) {
        return pydantic(class).map(Some);
    }
    Ok(None)
}

/// Whether the class is of one of the libraries.
pub(in super::super) fn is_model(class: &Bound<'_, PyType>) -> bool {
    let has = |name: &str| class.hasattr(name).unwrap_or(false);
    has("__struct_fields__") || has("__attrs_attrs__") || is_pydantic(class)
}

/// Dataclasses of pydantic are dataclasses; models have a slot for what is none of their fields.
fn is_pydantic(class: &Bound<'_, PyType>) -> bool {
    let has = |name: &str| class.hasattr(name).unwrap_or(false);
    has("__pydantic_fields__") && has("__pydantic_extra__") && !has("__dataclass_fields__")
}

/// A subclass of `msgspec.Struct`.
fn structure(class: &Bound<'_, PyType>) -> PyResult<Description> {
    let py = class.py();
    let names = class.getattr("__struct_fields__")?.cast_into::<PyTuple>()?;
    let defaults = class.getattr("__struct_defaults__")?.cast_into::<PyTuple>()?;
    let library = loaded(py, "msgspec")?;
    let (none, unset) = (library.getattr("NODEFAULT")?, library.getattr("UNSET")?);
    // Defaults belong to the last of the fields.
    let without = names.len() - defaults.len();
    let mut fields = Vec::new();
    let mut leaves_out = None;
    for (index, name) in names.iter().enumerate() {
        let default = match index.checked_sub(without).map(|index| defaults.get_item(index)) {
            None => Default::Missing,
            Some(default) => {
                let default = default?;
                if default.is(&unset) {
                    leaves_out = Some(unset.clone().unbind());
                }
                if default.is(&none) { Default::Missing } else { struct_default(&default)? }
            }
        };
        fields.push(new_field(name.cast::<PyString>()?, default)?);
    }
    Ok(Description::Fields { bare: Bare::Struct, fields, leaves_out, also: Vec::new() })
}

fn struct_default(default: &Bound<'_, PyAny>) -> PyResult<Default> {
    let is_factory = default.get_type().name()? == "Factory" && default.hasattr("factory")?;
    Ok(if is_factory {
        Default::Factory(default.getattr("factory")?.unbind())
    } else {
        Default::Value(default.clone().unbind())
    })
}

/// A class of attrs, with slots or without.
fn attrs(class: &Bound<'_, PyType>, classes: &Classes) -> PyResult<Description> {
    let py = class.py();
    if !can_be_bare(class, classes) {
        let why = "cannot be built field by field: it derives from a builtin class";
        return Err(refused(class, why, "hold the builtin in a field instead"));
    }
    let library = loaded(py, "attr")?;
    let (nothing, factory) = (library.getattr("NOTHING")?, library.getattr("Factory")?);
    let mut fields = Vec::new();
    for attribute in class.getattr("__attrs_attrs__")?.try_iter()? {
        let attribute = attribute?;
        let name = attribute.getattr("name")?.cast_into::<PyString>()?;
        let default = attribute.getattr("default")?;
        let default = if default.is(&nothing) {
            Default::Missing
        } else if !default.is_instance(&factory)? {
            Default::Value(default.unbind())
        } else if default.getattr("takes_self")?.is_truthy()? {
            Default::FactoryOf(default.getattr("factory")?.unbind())
        } else {
            Default::Factory(default.getattr("factory")?.unbind())
        };
        fields.push(new_field(&name, default)?);
    }
    let also = cached_hash(class)?;
    Ok(Description::Fields { bare: Bare::Object, fields, leaves_out: None, also })
}

/// The place of a hash that is computed once, empty; its `__init__` would have made it.
fn cached_hash(class: &Bound<'_, PyType>) -> PyResult<Vec<(Py<PyString>, Py<PyAny>)>> {
    let py = class.py();
    let name = PyString::intern(py, "_attrs_cached_hash");
    let is_cached = class.hasattr(&name)?
        || class
            .getattr("__attrs_props__")
            .and_then(|props| props.getattr("hashability")?.getattr("value"))
            .is_ok_and(|hashability| hashability.eq("hashable_cache").unwrap_or(false));
    Ok(if is_cached { vec![(name.unbind(), py.None())] } else { Vec::new() })
}

/// A subclass of `pydantic.BaseModel`.
fn pydantic(class: &Bound<'_, PyType>) -> PyResult<Description> {
    let py = class.py();
    let mut fields = Vec::new();
    for (name, field) in class.getattr("__pydantic_fields__")?.cast_into::<PyDict>()? {
        let is_required = field.call_method0("is_required")?.is_truthy()?;
        let default = if is_required { Default::Missing } else { pydantic_default(&field)? };
        fields.push(new_field(name.cast::<PyString>()?, default)?);
    }
    let mut private = Vec::new();
    for (name, attribute) in class.getattr("__private_attributes__")?.cast_into::<PyDict>()? {
        private.push(new_field(name.cast::<PyString>()?, pydantic_default(&attribute)?)?);
    }
    let config = class.getattr(intern!(py, "model_config"))?.cast_into::<PyDict>()?;
    let allows_extra = config.get_item("extra")?.is_some_and(|extra| extra.eq("allow").unwrap_or(false));
    Ok(Description::Model(Box::new(Model { fields, allows_extra, private })))
}

/// The default of a field or private attribute.
fn pydantic_default(field: &Bound<'_, PyAny>) -> PyResult<Default> {
    let factory = field.getattr("default_factory")?;
    if !factory.is_none() {
        let takes_values = field
            .getattr("default_factory_takes_validated_data")
            .is_ok_and(|takes| takes.is_truthy().unwrap_or(false));
        let factory = factory.unbind();
        return Ok(if takes_values { Default::FactoryOf(factory) } else { Default::Factory(factory) });
    }
    if field.getattr("default")?.get_type().name()? == "PydanticUndefinedType" {
        return Ok(Default::Missing);
    }
    // Copies what could be changed.
    Ok(Default::Factory(field.getattr("get_default")?.unbind()))
}

/// A module that the program has imported.
fn loaded<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?.get_item(name)
}
