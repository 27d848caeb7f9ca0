//! Functions of Python with which records are made.
//!
//! They are looked up when the first logger is made and kept: near the end of the interpreter no module can be found any
//! more, and a `__del__` may still log.

use pyo3::prelude::*;

use crate::once::OnceMade;

/// One of them.
pub(super) struct Helper {
    module: &'static str,
    /// In the module; an attribute of one after a dot.
    path: &'static str,
    found: OnceMade<Py<PyAny>>,
}

pub(super) static BEGIN: Helper = Helper::new("lineshaft.logging._life", "begin");
pub(super) static THREAD: Helper = Helper::new("lineshaft.logging._life", "thread");
pub(super) static TEXT_OF_EXCEPTION: Helper = Helper::new("lineshaft.logging._exceptions", "logged_text_of");
pub(super) static TEXT_OF_STACK: Helper = Helper::new("lineshaft.logging._exceptions", "text_of_stack");
pub(super) static SERVE: Helper = Helper::new("lineshaft.logging._serving", "serve");
pub(super) static PASSES: Helper = Helper::new("lineshaft.logging._serving", "passes");
pub(super) static FIELDS_OF_BLOCK: Helper = Helper::new("lineshaft._belongings", "fields.get");
pub(super) static DEQUE: Helper = Helper::new("collections", "deque");

/// Looks all of them up.
pub(super) fn look_up(py: Python<'_>) -> PyResult<()> {
    [&BEGIN, &THREAD, &TEXT_OF_EXCEPTION, &TEXT_OF_STACK, &SERVE, &PASSES, &FIELDS_OF_BLOCK, &DEQUE]
        .into_iter()
        .try_for_each(|helper| helper.get(py).map(drop))
}

impl Helper {
    const fn new(module: &'static str, path: &'static str) -> Self {
        Self { module, path, found: OnceMade::new() }
    }

    pub(super) fn get<'a, 'py>(&'a self, py: Python<'py>) -> PyResult<&'a Bound<'py, PyAny>> {
        let find = || {
            let module = py.import(self.module)?.into_any();
            self.path.split('.').try_fold(module, |of, name| of.getattr(name)).map(Bound::unbind)
        };
        self.found.get_or_try_init(py, find).map(|found| found.bind(py))
    }
}
