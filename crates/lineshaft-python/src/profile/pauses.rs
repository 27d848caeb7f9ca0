//! What a thread is about that does not run: whether it waits for the interpreter's lock, for a lock of the program, or for
//! something else.
//!
//! Whoever looks has the interpreter's lock, so that every thread that would run Python waits for it at that moment, and
//! how long the looker waited says nothing: one busy thread lets it wait as long as four do. What tells them apart is the
//! time: a thread that lets go of the lock, as it does where it jumps back or enters a function, and had neither a
//! processor since it was last seen there nor waited for one, waited for the lock.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::once::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Instructions that are looked through for what is called.
const BACK_MAX: usize = 40;

/// What a thread is about where it was seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pause {
    /// It may be in a call, which works or waits.
    Elsewhere,
    /// Between two instructions of Python, where it lets go of the interpreter's lock.
    Switch,
    /// It takes a lock.
    Lock,
}

/// What each instruction of this version of Python is.
pub(super) struct Opcodes {
    kinds: [What; 256],
    /// Whether the number of a name stands above a bit that says something else.
    is_shifted: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    Else,
    Switch,
    /// Enters a `with`.
    With,
    Call,
    /// Loads a method that is called then.
    Method,
    /// Loads a method if it says so.
    Attribute,
    /// Ends what stands before it: nothing of that is part of a call behind it.
    End,
}

impl Opcodes {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let opmap = py.import("opcode")?.getattr("opmap")?.cast_into::<PyDict>()?;
        // From 3.12 on `LOAD_METHOD` is a word of the compiler's alone, with a number that no instruction can have.
        let is_real = |number: &Bound<'_, PyAny>| number.extract::<usize>().is_ok_and(|number| number < 256);
        let is_shifted = !opmap.get_item("LOAD_METHOD")?.is_some_and(|number| is_real(&number));
        let mut kinds = [What::Else; 256];
        for (name, number) in opmap.iter() {
            let (name, number): (String, usize) = (name.extract()?, number.extract()?);
            if let Some(kind) = kinds.get_mut(number) {
                *kind = What::of(&name);
            }
        }
        Ok(Self { kinds, is_shifted })
    }

    /// What a frame is about that is the innermost of its thread.
    pub(super) fn at(&self, frame: &Bound<'_, PyAny>) -> PyResult<Pause> {
        let py = frame.py();
        let at: i64 = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
        let code = frame.getattr(intern!(py, "f_code"))?;
        let bytes = code.getattr(intern!(py, "co_code"))?.cast_into::<PyBytes>()?;
        let (bytes, at) = (bytes.as_bytes(), usize::try_from(at).unwrap_or(usize::MAX));
        let what = |at: usize| bytes.get(at).map_or(What::Else, |number| self.kinds[usize::from(*number)]);
        Ok(match what(at) {
            What::Switch => Pause::Switch,
            What::With => lock_if(!is_of_threading(&code)?),
            // From 3.14 on `__enter__` is loaded, and called as everything else is.
            What::Call if at >= 2 && what(at - 2) == What::With => lock_if(!is_of_threading(&code)?),
            What::Call if self.calls_acquire(&code, bytes, at)? => lock_if(!is_of_threading(&code)?),
            _ => Pause::Elsewhere,
        })
    }

    /// Whether what is called at a place is the method `acquire` of something.
    fn calls_acquire(&self, code: &Bound<'_, PyAny>, bytes: &[u8], at: usize) -> PyResult<bool> {
        for back in (0..at).rev().filter(|back| back % 2 == at % 2).take(BACK_MAX) {
            let (kind, argument) = (self.kinds[usize::from(bytes[back])], usize::from(bytes[back + 1]));
            let (name, is_method) = match kind {
                What::Method => (argument, true),
                What::Attribute if self.is_shifted && argument % 2 == 1 => (argument >> 1, true),
                // It may be that of a method which is called with keywords (3.10), or of an argument.
                What::Attribute if !self.is_shifted => (argument, false),
                What::End | What::Switch => return Ok(false),
                _ => continue,
            };
            let names = code.getattr(intern!(code.py(), "co_names"))?;
            // The name of a greater number is another one, which is no harm.
            let is_acquire = names.get_item(name)?.eq("acquire")?;
            if is_acquire || is_method {
                return Ok(is_acquire);
            }
        }
        Ok(false)
    }
}

impl What {
    fn of(name: &str) -> Self {
        match name {
            "RESUME" => Self::Switch,
            "BEFORE_WITH" | "SETUP_WITH" | "LOAD_SPECIAL" => Self::With,
            "LOAD_METHOD" => Self::Method,
            "LOAD_ATTR" => Self::Attribute,
            _ if name.starts_with("JUMP") || name.starts_with("POP_JUMP") => Self::Switch,
            _ if name.starts_with("CALL") => Self::Call,
            "POP_TOP" => Self::End,
            _ if name.starts_with("STORE") => Self::End,
            _ => Self::Else,
        }
    }
}

fn lock_if(is_lock: bool) -> Pause {
    if is_lock { Pause::Lock } else { Pause::Elsewhere }
}

/// What waits there has a function that says so.
fn is_of_threading(code: &Bound<'_, PyAny>) -> PyResult<bool> {
    let file = code.getattr(intern!(code.py(), "co_filename"))?;
    Ok(file.extract::<std::borrow::Cow<'_, str>>()?.ends_with("threading.py"))
}

/// How long a thread waited for a processor, by what Linux counts.
pub(super) struct Delays {
    file: File,
    before_ns: u64,
}

impl Delays {
    /// Of the thread of a number of this process.
    pub(super) fn of(number: i64) -> Option<Self> {
        let file = File::open(format!("/proc/self/task/{number}/schedstat")).ok()?;
        let mut delays = Self { file, before_ns: 0 };
        delays.passed_ns()?;
        Some(delays)
    }

    /// Since it was last asked.
    pub(super) fn passed_ns(&mut self) -> Option<u64> {
        let mut text = [0_u8; 64];
        let count = self.file.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..count]).ok()?;
        let now_ns: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(now_ns.saturating_sub(std::mem::replace(&mut self.before_ns, now_ns)))
    }
}
