//! From Python's frames to calls of a profile. The limited interface has no way from a frame to its caller, so attributes
//! are read, which takes some 50 ns each; what a code object is called is asked once.

use super::pauses::{Opcodes, Pause};
use crate::once::intern;
use lineshaft_insight::profile::{Call, DEPTH_MAX, FrameId, Profile};
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

/// Code objects that are remembered, which keeps them from being freed; then all are forgotten.
const CODES_MAX: usize = 65_536;

/// The functions that have been seen, by their code objects.
pub(super) struct Codes {
    known: FxHashMap<usize, (Py<PyAny>, Known)>,
    /// Files below this directory are left out.
    own: String,
    ends: Ends,
    opcodes: Opcodes,
}

/// Where stacks end beside their outermost call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// At the entry alone.
    Nowhere,
    /// At what runs the bodies of attempts in a thread.
    AtSlot,
    /// At the step of a loop, too, of whose tasks only some are looked at.
    AtStep,
}

#[derive(Clone, Copy)]
enum Known {
    /// What is left out.
    Own,
    /// The same, of what waits for locks of ours.
    OwnLock,
    /// What is left out with all that called it.
    End,
    Function(FrameId),
    /// What runs an event loop; its frame says which.
    Loop(FrameId),
}

/// A stack, and what was found on the way.
pub(super) struct Walked<'py> {
    /// The innermost call first.
    pub(super) calls: Vec<Call>,
    /// The frame of what runs an event loop.
    pub(super) runs_loop: Option<Bound<'py, PyAny>>,
    /// What it is about where it was seen.
    pub(super) pause: Pause,
    /// Whether the innermost call is that of the innermost frame, and not of one further out.
    pub(super) is_whole: bool,
}

impl Codes {
    pub(super) fn new(py: Python<'_>, own: String, ends: Ends) -> PyResult<Self> {
        Ok(Self { known: FxHashMap::default(), own, ends, opcodes: Opcodes::new(py)? })
    }

    /// The calls from a frame outwards, until `entry`, which is the last one, or more than a profile keeps.
    pub(super) fn walk<'py>(
        &mut self,
        profile: &mut Profile,
        frame: Bound<'py, PyAny>,
        entry: Option<&Py<PyAny>>,
    ) -> PyResult<Walked<'py>> {
        let py = frame.py();
        let mut walked = Walked {
            calls: Vec::with_capacity(32),
            runs_loop: None,
            pause: Pause::Elsewhere,
            is_whole: false,
        };
        let mut is_innermost = true;
        let mut next = Some(frame);
        while let Some(frame) = next {
            if walked.calls.len() > DEPTH_MAX {
                break;
            }
            let known = self.known(profile, &frame)?;
            if matches!(known, Known::End) {
                break;
            }
            if std::mem::take(&mut is_innermost) {
                walked.is_whole = known.id().is_some();
                walked.pause = match known {
                    Known::OwnLock => Pause::Lock,
                    Known::Own => Pause::Elsewhere,
                    // What cannot be told is nothing.
                    _ => self.opcodes.at(&frame).unwrap_or(Pause::Elsewhere),
                };
            }
            if let Some(frame_id) = known.id() {
                walked.calls.push(Call { frame: frame_id, line: line_of(&frame)? });
            }
            if matches!(known, Known::Loop(_)) && walked.runs_loop.is_none() {
                walked.runs_loop = Some(frame.clone());
            }
            if entry.is_some_and(|entry| entry.is(&frame)) {
                break;
            }
            let back = frame.getattr(intern!(py, "f_back"))?;
            next = (!back.is_none()).then_some(back);
        }
        Ok(walked)
    }

    /// The call of one frame; `None` if it is left out.
    pub(super) fn call(&mut self, profile: &mut Profile, frame: &Bound<'_, PyAny>) -> PyResult<Option<Call>> {
        match self.known(profile, frame)?.id() {
            Some(id) => Ok(Some(Call { frame: id, line: line_of(frame)? })),
            None => Ok(None),
        }
    }

    fn known(&mut self, profile: &mut Profile, frame: &Bound<'_, PyAny>) -> PyResult<Known> {
        let code = frame.getattr(intern!(frame.py(), "f_code"))?;
        let key = code.as_ptr() as usize;
        if let Some((_, known)) = self.known.get(&key) {
            return Ok(*known);
        }
        let known = self.learn(profile, &code)?;
        if self.known.len() >= CODES_MAX {
            self.known.clear();
        }
        self.known.insert(key, (code.unbind(), known));
        Ok(known)
    }

    fn learn(&self, profile: &mut Profile, code: &Bound<'_, PyAny>) -> PyResult<Known> {
        let py = code.py();
        let file = code.getattr(intern!(py, "co_filename"))?;
        let (file, line) =
            (file.to_string(), code.getattr(intern!(py, "co_firstlineno"))?.extract().unwrap_or(0));
        let plain = code.getattr(intern!(py, "co_name"))?.to_string();
        let is_own = file.starts_with(&self.own);
        if self.ends.are_at(&file, &plain, is_own) {
            return Ok(Known::End);
        }
        if is_own {
            return Ok(if file.contains("/_locks/") { Known::OwnLock } else { Known::Own });
        }
        // With the name of the class, from Python 3.11 on.
        let name =
            code.getattr_opt(intern!(py, "co_qualname"))?.map_or(plain.clone(), |name| name.to_string());
        let id = profile.frame(&name, &file, line);
        let runs_loop = plain == "run_forever" && file.ends_with("asyncio/base_events.py")
            || plain == "run" && file.ends_with("asyncio/runners.py");
        Ok(if runs_loop { Known::Loop(id) } else { Known::Function(id) })
    }
}

impl Ends {
    fn are_at(self, file: &str, function: &str, is_own: bool) -> bool {
        let is_slot = match function {
            "_work" => is_own && file.ends_with("_child.py"),
            "_serve" => is_own && file.ends_with("_slots.py"),
            "run" => file.ends_with("threading.py") || is_own && file.ends_with("_slots.py"),
            _ => false,
        };
        let is_step = || function == "_run" && file.ends_with("asyncio/events.py");
        self != Self::Nowhere && (is_slot || self == Self::AtStep && is_step())
    }
}

impl Known {
    fn id(self) -> Option<FrameId> {
        match self {
            Self::Own | Self::OwnLock | Self::End => None,
            Self::Function(id) | Self::Loop(id) => Some(id),
        }
    }
}

/// The line, or between two lines the one before.
fn line_of(frame: &Bound<'_, PyAny>) -> PyResult<u32> {
    let line = frame.getattr(intern!(frame.py(), "f_lineno"))?;
    match line.extract::<Option<u32>>().ok().flatten() {
        Some(line) => Ok(line),
        None => line_before(frame),
    }
}

/// What jumps to the next round of a loop, say, has no line of its own.
fn line_before(frame: &Bound<'_, PyAny>) -> PyResult<u32> {
    let py = frame.py();
    let at: i64 = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
    let lines = frame.getattr(intern!(py, "f_code"))?.call_method0(intern!(py, "co_lines"))?;
    let mut before = 0;
    for each in lines.try_iter()? {
        let (start, _, line): (i64, i64, Option<u32>) = each?.extract()?;
        if start > at {
            break;
        }
        before = line.unwrap_or(before);
    }
    Ok(before)
}
