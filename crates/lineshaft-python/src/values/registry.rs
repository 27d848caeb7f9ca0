//! Which classes may be values, and under which names.
//!
//! Names travel, classes do not: decoding looks a name up here and nowhere else.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};
use rustc_hash::FxHashMap;

use crate::errors::{declaration_error, option_error};

use super::describe::{self, Description, Field, canonical_name, describe};

/// Bytes of a type's name.
const NAME_BYTES_MAX: usize = 255;

/// The classes of one app, by canonical name (`module.qualname`).
///
/// Conversions work on the registry as it was when they began, so that classes may be registered at any time.
#[pyclass(frozen, module = "lineshaft._native")]
#[derive(Default)]
pub(crate) struct Registry {
    known: RwLock<Arc<Known>>,
}

/// A class and the name it travels under.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) name: Box<str>,
    pub(super) class: Py<PyType>,
    pub(super) description: Description,
    pub(super) before: Before,
}

/// What a class was before: nothing of it is written, but values of then are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    /// Its names.
    aliases: Vec<String>,
    /// Names of fields, each with the name that it has now.
    renamed: BTreeMap<String, String>,
    /// Fields that are gone.
    removed: Vec<String>,
}

impl Before {
    /// What became of a field that the class does not have; `None` if it says nothing of it.
    #[cold]
    pub(super) fn find(&self, fields: &[Field], name: &str) -> Option<Found> {
        if let Some(now) = self.renamed.get(name) {
            return fields.iter().position(|field| *field.text == **now).map(Found::Field);
        }
        self.removed.iter().any(|removed| removed == name).then_some(Found::Gone)
    }

    /// The name that a field has now; `None` if it is gone.
    pub(super) fn name_now<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let is_gone = self.removed.iter().any(|removed| removed == name);
        (!is_gone).then(|| self.renamed.get(name).map_or(name, String::as_str))
    }

    /// Adds what was said earlier.
    fn take(&mut self, earlier: &Self) {
        for alias in &earlier.aliases {
            if !self.aliases.contains(alias) {
                self.aliases.push(alias.clone());
            }
        }
        for (before, now) in &earlier.renamed {
            self.renamed.entry(before.clone()).or_insert_with(|| now.clone());
        }
        for name in &earlier.removed {
            if !self.removed.contains(name) && !self.renamed.contains_key(name) {
                self.removed.push(name.clone());
            }
        }
    }

    /// Errors, in words, unless it fits the fields of today.
    fn check(&self, fields: &[Field]) -> Result<(), String> {
        let has = |name: &str| fields.iter().any(|field| *field.text == *name);
        for (before, now) in &self.renamed {
            if !has(now) {
                return Err(format!(
                    "says that {before:?} was renamed to {now:?}, which is none of its fields"
                ));
            }
        }
        let gone = self.renamed.keys().chain(&self.removed).find(|name| has(name));
        gone.map_or(Ok(()), |name| Err(format!("says that {name:?} is gone, which is one of its fields")))
    }
}

/// [`Before`] as Python has it: names, names of fields with those of now, fields that are gone.
type BeforeInPython = (Vec<String>, BTreeMap<String, String>, Vec<String>);

/// What a name of before stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found {
    /// The field of this number.
    Field(usize),
    /// Nothing any more.
    Gone,
}

/// What a registry knows at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    by_class: FxHashMap<usize, Arc<Registered>>,
    by_name: FxHashMap<Box<str>, Arc<Registered>>,
    main_name: Option<Box<str>>,
    /// Whether pickles are read.
    pub(super) accepts_pickle: bool,
    /// Makes a job of the app out of the bytes of its id.
    pub(super) make_job: Option<Arc<Py<PyAny>>>,
}

impl Known {
    pub(super) fn of_object(&self, object: &Bound<'_, PyAny>) -> Option<&Registered> {
        self.by_class.get(&(object.get_type_ptr() as usize)).map(|registered| &**registered)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Registered> {
        self.by_name.get(name).map(|registered| &**registered)
    }

    /// The name of any class, registered or not.
    pub(super) fn name_of(&self, class: &Bound<'_, PyType>) -> String {
        match self.by_class.get(&(class.as_ptr() as usize)) {
            Some(registered) => registered.name.to_string(),
            None => canonical_name(class, self.main_name.as_deref()),
        }
    }

    fn add(&mut self, name: &str, registered: &Arc<Registered>, py: Python<'_>) -> PyResult<()> {
        check_name(py, name)?;
        if let Some(other) = self.by_name.get(name)
            && !is_same_definition(other.class.bind(py), registered.class.bind(py))
        {
            let other = canonical_name(other.class.bind(py), None);
            let class = canonical_name(registered.class.bind(py), None);
            let message = format!("{name:?} is registered for {other} already, it cannot name {class} too");
            let hint = "give one of them another name: @lineshaft.value(\"…\") or app.register(…, \"…\")";
            return Err(declaration_error(py, &message, hint));
        }
        self.by_name.insert(name.into(), Arc::clone(registered));
        Ok(())
    }
}

impl Registry {
    /// What is known now.
    pub(super) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Known) -> PyResult<()>) -> PyResult<()> {
        let mut known = Known::clone(&self.known());
        change(&mut known)?;
        let known = Arc::new(known);
        // The old state is dropped after the lock: dropping a class may run Python code.
        let _old = {
            let mut current = self.known.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, known)
        };
        Ok(())
    }
}

