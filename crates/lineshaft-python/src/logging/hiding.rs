//! What is hidden before it is put into a text: in arguments of messages, and in variables of frames.

use std::sync::Arc;

use lineshaft_log::{HIDDEN, Value};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFrozenSet, PyList, PySet, PyString, PyTuple, PyType};

use super::values::{Budget, DEPTH_MAX, is_sequence, is_shown_as, value};
use super::visit::Visit;
use super::{helpers, state};

/// What stands for an object where `str` or `repr` say what it is: something else for one that is hidden, and for
/// collections with one in them.
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
    let text = |text: &str| Ok(PyString::new(py, text).into_any());
    *seen += 1;
    if *seen > ITEMS_MAX {
        return text("…");
    }
    let is_plain = object.is_exact_instance_of::<PyDict>() || is_sequence(object);
    if !is_plain && budget.hides(object)? {
        return text(HIDDEN);
    }
    let Some(base) = collection(object)? else { return Ok(object.clone()) };
    if depth >= DEPTH_MAX {
        return text("…");
    }
    match hidden_within(object, budget, depth, seen) {
        Ok(None) => Ok(object.clone()),
        Ok(Some(copy)) if is_shown_as(object, &base) => Ok(copy),
        // What it shows of itself is not ours to guess.
        Ok(Some(_)) => text(HIDDEN),
        // Nobody knows what is in it.
        Err(error) if error.is_instance_of::<PyException>(py) => text(HIDDEN),
        Err(error) => Err(error),
    }
}

/// Which kind of collection it is, or is derived from.
fn collection<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyType>>> {
    let py = object.py();
    let deque = helpers::DEQUE.get(py)?.clone();
    let classes = [
        py.get_type::<PyDict>(),
        py.get_type::<PyList>(),
        py.get_type::<PyTuple>(),
        py.get_type::<PySet>(),
        py.get_type::<PyFrozenSet>(),
        deque.cast_into::<PyType>()?,
    ];
    let class = object.get_type();
    for base in classes {
        if class.is_subclass(&base)? {
            return Ok(Some(base));
        }
    }
    Ok(None)
}

/// A copy of a collection without what is hidden in it, if there is any.
fn hidden_within<'py>(
    object: &Bound<'py, PyAny>,
    budget: &Budget<'_>,
    depth: u32,
    seen: &mut usize,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let mut is_changed = false;
    let mut look = |item: Bound<'py, PyAny>| {
        let shown = hidden_at(&item, budget, depth + 1, seen)?;
        is_changed |= !shown.is(&item);
        PyResult::Ok(shown)
    };
    let copy = if let Ok(dict) = object.cast::<PyDict>() {
        let copy = PyDict::new(py);
        for (key, item) in dict.copy()? {
            copy.set_item(look(key)?, look(item)?)?;
        }
        copy.into_any()
    } else {
        let items = object.try_iter()?.map(|item| look(item?)).collect::<PyResult<Vec<_>>>()?;
        if object.is_instance_of::<PyTuple>() {
            PyTuple::new(py, items)?.into_any()
        } else if object.is_instance_of::<PySet>() {
            PySet::new(py, items)?.into_any()
        } else if object.is_instance_of::<PyFrozenSet>() {
            PyFrozenSet::new(py, items)?.into_any()
        } else {
            PyList::new(py, items)?.into_any()
        }
    };
    Ok(is_changed.then_some(copy))
}

/// The arguments of a message, without what is hidden.
#[pyfunction]
pub(super) fn log_hidden<'py>(arguments: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let Some(_visit) = Visit::begin() else { return Ok(arguments.clone()) };
    hidden(arguments, &Budget::of(&state::current().plan))
}

/// A text without what is secret in it.
#[pyfunction]
pub(super) fn log_without_secrets(text: &Bound<'_, PyString>) -> String {
    state::current().plan.text_without_secrets(&text.to_string_lossy()).into()
}

/// Whether exceptions are logged with the variables of their frames.
#[pyfunction]
pub(super) fn log_has_locals() -> bool {
    state::current().plan.has_locals
}

/// What is shown of a variable: without secrets, and in so many bytes.
#[pyfunction]
pub(super) fn log_local(name: &str, local: &Bound<'_, PyAny>, bytes_max: usize) -> PyResult<String> {
    let Some(_visit) = Visit::begin() else { return Ok(String::new()) };
    let state = state::current();
    let shown = value(local, &mut Budget::of_bytes(&state.plan, bytes_max), 0)?;
    let field = vec![(Arc::from(name), shown)];
    let field = state.plan.without_secrets(field);
    Ok(match &field[0].1 {
        Value::Str(text) => text.to_string(),
        other => other.to_json(),
    })
}
