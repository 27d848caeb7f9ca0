//! What is hidden before it is put into a text: in arguments of messages, and in variables of frames.

use std::sync::Arc;

use lineshaft_log::{HIDDEN, Value};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::state;
use super::values::{Budget, DEPTH_MAX, is_sequence, value};
use crate::values::native::exactly;

/// What stands for an object where `str` or `repr` say what it is: something else for one that is hidden, and for lists,
/// tuples and dicts with one in them.
pub(super) fn hidden<'py>(object: &Bound<'py, PyAny>, budget: &Budget<'_>) -> PyResult<Bound<'py, PyAny>> {
    if budget.hides_some() { hidden_at(object, budget, 0, &mut 0) } else { Ok(object.clone()) }
}

/// So many items are looked at: lists may be in themselves, again and again.
const ITEMS_MAX: usize = 10_000;

fn hidden_at<'py>(
    object: &Bound<'py, PyAny>,
    budget: &Budget<'_>,
    depth: u32,
    seen: &mut usize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    *seen += 1;
    let is_several = object.is_exact_instance_of::<PyDict>() || is_sequence(object);
    if *seen > ITEMS_MAX || (is_several && depth >= DEPTH_MAX) {
        return Ok(PyString::new(py, "…").into_any());
    }
    if let Some(dict) = exactly::<PyDict>(object) {
        let copy = PyDict::new(py);
        for (key, item) in dict.copy()? {
            copy.set_item(key, hidden_at(&item, budget, depth + 1, seen)?)?;
        }
        return Ok(copy.into_any());
    }
    if is_sequence(object) {
        let items = object.try_iter()?.map(|item| hidden_at(&item?, budget, depth + 1, seen));
        let items = items.collect::<PyResult<Vec<_>>>()?;
        return if object.is_exact_instance_of::<PyList>() {
            Ok(PyList::new(py, items)?.into_any())
        } else {
            Ok(PyTuple::new(py, items)?.into_any())
        };
    }
    Ok(if budget.hides(object)? { PyString::new(py, HIDDEN).into_any() } else { object.clone() })
}

/// The arguments of a message, without what is hidden.
#[pyfunction]
pub(super) fn log_hidden<'py>(arguments: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    hidden(arguments, &Budget::of(&state::current().plan))
}

/// Whether exceptions are logged with the variables of their frames.
#[pyfunction]
pub(super) fn log_has_locals() -> bool {
    state::current().plan.has_locals
}

/// What is shown of a variable: without secrets, and in so many bytes.
#[pyfunction]
pub(super) fn log_local(name: &str, local: &Bound<'_, PyAny>, bytes_max: usize) -> PyResult<String> {
    let state = state::current();
    let shown = value(local, &mut Budget::of_bytes(&state.plan, bytes_max), 0)?;
    let field = vec![(Arc::from(name), shown)];
    let field = state.plan.without_secrets(field);
    Ok(match &field[0].1 {
        Value::Str(text) => text.to_string(),
        other => other.to_json(),
    })
}
