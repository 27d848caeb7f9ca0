//! Functions of C, C++ and Rust above a line of Python, which called them.
//!
//! They are functions like others, so that profiles that have them are stored, merged and shown like others. What tells them
//! apart is their file: the name of the library in brackets, as Python writes files that are none.

use super::{Call, Frame, Profile};

const BEGIN: &str = "<native ";
const END: &str = ">";

/// Where the interpreter runs a function of Python: what called that belongs to other lines.
const EVALUATES: [&str; 2] = ["_PyEval_EvalFrameDefault", "_PyEval_EvalFrame"];
/// Who is in one of these wants the interpreter's lock, or gives it up, and does nothing else.
const SWITCHES: [&str; 9] = [
    "take_gil",
    "drop_gil",
    "eval_frame_handle_pending",
    "_Py_HandlePending",
    "PyEval_SaveThread",
    "PyEval_RestoreThread",
    "PyEval_AcquireThread",
    "PyEval_ReleaseThread",
    "PyGILState_Ensure",
];
/// Between what calls and what is called: the whole name, or its beginning.
const GLUE: [&str; 14] = [
    "PyObject_Vectorcall",
    "_PyObject_Vectorcall",
    "_PyObject_VectorcallTstate",
    "PyObject_VectorcallMethod",
    "PyVectorcall_Call",
    "_PyVectorcall_Call",
    "_PyObject_MakeTpCall",
    "PyObject_Call",
    "_PyObject_Call",
    "cfunction_call",
    "method_vectorcall",
    "do_call_core",
    "trace_call_function",
    "call_function",
];
const GLUE_OF_KINDS: [&str; 2] = ["cfunction_vectorcall_", "method_vectorcall_"];
/// Our own, which Python calls when it collects garbage.
const PROFILER: &str = "lineshaft_python::profile::";
/// In what an interpreter without symbols waits for its lock, and for nothing else.
const WAITS: &str = "pthread_cond_";

/// A function of a library.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Native {
    /// Its name, or the library's and where in it that is.
    pub name: String,
    /// The path of the library.
    pub library: String,
}

impl Native {
    /// One at a place without a symbol: `libz.so.1.2.13+0x2a40`.
    pub fn unnamed(library: String, offset: usize) -> Self {
        Self { name: format!("{}+{offset:#x}", last_part(&library)), library }
    }

    fn is_unnamed(&self) -> bool {
        self.name.strip_prefix(last_part(&self.library)).is_some_and(|rest| rest.starts_with("+0x"))
    }
}

/// What a thread works at above its innermost line of Python, out of all the functions that it is in, both the innermost
/// first: neither what calls functions in the interpreter, whose library has this path, nor what waits for its lock.
pub fn native_work(mut functions: Vec<Native>, interpreter: &str) -> Vec<Native> {
    let evaluates = |one: &Native| EVALUATES.contains(&plain(&one.name));
    if let Some(at) = functions.iter().position(evaluates) {
        functions.truncate(at);
    }
    let switches = |one: &Native| SWITCHES.contains(&plain(&one.name)) || one.name.contains(PROFILER);
    if functions.iter().any(switches) || waits_unnamed(&functions, interpreter) {
        return Vec::new();
    }
    functions.retain(|one| !is_glue(&one.name));
    functions
}

/// Whether an interpreter without symbols waits for its lock, which no function says there. Locks of the program are
/// semaphores.
fn waits_unnamed(functions: &[Native], interpreter: &str) -> bool {
    let waits = |one: &Native| one.name.trim_start_matches('_').starts_with(WAITS);
    let Some(last) = functions.iter().rposition(waits) else { return false };
    functions.get(last + 1).is_none_or(|caller| caller.library == interpreter && caller.is_unnamed())
}

fn is_glue(name: &str) -> bool {
    let name = plain(name);
    GLUE.contains(&name) || GLUE_OF_KINDS.iter().any(|kind| name.starts_with(kind))
}

/// Without what compilers add to parts and copies of a function of C: `.cold`, `.isra.0`, `.lto_priv.1`.
fn plain(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

impl Profile {
    /// The call of a function of a library, or of the program itself: the last part of its path is its file.
    pub fn native_call(&mut self, function: &Native) -> Call {
        let file = format!("{BEGIN}{}{END}", last_part(&function.library));
        Call { frame: self.frame(&function.name, &file, 0), line: 0 }
    }
}

/// Whether a function was called natively by a line.
pub(super) fn is_native(frame: Frame<'_>) -> bool {
    frame.file.starts_with(BEGIN) && frame.file.ends_with(END)
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
