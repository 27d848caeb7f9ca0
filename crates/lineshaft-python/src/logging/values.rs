//! Fields from Python, and back.

use std::sync::{Arc, Mutex, PoisonError};

use lineshaft_log::{DistinctFields, Fields, Value};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyInt, PyList, PySlice, PyString, PyTuple, PyType,
};
use rustc_hash::FxHashMap;

use super::hiding::hidden;
use super::plan::Plan;
use super::visit::Visit;
use crate::once::intern;
use crate::values::native::{exactly, small_integer};

/// Fields that were made before: those of a context.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct LogFields(pub(super) Fields);

#[pymethods]
impl LogFields {
    #[new]
    fn new(before: Option<&Bound<'_, Self>>, fields: &Bound<'_, PyDict>) -> PyResult<Self> {
        let before = before.map(|before| before.get().0.clone()).unwrap_or_default();
        let Some(_visit) = Visit::begin() else { return Ok(Self(before)) };
        let mut all = DistinctFields::of(before);
        let state = super::state::current();
        add_items(&mut all, fields, &mut Budget::of(&state.plan))?;
        super::carry::is_used();
        Ok(Self(all.into_fields()))
    }

    /// As a dict.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        fields_to_python(py, &self.0)
    }
}

/// How much of a record there is still room for.
pub(super) struct Budget<'a> {
    bytes: usize,
    /// Classes whose instances are hidden.
    redacted: Option<&'a Py<PyTuple>>,
}

/// Deeper values are shown by their class alone.
pub(super) const DEPTH_MAX: u32 = 8;
/// What an item of a list takes of the budget, beyond its own bytes.
const ITEM_BYTES: usize = 16;
/// So many fields are there however much of the budget is taken: they say what a record is about whose message is cut.
const FIELDS_SURE: usize = 64;
/// So much of the name of a field is kept.
const NAME_CHARS_MAX: usize = 1_024;

impl<'a> Budget<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        Self { bytes: plan.record_bytes_max, redacted: plan.redacted.as_ref() }
    }

    /// One for so many bytes at most.
    pub(super) fn of_bytes(plan: &'a Plan, bytes: usize) -> Self {
        Self { bytes: bytes.min(plan.record_bytes_max), ..Self::of(plan) }
    }

    /// Whether there are classes whose instances are hidden.
    pub(super) fn hides_some(&self) -> bool {
        self.redacted.is_some()
    }

    /// Whether an object is of a class whose instances are hidden.
    pub(super) fn hides(&self, object: &Bound<'_, PyAny>) -> PyResult<bool> {
        let Some(classes) = self.redacted else { return Ok(false) };
        match object.is_instance(classes.bind(object.py())) {
            // Nobody knows what it is.
            Err(error) if error.is_instance_of::<PyException>(object.py()) => Ok(true),
            said => said,
        }
    }

    fn spend(&mut self, bytes: usize) -> bool {
        let is_enough = bytes <= self.bytes;
        self.bytes = self.bytes.saturating_sub(bytes);
        is_enough
    }

    /// Whether there is room for a field behind so many.
    pub(super) fn has_room_behind(&mut self, fields: usize) -> bool {
        self.spend(ITEM_BYTES) || fields < FIELDS_SURE
    }

    /// The name of a field.
    pub(super) fn name(&mut self, name: &Bound<'_, PyString>) -> PyResult<Arc<str>> {
        let key =
            if name.len()? <= NAME_CHARS_MAX { key_of(name) } else { self.of_name().text(name)?.into() };
        self.spend(key.len());
        Ok(key)
    }

    /// The name of a field that is no text.
    fn name_of_other(&mut self, name: &Bound<'_, PyAny>) -> PyResult<Arc<str>> {
        let key = shown_safely(name, &mut self.of_name())?;
        self.spend(key.len());
        Ok(key.into())
    }

    fn of_name(&self) -> Self {
        Self { bytes: NAME_CHARS_MAX, redacted: self.redacted }
    }

    /// A text as far as there is room for it; what is cut is said.
    pub(super) fn text(&mut self, text: &Bound<'_, PyString>) -> PyResult<Box<str>> {
        self.text_before(text, 0)
    }

    /// A text behind which so many characters are missing already.
    fn text_before(&mut self, text: &Bound<'_, PyString>, missing: usize) -> PyResult<Box<str>> {
        let length = text.len()?;
        if length <= self.bytes && missing == 0 {
            let text: Box<str> = text.to_string_lossy().into();
            self.bytes = self.bytes.saturating_sub(text.len());
            return Ok(text);
        }
        // Cut before it is turned into bytes, which might take as much memory again.
        let kept = self.bytes.min(length);
        let part = text.get_item(PySlice::new(text.py(), 0, kept as isize, 1))?;
        self.bytes = 0;
        let part = part.cast::<PyString>()?.to_string_lossy();
        let shown = without_begun(&part);
        let length = length + missing;
        let cut = length - kept + part[shown.len()..].chars().count();
        Ok(format!("{shown}… [cut: {cut} of {length} characters]").into())
    }
}

