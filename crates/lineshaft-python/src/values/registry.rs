//! Which classes may be values, and under which names.
//!
//! Names travel, classes do not: decoding looks a name up here and nowhere else.

use std::sync::{Arc, PoisonError, RwLock};

use pyo3::prelude::*;
use pyo3::types::PyType;
use rustc_hash::FxHashMap;

use crate::errors::{declaration_error, option_error};

use super::describe::{Description, canonical_name, describe};

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

    /// Makes instances of `class` values that travel as `name`; bytes that say one of `aliases` read as it too.
    ///
    /// Raises `DeclarationError` if its instances cannot be values or a name is another class's. A class defined anew
    /// under its old name takes the place of the old one.
    #[pyo3(signature = (class, name, aliases = Vec::new()))]
    fn register(&self, class: &Bound<'_, PyType>, name: &str, aliases: Vec<String>) -> PyResult<()> {
        let py = class.py();
        let description = describe(class)?;
        let registered =
            Arc::new(Registered { name: name.into(), class: class.clone().unbind(), description });
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
