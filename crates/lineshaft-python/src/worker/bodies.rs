//! Bodies that run in threads of one process, and how a request to stop gets into them: as an exception that the
//! interpreter raises between two bytecodes of their thread.
#![allow(unsafe_code)] // Raising in another thread: one call of the interpreter.

use std::collections::HashMap;
use std::ffi::c_long;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lineshaft::worker::{StopReason, Ticket};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::shield::Shields;

/// Time for a body to hear that it shall stop, before what it may be waiting for is ended.
const DEAF_AFTER: Duration = Duration::from_secs(1);

/// How often code is run to catch what was set in its thread, if something else is raised in it instead: by a tracer,
/// which Python then takes away.
const CATCHES: u32 = 4;

/// The bodies that run in threads.
pub(super) struct Bodies {
    /// By attempt. Only touched under the GIL, which makes "the body runs" and "it is interrupted" one after the other.
    running: Mutex<HashMap<Ticket, Body>>,
    /// Classes that are raised: cancelled, timed out, lease lost, shutdown.
    interruptions: [Py<PyAny>; 4],
}

/// A body that runs.
struct Body {
    thread: c_long,
    shields: Shields,
    /// When it was interrupted.
    interrupted: Option<Instant>,
    /// The interruption got into it, or what held it up was ended.
    settled: bool,
}

impl Bodies {
    pub(super) fn new(interruptions: [Py<PyAny>; 4]) -> Self {
        Self { running: Mutex::default(), interruptions }
    }

    /// Runs `body` in this thread, which Python knows as `thread`: a request to stop may be raised in it, and none
    /// after it.
    pub(super) fn run<'py>(
        &self,
        py: Python<'py>,
        attempt: Ticket,
        (thread, shields): (c_long, Shields),
        body: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.lock().insert(attempt, Body { thread, shields, interrupted: None, settled: false });
        let returned = body();
        // From here on nothing is set in this thread. What was set is caught if it was not raised yet, so that it
        // cannot get into the next attempt.
        let body = self.lock().remove(&attempt);
        if body.is_none_or(|body| body.interrupted.is_some()) {
            self.catch(py, thread);
        }
        returned
    }

    /// The body of an attempt is over, however it ended.
    pub(super) fn forget(&self, attempt: Ticket) {
        self.lock().remove(&attempt);
    }

    /// Raises a request to stop in the body of an attempt; false if there is none. A shield that is open asks for it
    /// when it closes.
    pub(super) fn interrupt(&self, attempt: Ticket, reason: StopReason) -> bool {
        let mut running = self.lock();
        let Some(body) = running.get_mut(&attempt) else { return false };
        if !body.shields.are_open() {
            body.interrupt(self.class_of(reason));
        }
        true
    }

    /// The outermost shield of an attempt closed, in the thread `here`: what came meanwhile is raised now, in the thread
    /// of its body. True where that is this one: then the caller raises it.
    pub(super) fn catch_up(&self, attempt: Ticket, reason: StopReason, here: c_long) -> bool {
        let mut running = self.lock();
        let Some(body) = running.get_mut(&attempt) else { return false };
        if body.interrupted.is_none() && body.thread == here {
            (body.interrupted, body.settled) = (Some(Instant::now()), true);
            return true;
        }
        body.interrupt(self.class_of(reason));
        false
    }

    /// The interruption of an attempt got into its body.
    pub(super) fn heard(&self, attempt: Ticket) {
        if let Some(body) = self.lock().get_mut(&attempt) {
            body.settled = true;
        }
    }

    /// The attempts whose bodies do not hear, each told once: they are in calls that do not return to the interpreter.
    pub(super) fn deaf(&self) -> Vec<Ticket> {
        let mut running = self.lock();
        let deaf = running.iter_mut().filter(|(_, body)| body.is_deaf());
        deaf.map(|(&attempt, body)| {
            body.settled = true;
            attempt
        })
        .collect()
    }

    /// What is raised in a body for that reason.
    pub(super) fn interruption(&self, py: Python<'_>, reason: StopReason) -> PyResult<PyErr> {
        Ok(PyErr::from_value(self.class_of(reason).bind(py).call0()?))
    }

    fn class_of(&self, reason: StopReason) -> &Py<PyAny> {
        &self.interruptions[match reason {
            StopReason::TimedOut => 1,
            StopReason::LeaseLost => 2,
            StopReason::Shutdown => 3,
            _ => 0,
        }]
    }

    /// Lets what was set in this thread and was not raised yet be raised in code that does nothing.
    ///
    /// To take it back, by setting nothing in its place, is not enough. Before Python 3.13 the interpreter is told to
    /// look for what was set, and stops looking only when it raises something; until then every step of every thread
    /// is a slow one, and in 3.11 a function that is traced, by a debugger or for coverage, never gets to its first
    /// line.
    fn catch(&self, py: Python<'_>, thread: c_long) {
        for _ in 0..CATCHES {
            match py.eval(c"None", Some(&PyDict::new(py)), None) {
                Ok(_) => return,
                Err(error)
                    if self.interruptions.iter().any(|class| error.is_instance(py, class.bind(py))) =>
                {
                    return;
                }
                Err(_) => {}
            }
        }
        raise_in(thread, std::ptr::null_mut());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ticket, Body>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body {
    /// Raises `class` in it, unless something was raised before.
    fn interrupt(&mut self, class: &Py<PyAny>) {
        if self.interrupted.is_none() {
            raise_in(self.thread, class.as_ptr());
            self.interrupted = Some(Instant::now());
        }
    }

    fn is_deaf(&self) -> bool {
        !self.settled && self.interrupted.is_some_and(|at| at.elapsed() >= DEAF_AFTER)
    }
}

/// Raises `class` between two bytecodes of a thread, or takes back what was not raised yet. Under the GIL.
fn raise_in(thread: c_long, class: *mut pyo3::ffi::PyObject) {
    // SAFETY: the caller holds the GIL, as every function that is given a `Python` or a class; `class` is null or an
    // object that outlives the call, which takes a reference of its own. A thread that is gone is none that is found.
    unsafe {
        pyo3::ffi::PyThreadState_SetAsyncExc(thread, class);
    }
}
