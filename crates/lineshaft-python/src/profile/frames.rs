//! From Python's frames to calls of a profile. The limited interface has no way from a frame to its caller, so attributes
//! are read, which takes some 50 ns each; what a code object is called is asked once.

use crate::once::intern;
use lineshaft_insight::profile::{Call, DEPTH_MAX, FrameId, Profile};
use pyo3::prelude::*;
use rustc_hash::FxHashMap;

/// Code objects that are remembered, which keeps them from being freed; then all are forgotten.
const CODES_MAX: usize = 65_536;

/// The functions that have been seen, by their code objects.
pub(super) struct Codes {
    known: FxHashMap<usize, (Py<PyAny>, Known)>,
    /// Files below this directory are the profiler itself.
    own: String,
}

#[derive(Clone, Copy)]
enum Known {
    /// The profiler itself, which is left out.
    Own,
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
}

impl Codes {
    pub(super) fn new(own: String) -> Self {
        Self { known: FxHashMap::default(), own }
    }

    /// The calls from a frame outwards, until `entry`, which is the last one, or more than a profile keeps.
    pub(super) fn walk<'py>(
        &mut self,
        profile: &mut Profile,
        frame: Bound<'py, PyAny>,
        entry: Option<&Py<PyAny>>,
    ) -> PyResult<Walked<'py>> {
        let py = frame.py();
        let mut walked = Walked { calls: Vec::with_capacity(32), runs_loop: None };
        let mut next = Some(frame);
        while let Some(frame) = next {
            if walked.calls.len() > DEPTH_MAX {
                break;
            }
            let known = self.known(profile, &frame)?;
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

    /// The call of one frame; `None` if it is the profiler's.
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
        if file.starts_with(&self.own) {
            return Ok(Known::Own);
        }
        let plain = code.getattr(intern!(py, "co_name"))?.to_string();
        // With the name of the class, from Python 3.11 on.
        let name =
            code.getattr_opt(intern!(py, "co_qualname"))?.map_or(plain.clone(), |name| name.to_string());
        let id = profile.frame(&name, &file, line);
        let runs_loop = plain == "run_forever" && file.ends_with("asyncio/base_events.py")
            || plain == "run" && file.ends_with("asyncio/runners.py");
        Ok(if runs_loop { Known::Loop(id) } else { Known::Function(id) })
    }
}

impl Known {
    fn id(self) -> Option<FrameId> {
        match self {
            Self::Own => None,
            Self::Function(id) | Self::Loop(id) => Some(id),
        }
    }
}

/// 0 between two lines.
fn line_of(frame: &Bound<'_, PyAny>) -> PyResult<u32> {
    let line = frame.getattr(intern!(frame.py(), "f_lineno"))?;
    Ok(line.extract::<Option<u32>>().ok().flatten().unwrap_or(0))
}
