//! What is known of the interpreter's insides: where a thread of it finds the code that it runs, and the instruction.
//!
//! Structures of the interpreter differ between its versions, and no interface of it may be used in a signal's handler. So
//! where these fields lie is written here for the versions with which it was tried, and is compared once in each process
//! with what Python says of a frame. Where that differs, or the version is another one, nothing native is shown. What the
//! handler reads it lets the kernel read: at some instructions a frame is not linked yet, and the pointer to it is anything.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use lineshaft_ipc::stacks::{Note, exported, words_at};
use pyo3::prelude::*;

use crate::once::intern;

/// Where fields lie.
struct Layout {
    version: (u8, u8),
    /// From the thread's state to its innermost frame: in bytes, where the pointer to the next one lies in each.
    way: &'static [usize],
    /// Of a frame, as the number of a word: its code, and the instruction.
    code: usize,
    instruction: usize,
}

const LAYOUTS: [Layout; 3] = [
    Layout { version: (3, 11), way: &[56, 8], code: 4, instruction: 7 },
    Layout { version: (3, 12), way: &[56, 0], code: 0, instruction: 7 },
    Layout { version: (3, 13), way: &[72], code: 0, instruction: 7 },
];
/// The words of a frame in which these are.
const WORDS: usize = 8;
const NONE: usize = usize::MAX;

/// Which one of them is that of this process.
static KNOWN: AtomicUsize = AtomicUsize::new(NONE);

/// Where a thread is in Python.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct At {
    /// The address of the code object.
    pub(super) code: usize,
    /// The address of the instruction that runs.
    pub(super) instruction: usize,
}

/// What is known.
pub(super) struct Insides {
    /// Lets a thread note where it is.
    pub(super) note: Note,
    /// The function that runs Python.
    pub(super) evaluates: Range<usize>,
    /// Where the instructions begin in the object of some code.
    pub(super) instructions: usize,
}

/// `None` if this interpreter is not known, or is not as it is known. Called where Python runs a function.
pub(super) fn find(py: Python<'_>) -> PyResult<Option<Insides>> {
    let version = py.version_info();
    let is_this = |layout: &Layout| layout.version == (version.major, version.minor);
    let Some(known) = LAYOUTS.iter().position(is_this) else { return Ok(None) };
    let sys = py.import("sys")?;
    if sys.getattr("implementation")?.getattr("name")?.extract::<String>()? != "cpython" {
        return Ok(None);
    }
    let Some(evaluates) = exported(c"_PyEval_EvalFrameDefault").filter(|range| !range.is_empty()) else {
        return Ok(None);
    };
    let frame = sys.getattr("_getframe")?.call0()?;
    let class = frame.getattr(intern!(py, "f_code"))?.get_type();
    let instructions: usize = class.getattr("__basicsize__")?.extract()?;
    if where_is(&LAYOUTS[known]) != Some(At::now(&frame, instructions)?) {
        return Ok(None);
    }
    KNOWN.store(known, Ordering::Release);
    // SAFETY: the function reads a variable of the thread, as it has just done so that it is linked, and memory by
    // `words_at`; it has neither locks nor allocations.
    let note = unsafe { Note::new(note) };
    Ok(Some(Insides { note, evaluates, instructions }))
}

impl At {
    /// What a thread has noted, if it runs Python at all.
    pub(super) fn of([code, instruction]: [usize; 2]) -> Option<Self> {
        (code != 0).then_some(Self { code, instruction })
    }
}

/// In a handler.
fn note() -> [usize; 2] {
    let layout = LAYOUTS.get(KNOWN.load(Ordering::Acquire));
    layout.and_then(where_is).map_or([0; 2], |at| [at.code, at.instruction])
}

/// In a handler, too.
fn where_is(layout: &Layout) -> Option<At> {
    // SAFETY: it reads a variable of the calling thread: the state that it has in Python, or null before and afterwards.
    let mut at = unsafe { pyo3::ffi::PyGILState_GetThisThreadState() } as usize;
    if at == 0 {
        return None;
    }
    for offset in layout.way {
        [at] = words_at(at.wrapping_add(*offset))?;
    }
    let words: [usize; WORDS] = words_at(at)?;
    Some(At { code: *words.get(layout.code)?, instruction: *words.get(layout.instruction)? })
}
