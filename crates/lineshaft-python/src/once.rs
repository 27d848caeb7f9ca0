//! What is made at its first use and kept, in a process that may be forked meanwhile.
//!
//! Those of pyo3, `intern!` among them, give the interpreter up while they are being made: a process that is forked by
//! another thread then has one that is being made for ever, by a thread that it does not have. Here nothing is held
//! while it is made: several threads may make it, and the first one counts. To put it there takes no interpreter and
//! gives none up, so nobody can fork amid that.

use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

/// A value that is made when it is needed first.
pub(crate) struct OnceMade<T>(OnceLock<T>);

impl<T> OnceMade<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The value, if it was made.
    pub(crate) fn get(&self, _: Python<'_>) -> Option<&T> {
        self.0.get()
    }

    /// The value, made now if it is not there.
    pub(crate) fn get_or_try_init<E>(
        &self,
        _: Python<'_>,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(made) = self.0.get() {
            return Ok(made);
        }
        let made = make()?;
        Ok(self.0.get_or_init(|| made))
    }
}

impl OnceMade<Py<PyType>> {
    /// A class of a module.
    pub(crate) fn import<'a, 'py>(
        &'a self,
        py: Python<'py>,
        module: &str,
        name: &str,
    ) -> PyResult<&'a Bound<'py, PyType>> {
        let class = || Ok(py.import(module)?.getattr(name)?.cast_into::<PyType>()?.unbind());
        self.get_or_try_init(py, class).map(|class| class.bind(py))
    }
}

/// The text of one place in the source.
pub(crate) struct Interned(OnceMade<Py<PyString>>, &'static str);

impl Interned {
    pub(crate) const fn new(text: &'static str) -> Self {
        Self(OnceMade::new(), text)
    }

    pub(crate) fn get<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyString> {
        let made = self
            .0
            .get_or_try_init(py, || Ok::<_, std::convert::Infallible>(PyString::intern(py, self.1).unbind()));
        match made {
            Ok(text) => text.bind(py),
        }
    }
}

/// A text of Python that is made once for each place: `intern!(py, "name")`.
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static TEXT: $crate::once::Interned = $crate::once::Interned::new($text);
        TEXT.get($py)
    }};
}
pub(crate) use intern;
