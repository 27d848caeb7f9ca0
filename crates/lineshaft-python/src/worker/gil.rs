//! Who has the GIL, seen by a thread that does not have it.
//!
//! Until 3.11 an exported function says whose state is the current one in the process. Since 3.12 it says that of the
//! calling thread alone, and who has the GIL stands in a structure to which the interpreter's state points. Where, differs
//! between versions, so it is looked for by a thread that has the GIL: there is one structure with the switch interval, the
//! state of this thread and the word that the lock is taken, one behind the other. Where none is found, nothing is known.

#![allow(unsafe_code)] // Three functions of the interpreter that take nothing.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

use lineshaft::interpreter::{LockView, set_lock_view};
use lineshaft_ipc::stacks::{exported, words_at};
use pyo3::prelude::*;

/// Words of an interpreter's state among which the pointer is: the 3rd one in 3.13, the 49th in 3.12.
const WORDS: usize = 256;

/// The function, or the structure.
static PLACE: AtomicUsize = AtomicUsize::new(0);

/// From here on it is seen who has it, if that can be. Some tens of microseconds.
pub(super) fn watch_gil(py: Python<'_>) -> PyResult<()> {
    let version = py.version_info();
    let (place, holder): (_, fn() -> usize) = if (version.major, version.minor) < (3, 12) {
        (exported(c"_PyThreadState_UncheckedGet").map(|function| function.start), current_state)
    } else {
        (find_lock(py)?, holder_in_lock)
    };
    if let Some(place) = place {
        PLACE.store(place, Ordering::Release);
        set_lock_view(LockView { this_thread, holder });
    }
    Ok(())
}

/// The state of the calling thread; 0 if it has none.
fn this_thread() -> usize {
    // SAFETY: it reads a variable of the calling thread.
    unsafe { pyo3::ffi::PyGILState_GetThisThreadState() }.addr()
}

/// Until 3.11.
fn current_state() -> usize {
    let function = std::ptr::with_exposed_provenance::<c_void>(PLACE.load(Ordering::Acquire));
    // SAFETY: the program exports this function under its name, with this signature; it reads a variable of the process.
    let current = unsafe {
        let function =
            std::mem::transmute::<*const c_void, unsafe extern "C" fn() -> *const c_void>(function);
        function()
    };
    current.addr()
}

/// Since 3.12.
fn holder_in_lock() -> usize {
    match words_at(PLACE.load(Ordering::Acquire)) {
        Some([_, holder, taken]) if is_taken(taken) => holder,
        _ => 0,
    }
}

fn find_lock(py: Python<'_>) -> PyResult<Option<usize>> {
    let interval: f64 = py.import("sys")?.call_method0("getswitchinterval")?.extract()?;
    let (interval_us, this) = ((interval * 1e6).round() as usize, this_thread());
    // SAFETY: the calling thread has the GIL.
    let interpreter = unsafe { pyo3::ffi::PyInterpreterState_Get() }.addr();
    let is_lock = |place: usize| {
        words_at(place).is_some_and(|[interval, holder, taken]| {
            interval == interval_us && holder == this && is_taken(taken)
        })
    };
    let words: Option<[usize; WORDS]> = words_at(interpreter);
    let may_point = |word: &usize| *word != 0 && word.is_multiple_of(align_of::<usize>());
    Ok(words.into_iter().flatten().filter(may_point).find(|place| is_lock(*place)))
}

/// An `int`, of which what follows it is no part.
fn is_taken(word: usize) -> bool {
    word as u32 == 1
}
