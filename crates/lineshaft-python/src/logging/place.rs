//! Where in the source a record was logged.
//!
//! Unsafe for the frame of the caller, which the safe layer would look up by name, attribute for attribute.
#![allow(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError};

use crate::once::intern;
use lineshaft_log::Place;
use pyo3::ffi;
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

/// What is known about a code object, which is kept so that no other one can be where it was.
type Known = FxHashMap<usize, (Py<PyAny>, Arc<str>, Arc<str>)>;

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// So many code objects are known; then it begins anew.
const KNOWN_MAX: usize = 4_096;

/// The place of the caller of a function of C, or of so many callers above it.
pub(super) fn caller(py: Python<'_>, above: u32) -> PyResult<Option<Place>> {
    // SAFETY: the frame of the thread that holds the interpreter, lent, or null where there is none; it is counted
    // before anything else can run.
    let frame = unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) };
    let Some(mut frame) = frame else { return Ok(None) };
    for _ in 0..above {
        let back = frame.getattr(intern!(py, "f_back"))?;
        if back.is_none() {
            break;
        }
        frame = back;
    }
    // SAFETY: a live frame. Its code is given as an owned reference and is never null.
    let (code, line) = unsafe {
        let frame = frame.as_ptr().cast();
        (
            Bound::from_owned_ptr_or_err(py, ffi::PyFrame_GetCode(frame).cast())?,
            ffi::PyFrame_GetLineNumber(frame),
        )
    };
    let (file, function) = names_of(&code)?;
    Ok(Some(Place { file, line: line.max(0) as u32, function }))
}

fn names_of(code: &Bound<'_, PyAny>) -> PyResult<(Arc<str>, Arc<str>)> {
    let py = code.py();
    let key = code.as_ptr() as usize;
    let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, file, function)) = lock().get_or_insert_default().get(&key) {
        return Ok((file.clone(), function.clone()));
    }
    let text = |name| code.getattr(name).map(|text| Arc::<str>::from(text.to_string()));
    let (file, function) = (text(intern!(py, "co_filename"))?, text(intern!(py, "co_name"))?);
    let forgotten = {
        let mut known = lock();
        let known = known.get_or_insert_default();
        let forgotten = (known.len() >= KNOWN_MAX).then(|| std::mem::take(known));
        known.insert(key, (code.clone().unbind(), file.clone(), function.clone()));
        forgotten
    };
    // Outside of the lock: whoever is told that a code object goes may log.
    drop(forgotten);
    Ok((file, function))
}