#[pymethods]
impl Registry {
    #[new]
    #[pyo3(signature = (*, accept_pickle = false, make_job = None))]
    fn new(accept_pickle: bool, make_job: Option<Py<PyAny>>) -> Self {
        let make_job = make_job.map(Arc::new);
        let known = Known { accepts_pickle: accept_pickle, make_job, ..Known::default() };
        Self { known: RwLock::new(Arc::new(known)) }
    }

    /// Makes instances of `class` values that travel as `name`; bytes that say one of `aliases` read as it too. Fields of
    /// before are read under the names that `renamed` says; what `removed` names is dropped.
    ///
    /// Raises `DeclarationError` if its instances cannot be values or a name is another class's. A class defined anew
    /// under its old name takes the place of the old one.
    #[pyo3(signature = (class, name, aliases = Vec::new(), renamed = BTreeMap::new(), removed = Vec::new()))]
    fn register(
        &self,
        class: &Bound<'_, PyType>,
        name: &str,
        mut aliases: Vec<String>,
        renamed: BTreeMap<String, String>,
        removed: Vec<String>,
    ) -> PyResult<()> {
        let py = class.py();
        let description = describe(class)?;
        let mut before = Before { aliases: aliases.clone(), renamed, removed };
        if let Some(earlier) = self.known().by_class.get(&(class.as_ptr() as usize)) {
            // What was said once holds, whoever registers it again.
            before.take(&earlier.before);
        }
        before.check(description.fields()).map_err(|why| {
            let class = canonical_name(class, None);
            declaration_error(
                py,
                &format!("{class} {why}"),
                "renamed={old: new}, removed=[old] name fields of before",
            )
        })?;
        aliases.clone_from(&before.aliases);
        let class_now = class.clone().unbind();
        let registered = Arc::new(Registered { name: name.into(), class: class_now, description, before });
        self.change(|known| {
            known.add(name, &registered, py)?;
            aliases.into_iter().try_for_each(|alias| known.add(&alias, &registered, py))?;
            known.by_class.insert(class.as_ptr() as usize, registered);
            Ok(())
        })
    }

    /// The name under which classes of `__main__` travel.
    #[pyo3(signature = (name))]
    fn set_main(&self, py: Python<'_>, name: Option<&str>) -> PyResult<()> {
        name.map_or(Ok(()), |name| check_name(py, name))?;
        self.change(|known| {
            known.main_name = name.map(Into::into);
            Ok(())
        })
    }

    /// The class that travels as `name`, or `None`.
    fn lookup(&self, py: Python<'_>, name: &str) -> Option<Py<PyType>> {
        self.known().named(name).map(|registered| registered.class.clone_ref(py))
    }

    /// What a registered class was before: its names, names of fields with those of now, and fields that are gone.
    fn before(&self, class: &Bound<'_, PyType>) -> Option<BeforeInPython> {
        let known = self.known();
        let Before { aliases, renamed, removed } = &known.by_class.get(&(class.as_ptr() as usize))?.before;
        Some((aliases.clone(), renamed.clone(), removed.clone()))
    }

    /// The fields of a registered class, each with its default: `()` for none, `(value,)`, or `None` for one that is made.
    fn fields<'py>(
        &self,
        class: &Bound<'py, PyType>,
    ) -> PyResult<Vec<(String, Option<Bound<'py, PyTuple>>)>> {
        let (py, known) = (class.py(), self.known());
        let found = known.by_class.get(&(class.as_ptr() as usize));
        let fields = found.map_or(&[][..], |registered| registered.description.fields());
        let default = |field: &Field| match &field.default {
            describe::Default::Missing => Ok(Some(PyTuple::empty(py))),
            describe::Default::Value(value) => PyTuple::new(py, [value]).map(Some),
            describe::Default::Factory(_) | describe::Default::FactoryOf(_) => Ok(None),
        };
        fields.iter().map(|field| Ok((field.text.to_string(), default(field)?))).collect()
    }

    /// The name of a class, registered or not.
    fn name_of(&self, class: &Bound<'_, PyType>) -> String {
        self.known().name_of(class)
    }

    fn __contains__(&self, class: &Bound<'_, PyAny>) -> bool {
        self.known().by_class.contains_key(&(class.as_ptr() as usize))
    }

    fn __len__(&self) -> usize {
        self.known().by_class.len()
    }
}

fn check_name(py: Python<'_>, name: &str) -> PyResult<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let hint = format!("1 to {NAME_BYTES_MAX} bytes without control characters, such as \"shop.Order\"");
        return Err(option_error(py, &format!("{name:?} cannot be the name of a type"), &hint));
    }
    Ok(())
}

/// Whether two classes come from one definition, perhaps executed twice.
fn is_same_definition(one: &Bound<'_, PyType>, other: &Bound<'_, PyType>) -> bool {
    one.is(other) || canonical_name(one, None) == canonical_name(other, None)
}
