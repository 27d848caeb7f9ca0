//! The parts of a call: message, fields, and an exception.

use lineshaft_log::{DistinctFields, Level};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::helpers;
use super::hiding::hidden;
use super::values::{self, Budget};
use crate::values::native::exactly;

/// What a method was called with.
pub(super) struct Call<'a, 'py> {
    pub(super) level: Level,
    /// Whether the exception that is being handled belongs to it.
    pub(super) is_exception: bool,
    pub(super) message: &'a Bound<'py, PyAny>,
    pub(super) args: &'a [Borrowed<'a, 'py, PyAny>],
    pub(super) names: Option<&'a Bound<'py, PyTuple>>,
    pub(super) keywords: &'a [Borrowed<'a, 'py, PyAny>],
}

/// The message, with its arguments as `%` puts them in. What does not fit is shown beside it.
pub(super) fn message_of(call: &Call<'_, '_>, budget: &mut Budget<'_>) -> PyResult<Box<str>> {
    let message = call.message;
    if call.args.is_empty() {
        return match exactly::<PyString>(message) {
            Some(text) => budget.text(text),
            None => said(&hidden(message, budget)?, budget),
        };
    }
    let py = message.py();
    let args = PyTuple::new(py, call.args.iter().map(|arg| (**arg).clone()))?;
    let args = hidden(args.as_any(), budget)?.cast_into::<PyTuple>()?;
    // As the standard library does: one mapping alone is what names in the text are of.
    let alone = if args.len() == 1 { args.get_item(0)?.cast_into::<PyDict>().ok() } else { None };
    let filled = match (&alone, message.str()) {
        (Some(dict), Ok(text)) if !dict.is_empty() => text.rem(dict),
        (_, Ok(text)) => text.rem(&args),
        (_, Err(error)) => Err(error),
    };
    match filled {
        Ok(text) => match text.cast::<PyString>() {
            Ok(text) => budget.text(text),
            Err(_) => said(&text, budget),
        },
        Err(error) if error.is_instance_of::<PyException>(py) => {
            let message = said(message, budget)?;
            let args = values::shown(args.as_any(), budget)?;
            Ok(format!("{message} [arguments that do not fit: {args}]").into())
        }
        Err(error) => Err(error),
    }
}

/// What `str` says, or else what `repr` does.
fn said(object: &Bound<'_, PyAny>, budget: &mut Budget<'_>) -> PyResult<Box<str>> {
    match object.str() {
        Ok(text) => budget.text(&text),
        Err(error) if error.is_instance_of::<PyException>(object.py()) => values::shown(object, budget),
        Err(error) => Err(error),
    }
}

pub(super) struct Rest<'py> {
    pub(super) exception: Option<Bound<'py, PyAny>>,
    /// Whether the stack of who logs is wanted.
    pub(super) has_stack: bool,
    /// How many callers above the one that called it is who logs.
    pub(super) above: u32,
}

/// Adds the fields; gives what is no field.
pub(super) fn keywords<'py>(
    call: &Call<'_, 'py>,
    fields: &mut DistinctFields,
    budget: &mut Budget<'_>,
) -> PyResult<Rest<'py>> {
    let mut rest = Rest { exception: None, has_stack: false, above: 0 };
    let Some(names) = call.names else { return Ok(rest) };
    let mut cut = 0;
    for (place, (name, object)) in names.iter_borrowed().zip(call.keywords).enumerate() {
        let name = name.cast::<PyString>()?;
        let key = budget.name(&name)?;
        match &*key {
            "exc_info" => rest.exception = Some((**object).clone()),
            "stack_info" => rest.has_stack = object.is_truthy()?,
            "stacklevel" => rest.above = object.extract::<u32>().unwrap_or(1).saturating_sub(1),
            "extra" if object.is_instance_of::<PyDict>() => {
                let extra = object.cast::<PyDict>()?;
                values::add_items(fields, &extra, budget)?;
            }
            _ if budget.has_room_behind(place) => {
                let value = values::value(object, budget, 0)?;
                fields.add(key, value);
            }
            _ => cut += 1,
        }
    }
    if cut > 0 {
        values::add_note(fields, cut, names.len());
    }
    Ok(rest)
}

pub(super) fn exception_text(
    py: Python<'_>,
    exception: &Bound<'_, PyAny>,
    budget: &mut Budget<'_>,
) -> PyResult<Option<Box<str>>> {
    let text = helpers::TEXT_OF_EXCEPTION.get(py)?.call1((exception,))?;
    if text.is_none() { Ok(None) } else { budget.text(text.cast::<PyString>()?).map(Some) }
}

/// The stack of who logs, so many callers above the one that called it, behind an exception if there is one.
pub(super) fn with_stack(
    py: Python<'_>,
    exception: Option<Box<str>>,
    above: u32,
    budget: &mut Budget<'_>,
) -> PyResult<Box<str>> {
    let stack = helpers::TEXT_OF_STACK.get(py)?.call1((above,))?;
    let stack = budget.text(stack.cast::<PyString>()?)?;
    Ok(exception.map_or(stack.clone(), |exception| format!("{exception}\n{stack}").into()))
}
