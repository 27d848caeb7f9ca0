//! The methods that log, as C calls them.
//!
//! Unsafe because they are no methods of `PyO3`, which would make a tuple and a dict of the arguments before anything can be
//! asked: a call whose level is not heard looks at none of them, and one that is heard takes each from where it stands.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lineshaft_log::Level;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

use super::call::Call;
use super::logger::Logger;
use super::making;
use super::state;
use super::visit::Visit;

/// Adds the methods to the class.
pub(super) fn add_to(class: &Bound<'_, PyType>) -> PyResult<()> {
    let methods: [(&'static CStr, ffi::PyCFunctionFastWithKeywords, &'static CStr); 9] = [
        (c"trace", trace, c"Logs what only who looks for one thing wants to see."),
        (c"debug", debug, c"Logs what helps whoever works on the program."),
        (c"info", info, c"Logs what the program does."),
        (c"warning", warning, c"Logs what somebody should look at."),
        (c"error", error, c"Logs what did not work."),
        (c"critical", critical, c"Logs what the program cannot go on after."),
        (c"exception", exception, c"Logs what did not work, with the exception that is being handled."),
        (c"log", log, c"Logs at the level that comes first: a number or a name."),
        (c"warn", warning, c"The same as `warning`."),
    ];
    for (name, function, doc) in methods {
        // A class has its methods for as long as the process lives.
        let definition = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: name.as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: function },
            ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
            ml_doc: doc.as_ptr(),
        }));
        // SAFETY: a live class and a definition that stays; the result is owned, or an exception is set.
        let method = unsafe {
            let method = ffi::PyDescr_NewMethod(class.as_type_ptr(), definition);
            Bound::from_owned_ptr_or_err(class.py(), method)?
        };
        class.setattr(name.to_string_lossy(), method)?;
    }
    Ok(())
}

macro_rules! method {
    ($name:ident, $level:expr, $is_exception:expr) => {
        unsafe extern "C" fn $name(
            slf: *mut ffi::PyObject,
            args: *const *mut ffi::PyObject,
            count: ffi::Py_ssize_t,
            names: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            // SAFETY: what the descriptor of a method of this class calls it with.
            unsafe { log_at($level, $is_exception, slf, args, count, names) }
        }
    };
}

method!(trace, Some(Level::TRACE), false);
method!(debug, Some(Level::DEBUG), false);
method!(info, Some(Level::INFO), false);
method!(warning, Some(Level::WARNING), false);
method!(error, Some(Level::ERROR), false);
method!(critical, Some(Level::CRITICAL), false);
method!(exception, Some(Level::ERROR), true);
method!(log, None, false);

/// Logs if the level is heard. Without one, it is the first argument.
///
/// # Safety
/// A fast call of a method of `Logger`, by who holds the interpreter: `args` has `count` objects, and then one for each of
/// `names`, which is a tuple of texts or null. All of them live until it returns.
unsafe fn log_at(
    level: Option<Level>,
    is_exception: bool,
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: by the contract the interpreter is held, and `slf` is a `Logger`, as the descriptor has checked.
    let (py, logger) = unsafe {
        let py = Python::assume_attached();
        (py, Borrowed::from_ptr(py, slf).cast_unchecked::<Logger>())
    };
    if level.is_some_and(|level| !logger.get().hears(level)) {
        // SAFETY: a new reference to None.
        return unsafe { ffi::Py_NewRef(ffi::Py_None()) };
    }
    let logging = AssertUnwindSafe(|| {
        let log = |py: Python<'_>| {
            // SAFETY: by the contract there are so many of them, and they outlive the call.
            let (args, names) = unsafe {
                let names =
                    (!names.is_null()).then(|| Borrowed::from_ptr(py, names).cast_unchecked::<PyTuple>());
                let named = names.as_ref().map_or(0, |names| names.len());
                let args: &[Borrowed<'_, '_, PyAny>] = if args.is_null() {
                    &[]
                } else {
                    // A borrowed reference is a pointer that is not null.
                    std::slice::from_raw_parts(args.cast(), count as usize + named)
                };
                (args, names)
            };
            let (positional, keywords) = args.split_at(count as usize);
            given(py, logger.get(), level, is_exception, positional, names.as_deref(), keywords)
        };
        // SAFETY: by the contract the interpreter is held. It may be about to end, which `attach` takes for not there.
        unsafe { Python::attach_unchecked(log) }
    });
    let ended = catch_unwind(logging)
        .unwrap_or_else(|_| Err(PyRuntimeError::new_err("a defect of Lineshaft: logging panicked")));
    match ended {
        // SAFETY: a new reference to None.
        Ok(()) => unsafe { ffi::Py_NewRef(ffi::Py_None()) },
        Err(error) => {
            error.restore(py);
            std::ptr::null_mut()
        }
    }
}

fn given(
    py: Python<'_>,
    logger: &Logger,
    level: Option<Level>,
    is_exception: bool,
    positional: &[Borrowed<'_, '_, PyAny>],
    names: Option<&Bound<'_, PyTuple>>,
    keywords: &[Borrowed<'_, '_, PyAny>],
) -> PyResult<()> {
    let Some(_visit) = Visit::begin() else { return Ok(()) };
    let (level, rest) = match (level, positional) {
        (Some(level), rest) => (level, rest),
        (None, [level, rest @ ..]) => (state::level_of(level)?, rest),
        (None, []) => return Err(PyTypeError::new_err("log() misses its level")),
    };
    let [message, args @ ..] = rest else {
        return Err(PyTypeError::new_err("a record misses its message"));
    };
    if !logger.hears(level) {
        return Ok(());
    }
    making::log(py, logger, &Call { level, is_exception, message, args, names, keywords })
}
