//! What the suspended tasks of an event loop wait for.

use std::time::{Duration, Instant};

use crate::once::intern;
use lineshaft_insight::profile::{Call, DEPTH_MAX, Kind, Profile, Weight};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet, PyString};

use super::frames::Codes;

/// A look at all tasks of a loop is followed by a pause of so many times as long as it took: there may be thousands.
const PAUSE: u32 = 50;

/// A loop, and when it was last looked at.
pub(super) struct Loop {
    pub(super) ident: u64,
    event_loop: Py<PyAny>,
    looked: Instant,
    not_before: Instant,
}

impl Loop {
    pub(super) fn new(ident: u64, event_loop: Py<PyAny>, began: Instant) -> Self {
        Self { ident, event_loop, looked: began, not_before: began }
    }

    pub(super) fn is(&self, event_loop: &Bound<'_, PyAny>) -> bool {
        self.event_loop.is(event_loop)
    }

    /// Adds what each of its tasks waits for.
    pub(super) fn look(
        &mut self,
        py: Python<'_>,
        profile: &mut Profile,
        codes: &mut Codes,
        modules: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let now = Instant::now();
        if now < self.not_before {
            return Ok(());
        }
        let Some(asyncio) = modules.get_item(intern!(py, "asyncio"))? else { return Ok(()) };
        let tasks = asyncio.call_method1(intern!(py, "all_tasks"), (&self.event_loop,))?;
        let wall_ns = now.saturating_duration_since(self.looked).as_nanos() as u64;
        for task in tasks.try_iter()? {
            // One may have ended meanwhile.
            let _ = add(profile, codes, &task?, wall_ns);
        }
        let took = now.elapsed();
        (self.looked, self.not_before) = (now, now + took + took.min(Duration::from_secs(1)) * PAUSE);
        Ok(())
    }
}

/// Some tasks of one loop, and when what they await was last looked at.
pub(super) struct Chosen {
    tasks: Py<PySet>,
    looked: Instant,
    not_before: Instant,
}

impl Chosen {
    /// The set may change.
    pub(super) fn new(tasks: Py<PySet>, began: Instant) -> Self {
        Self { tasks, looked: began, not_before: began }
    }

    /// Adds what those wait for that are suspended; whether another one is being run. Runs no Python: what it says is so
    /// until the GIL is given up.
    pub(super) fn look(
        &mut self,
        py: Python<'_>,
        profile: &mut Profile,
        codes: &mut Codes,
    ) -> PyResult<bool> {
        let now = Instant::now();
        let wall_ns = now.saturating_duration_since(self.looked).as_nanos() as u64;
        let (mut runs, is_due) = (false, now >= self.not_before);
        for task in self.tasks.bind(py).iter() {
            let coroutine = task.call_method0(intern!(py, "get_coro"))?;
            runs |= link(&coroutine)?.is_some_and(|link| link.is_running);
            if is_due {
                let _ = add(profile, codes, &task, wall_ns);
            }
        }
        if is_due {
            let took = now.elapsed();
            (self.looked, self.not_before) = (now, now + took + took.min(Duration::from_secs(1)) * PAUSE);
        }
        Ok(runs)
    }
}

/// The loop that runs in a frame, if that says so.
pub(super) fn loop_in<'py>(frame: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = frame.py();
    let locals = frame.getattr(intern!(py, "f_locals")).ok()?;
    // `self` is a loop or an `asyncio.Runner`; Python 3.10 has a function instead.
    let local = |name: &Bound<'py, PyString>| locals.get_item(name).ok();
    let owner = local(intern!(py, "self")).or_else(|| local(intern!(py, "loop")))?;
    let of_runner = owner.getattr_opt(intern!(py, "_loop")).ok().flatten();
    of_runner.or(Some(owner)).filter(|found| !found.is_none())
}

fn add(profile: &mut Profile, codes: &mut Codes, task: &Bound<'_, PyAny>, wall_ns: u64) -> PyResult<()> {
    let coroutine = task.call_method0(intern!(task.py(), "get_coro"))?;
    let Some(mut calls) = awaited(profile, codes, &coroutine)? else { return Ok(()) };
    calls.reverse();
    let track = profile.track(&name_of(task, &coroutine)?, Kind::Awaiting);
    profile.add(track, &calls, Weight { wall_ns, cpu_ns: 0, samples: 1 });
    Ok(())
}

/// From a coroutine to what it waits for, the outermost first; `None` if it is not suspended.
fn awaited(
    profile: &mut Profile,
    codes: &mut Codes,
    coroutine: &Bound<'_, PyAny>,
) -> PyResult<Option<Vec<Call>>> {
    let (mut calls, mut next) = (Vec::new(), Some(coroutine.clone()));
    while let Some(one) = next {
        let Some(Link { frame, is_running, waits_for }) = link(&one)? else { break };
        if is_running {
            return Ok(None);
        }
        calls.extend(codes.call(profile, &frame)?);
        if calls.len() > DEPTH_MAX {
            break;
        }
        next = (!waits_for.is_none()).then_some(waits_for);
    }
    Ok((!calls.is_empty()).then_some(calls))
}

struct Link<'py> {
    frame: Bound<'py, PyAny>,
    is_running: bool,
    waits_for: Bound<'py, PyAny>,
}

/// What a coroutine, a generator or an asynchronous one is at; `None` for what has no frame, such as a future.
fn link<'py>(one: &Bound<'py, PyAny>) -> PyResult<Option<Link<'py>>> {
    let py = one.py();
    let kinds = [
        (intern!(py, "cr_frame"), intern!(py, "cr_running"), intern!(py, "cr_await")),
        (intern!(py, "gi_frame"), intern!(py, "gi_running"), intern!(py, "gi_yieldfrom")),
        (intern!(py, "ag_frame"), intern!(py, "ag_running"), intern!(py, "ag_await")),
    ];
    for (frame, running, waits_for) in kinds {
        if let Some(frame) = one.getattr_opt(frame)? {
            if frame.is_none() {
                return Ok(None);
            }
            let is_running = one.getattr(running)?.is_truthy()?;
            return Ok(Some(Link { frame, is_running, waits_for: one.getattr(waits_for)? }));
        }
    }
    Ok(None)
}

/// The name that a task was given. Those that were given none have that of their coroutine function, so that a thousand of
/// them are one track.
fn name_of(task: &Bound<'_, PyAny>, coroutine: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = task.py();
    let name = task.call_method0(intern!(py, "get_name"))?.to_string();
    let is_given =
        !name.strip_prefix("Task-").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
    if is_given {
        return Ok(name);
    }
    Ok(coroutine.getattr_opt(intern!(py, "__qualname__"))?.map_or(name, |name| name.to_string()))
}