/// So much is looked back for where a word begins that was cut.
const WORD_BYTES: usize = 256;

/// A text without the quoted text or the word that it ends in, and without digits before that: half of a secret does not
/// look like one. A longer word stays.
fn without_begun(text: &str) -> &str {
    let mut from = text.len().saturating_sub(WORD_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let (before, tail) = text.split_at(from);
    let begins = tail.rfind(['"', '\'']).or_else(|| tail.rfind([' ', '\t', '\n']));
    let kept = match begins {
        Some(place) => &tail[..=place],
        None if before.is_empty() => "",
        None => return text,
    };
    let kept = kept.trim_end_matches(|sign: char| sign.is_ascii_digit() || matches!(sign, ' ' | '-'));
    &text[..before.len() + kept.len()]
}

/// Adds all items of a dict.
pub(super) fn add_items(
    all: &mut DistinctFields,
    items: &Bound<'_, PyDict>,
    budget: &mut Budget<'_>,
) -> PyResult<()> {
    let items = items.copy()?;
    for (place, (key, item)) in items.iter().enumerate() {
        if !budget.has_room_behind(place) {
            add_note(all, items.len() - place, items.len());
            break;
        }
        let key = match key.cast_exact::<PyString>() {
            Ok(key) => budget.name(key)?,
            Err(_) => budget.name_of_other(&key)?,
        };
        let item = value(&item, budget, 0)?;
        all.add(key, item);
    }
    Ok(())
}

/// Says that there was no room for some fields.
pub(super) fn add_note(all: &mut DistinctFields, cut: usize, count: usize) {
    all.add("…".into(), Value::from(format!("[cut: {cut} of {count} items]")));
}

/// The name of a field. Those of keywords are the same objects again and again, and found by where they are.
fn key_of(name: &Bound<'_, PyString>) -> Arc<str> {
    /// Names are kept, so that nothing else can be where they were.
    type Names = FxHashMap<usize, (Py<PyString>, Arc<str>)>;
    static NAMES: Mutex<Option<Names>> = Mutex::new(None);
    const NAMES_MAX: usize = 4_096;

    let lock = || NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let place = name.as_ptr() as usize;
    if let Some((_, key)) = lock().get_or_insert_default().get(&place) {
        return key.clone();
    }
    // Without the lock: what this allocates may have garbage collected, and so have somebody log.
    let key: Arc<str> = name.to_string_lossy().into();
    let mut names = lock();
    let names = names.get_or_insert_default();
    if names.len() < NAMES_MAX && key.len() <= 100 {
        names.insert(place, (name.clone().unbind(), key.clone()));
    }
    key
}

/// A value as records have it. What is not plain is what its `repr` says.
pub(super) fn value(object: &Bound<'_, PyAny>, budget: &mut Budget<'_>, depth: u32) -> PyResult<Value> {
    if let Some(text) = exactly::<PyString>(object) {
        return budget.text(text).map(Value::Str);
    }
    if let Some(number) = exactly::<PyInt>(object) {
        return match small_integer(number) {
            Some(number) => Ok(Value::Int(number)),
            None => shown(object, budget).map(Value::Str),
        };
    }
    if let Some(number) = exactly::<PyFloat>(object) {
        return Ok(Value::Float(number.value()));
    }
    if object.is_none() {
        return Ok(Value::Null);
    }
    if let Some(truth) = exactly::<PyBool>(object) {
        return Ok(Value::Bool(truth.is_true()));
    }
    if object.is_exact_instance_of::<PyDict>() || is_sequence(object) {
        return if depth < DEPTH_MAX { several(object, budget, depth) } else { Ok(Value::from("…")) };
    }
    shown_safely(object, budget).map(Value::Str)
}

pub(super) fn is_sequence(object: &Bound<'_, PyAny>) -> bool {
    object.is_exact_instance_of::<PyList>() || object.is_exact_instance_of::<PyTuple>()
}

fn several(object: &Bound<'_, PyAny>, budget: &mut Budget<'_>, depth: u32) -> PyResult<Value> {
    if let Some(dict) = exactly::<PyDict>(object) {
        let mut items = Vec::new();
        // A `repr` may change the dict meanwhile: this is how it was.
        for (key, item) in dict.copy()? {
            if !budget.spend(ITEM_BYTES) {
                items.push((
                    "…".into(),
                    Value::from(format!("[cut: {} of {} items]", dict.len() - items.len(), dict.len())),
                ));
                break;
            }
            let key = match key.cast_exact::<PyString>() {
                Ok(key) => budget.text(key)?,
                Err(_) => shown_safely(&key, budget)?,
            };
            items.push((key, value(&item, budget, depth + 1)?));
        }
        return Ok(Value::Map(items));
    }
    let (mut items, length) = (Vec::new(), object.len()?);
    for position in 0..length {
        if !budget.spend(ITEM_BYTES) {
            items.push(Value::from(format!("… [cut: {} of {length} items]", length - position)));
            break;
        }
        // It may have become shorter.
        let Ok(item) = object.get_item(position) else { break };
        items.push(value(&item, budget, depth + 1)?);
    }
    Ok(Value::List(items))
}

/// What `repr` says, without what is hidden.
fn shown_safely(object: &Bound<'_, PyAny>, budget: &mut Budget<'_>) -> PyResult<Box<str>> {
    let object = hidden(object, budget)?;
    match exactly::<PyString>(&object) {
        Some(text) => budget.text(text),
        None => shown(&object, budget),
    }
}

/// What `repr` says, or that it says nothing.
pub(super) fn shown(object: &Bound<'_, PyAny>, budget: &mut Budget<'_>) -> PyResult<Box<str>> {
    let (part, missing) = beginning(object, budget.bytes)?;
    match part.repr() {
        Ok(text) => budget.text_before(&text, missing),
        Err(error) if error.is_instance_of::<PyException>(object.py()) => {
            let class = object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
            let error =
                error.get_type(object.py()).name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
            Ok(format!("<{class} whose repr raises {error}>").into())
        }
        Err(error) => Err(error),
    }
}

/// The beginning of a text or of bytes, if it is long, and how much is missing: `repr` of all of it might take as much
/// memory again. One with a `__repr__` of its own is for that.
fn beginning<'py>(object: &Bound<'py, PyAny>, most: usize) -> PyResult<(Bound<'py, PyAny>, usize)> {
    let py = object.py();
    let class = object.get_type();
    for base in [py.get_type::<PyBytes>(), py.get_type::<PyByteArray>(), py.get_type::<PyString>()] {
        if !class.is_subclass(&base)? || !is_shown_as(object, &base) {
            continue;
        }
        // Of the base: those of the class itself may be anything.
        let length: usize = base.getattr(intern!(py, "__len__"))?.call1((object,))?.extract()?;
        if length > most {
            let slice = PySlice::new(py, 0, most as isize, 1);
            return Ok((base.getattr(intern!(py, "__getitem__"))?.call1((object, slice))?, length - most));
        }
    }
    Ok((object.clone(), 0))
}

/// Whether the `repr` of an object is that of a class which it is derived from.
pub(super) fn is_shown_as(object: &Bound<'_, PyAny>, base: &Bound<'_, PyType>) -> bool {
    matches!((repr_of(&object.get_type()), repr_of(base)), (Ok(own), Ok(inherited)) if own.is(&inherited))
}

fn repr_of<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    class.getattr(intern!(class.py(), "__repr__"))
}

/// Fields as a dict.
pub(super) fn fields_to_python<'py>(py: Python<'py>, fields: &Fields) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in fields {
        dict.set_item(&**key, to_python(py, value)?)?;
    }
    Ok(dict)
}

fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Int(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => PyFloat::new(py, *value).into_any(),
        Value::Str(text) => PyString::new(py, text).into_any(),
        Value::List(items) => {
            let list = PyList::empty(py);
            items.iter().try_for_each(|item| list.append(to_python(py, item)?))?;
            list.into_any()
        }
        Value::Map(items) => {
            let dict = PyDict::new(py);
            for (key, item) in items {
                dict.set_item(&**key, to_python(py, item)?)?;
            }
            dict.into_any()
        }
    })
}
