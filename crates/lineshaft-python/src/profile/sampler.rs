//! The thread that looks what Python does.
//!
//! It wakes, takes the GIL, walks the frames of others and sleeps again. A stack that is seen stands for the time since the
//! last look, so a look that comes late, since somebody holds the GIL, loses nothing. Pauses are of random length, between
//! half and one and a half periods: what happens as regularly as it looks would else be seen always or never.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lineshaft_insight::profile::{Call, Profile, TrackId, Weight};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet};

use super::data::ProfileData;
use super::frames::{Codes, Ends, Walked};
use super::native::Native;
use super::pauses::Pause;
use super::so_far::SoFar;
use super::tasks::{Chosen, Loop, loop_in};
use super::threads::{Collector, Threads, current_frames};

/// A sampler that runs from when it is made until it is stopped, or the process is a forked copy.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Sampler {
    is_over: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<Option<Profile>>>>,
    began: Instant,
    pid: u32,
    sees_native: bool,
}

/// What is to be looked at.
pub(crate) struct Plan {
    pub(crate) period: Duration,
    /// The thread; the calling one by default.
    pub(crate) thread: Option<u64>,
    /// The frame in which it is asked for: what called that is not looked at.
    pub(crate) entry: Option<Py<PyAny>>,
    pub(crate) is_all: bool,
    /// Whether what lines call natively is looked at too, where that can be done.
    pub(crate) native: bool,
    /// Of the thread, only what it does in these tasks of its loop, and what they await.
    pub(crate) tasks: Option<Py<PySet>>,
    /// The loop that runs in it.
    pub(crate) event_loop: Option<Py<PyAny>>,
    /// Frames of files below it are left out.
    pub(crate) own: String,
    /// What other frames outwards are no part of it.
    pub(crate) ends: Ends,
    /// Threads of all samplers.
    pub(crate) samplers: Py<PySet>,
    /// Who is given what was seen so far, now and then.
    pub(crate) so_far: Option<SoFar>,
}

#[pymethods]
impl Sampler {
    /// Begins to look `hz` times a second at the calling thread, or at all. Frames of files below `own` are left out, and
    /// so are the threads of `samplers`, to which its own is added. `entry` is the frame from which the calling thread is
    /// looked at inwards, `event_loop` a loop that is known to run there. `native` asks for what lines call natively.
    #[new]
    #[pyo3(signature = (hz, entry, everyone, native, event_loop, own, samplers))]
    #[allow(clippy::too_many_arguments)] // Python gives them one by one
    fn new(
        py: Python<'_>,
        hz: f64,
        entry: Py<PyAny>,
        everyone: bool,
        native: bool,
        event_loop: Option<Py<PyAny>>,
        own: String,
        samplers: Py<PySet>,
    ) -> PyResult<Self> {
        let period = Duration::from_secs_f64(1.0 / hz);
        let (thread, tasks, so_far, entry) = (None, None, None, Some(entry));
        let (is_all, ends) = (everyone, Ends::Nowhere);
        Self::begin(
            py,
            Plan { period, thread, entry, is_all, native, tasks, event_loop, own, ends, samplers, so_far },
        )
    }

    /// Whether it sees what lines call natively: if that was asked for and can be done here.
    #[getter]
    fn native(&self) -> bool {
        self.sees_native
    }

    /// Ends it and gives what was seen: nothing if it has ended before, or belongs to the process this one was forked from.
    fn stop(&self, py: Python<'_>) -> ProfileData {
        ProfileData::of(self.end(py))
    }
}

impl Sampler {
    pub(crate) fn begin(py: Python<'_>, plan: Plan) -> PyResult<Self> {
        // Here and not in the thread, which may have to wait long for the GIL: clocks begin to count now.
        let mut looking = Looking::new(py, &plan)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let (began, sees_native) = (Instant::now(), looking.native.is_some());
        let thread = thread::Builder::new().name("profile".to_owned()).spawn(move || {
            let first = looking.looked + pause(plan.period);
            looking.wait(first, &seen);
            // None if Python has ended already.
            Python::try_attach(|py| run(py, plan, looking, &seen).ok()).flatten()
        });
        let thread = thread
            .map_err(|error| PyRuntimeError::new_err(format!("no thread could be started: {error}")))?;
        let pid = std::process::id();
        Ok(Self { is_over, thread: Mutex::new(Some(thread)), began, pid, sees_native })
    }

    /// What [`Self::stop`] gives.
    pub(crate) fn end(&self, py: Python<'_>) -> Profile {
        let duration = self.began.elapsed();
        let profile = self.take().and_then(|thread| {
            thread.thread().unpark();
            py.detach(|| thread.join().ok().flatten())
        });
        let mut profile = profile.unwrap_or_default();
        if std::process::id() == self.pid {
            profile.ran(duration.as_nanos() as u64);
        }
        profile
    }

    /// Its thread, which is told to end.
    fn take(&self) -> Option<JoinHandle<Option<Profile>>> {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if std::process::id() != self.pid {
            // There is no such thread here, not even one to let go of.
            mem::forget(thread);
            return None;
        }
        Some(thread)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        if let Some(thread) = self.take() {
            thread.thread().unpark();
        }
    }
}

fn run(py: Python<'_>, mut plan: Plan, mut looking: Looking, is_over: &AtomicBool) -> PyResult<Profile> {
    let ident = looking.get_ident.bind(py).call0()?;
    plan.samplers.bind(py).add(&ident)?;
    // The first look is due.
    let mut due = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        // Something that cannot be read now is read the next time, and then stands for this time too.
        let _ = looking.look(py, &plan);
        let is_due = plan.so_far.as_ref().is_some_and(SoFar::is_due);
        looking.settle(py, is_due);
        if let Some(so_far) = &mut plan.so_far {
            py.detach(|| so_far.tell(&looking.profile));
        }
        due = (due + pause(plan.period)).max(Instant::now());
        py.detach(|| looking.wait(due, is_over));
    }
    looking.settle(py, true);
    plan.samplers.bind(py).discard(&ident)?;
    Ok(looking.profile)
}

fn pause(period: Duration) -> Duration {
    period.mul_f64(0.5 + fastrand::f64())
}

fn sleep_until(due: Instant, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

struct Looking {
    /// The thread that asked for it.
    asker: u64,
    profile: Profile,
    codes: Codes,
    threads: Threads,
    collector: Arc<Collector>,
    loops: Vec<Loop>,
    chosen: Option<Chosen>,
    native: Option<Native>,
    get_ident: Py<PyAny>,
    /// `sys._current_frames` and `sys.modules`.
    current_frames: Py<PyAny>,
    modules: Py<PyDict>,
    round: u64,
    looked: Instant,
}

impl Looking {
    /// Imports what it needs, which its thread must not: a process may be forked while it does.
    fn new(py: Python<'_>, plan: &Plan) -> PyResult<Self> {
        let (sys, began) = (py.import("sys")?, Instant::now());
        let mut looking = Self {
            asker: 0,
            profile: Profile::new(),
            codes: Codes::new(py, plan.own.clone(), plan.ends)?,
            threads: Threads::new(py)?,
            collector: Arc::new(Collector::new(py)?),
            native: if plan.native { Native::new(py, plan.period)? } else { None },
            get_ident: py.import("threading")?.getattr("get_ident")?.unbind(),
            loops: Vec::new(),
            chosen: plan.tasks.as_ref().map(|tasks| Chosen::new(tasks.clone_ref(py), began)),
            current_frames: sys.getattr("_current_frames")?.unbind(),
            modules: sys.getattr("modules")?.cast_into::<PyDict>()?.unbind(),
            round: 0,
            looked: began,
        };
        looking.asker = match plan.thread {
            Some(thread) => looking.threads.expect(py, &mut looking.profile, thread),
            None => looking.threads.expect_this(py, &mut looking.profile)?,
        };
        looking.expect_native(py, looking.asker);
        if let Some(event_loop) = &plan.event_loop {
            looking.loops.push(Loop::new(looking.asker, event_loop.clone_ref(py), began));
        }
        Ok(looking)
    }

    /// Waits until a look is due, and prepares what has to be done before the lock is asked for: who works in C has that
    /// until it is done.
    fn wait(&mut self, due: Instant, is_over: &AtomicBool) {
        sleep_until(due, is_over);
        if let Some(native) = self.native.as_mut().filter(|_| !is_over.load(Ordering::Relaxed)) {
            native.ask();
        }
    }

    fn look(&mut self, py: Python<'_>, plan: &Plan) -> PyResult<()> {
        self.round += 1;
        if let Some(native) = &mut self.native {
            native.take(py);
        }
        let before = mem::replace(&mut self.looked, Instant::now());
        let collector = Arc::clone(&self.collector);
        for (ident, frame) in collector.held_back(py, || self.look_at_threads(py, plan))? {
            if self.chosen.is_none() {
                self.learn_loop(ident, &frame, before);
            }
        }
        let modules = self.modules.bind(py);
        for each in &mut self.loops {
            let _ = each.look(py, &mut self.profile, &mut self.codes, modules);
        }
        Ok(())
    }

    /// Adds the stacks of threads, and gives the frames of those that run an event loop.
    fn look_at_threads<'py>(
        &mut self,
        py: Python<'py>,
        plan: &Plan,
    ) -> PyResult<Vec<(u64, Bound<'py, PyAny>)>> {
        let frames = current_frames(self.current_frames.bind(py))?;
        let mut run_loops = Vec::new();
        let now = self.looked;
        if plan.is_all {
            let samplers = plan.samplers.bind(py);
            for (ident, frame) in frames.iter() {
                if !samplers.contains(&ident)? {
                    self.look_at(plan, (ident.extract()?, frame), now, &mut run_loops)?;
                }
            }
            self.threads.forget_all_before(self.round);
            if let Some(native) = &mut self.native {
                native.forget_all_before(self.round);
            }
        } else if self.threads.is_known(py, self.asker)
            && let Some(frame) = frames.get_item(self.asker)?
        {
            if let Some(chosen) = &mut self.chosen
                && !chosen.look(py, &mut self.profile, &mut self.codes)?
            {
                // This time is that of something else.
                let at = (now, self.round);
                self.threads.passed(py, &mut self.profile, self.asker, at, Pause::Elsewhere);
                return Ok(run_loops);
            }
            self.look_at(plan, (self.asker, frame), now, &mut run_loops)?;
        }
        Ok(run_loops)
    }

    fn look_at<'py>(
        &mut self,
        plan: &Plan,
        (ident, frame): (u64, Bound<'py, PyAny>),
        now: Instant,
        run_loops: &mut Vec<(u64, Bound<'py, PyAny>)>,
    ) -> PyResult<()> {
        let py = frame.py();
        let entry = plan.entry.as_ref().filter(|_| ident == self.asker);
        let innermost = self.native.is_some().then(|| frame.clone());
        let Walked { calls, runs_loop, pause, is_whole } =
            self.codes.walk(&mut self.profile, frame, entry)?;
        let passed = self.threads.passed(py, &mut self.profile, ident, (now, self.round), pause);
        match passed.waited {
            Some((wait, wall_ns)) => {
                self.profile.add_waiting(passed.track, &calls, passed.weight, wait, wall_ns);
            }
            // What waits for a lock says so already; what is left out has no line to which it could belong.
            None => {
                let innermost = innermost.filter(|_| is_whole && pause != Pause::Lock);
                self.add(ident, innermost.as_ref(), passed.track, &calls, passed.weight)?;
            }
        }
        self.expect_native(py, ident);
        run_loops.extend(runs_loop.map(|frame| (ident, frame)));
        Ok(())
    }

    /// Adds a stack of a thread, with what its innermost frame has called natively.
    fn add(
        &mut self,
        ident: u64,
        innermost: Option<&Bound<'_, PyAny>>,
        track: TrackId,
        calls: &[Call],
        weight: Weight,
    ) -> PyResult<()> {
        let rest = match (&mut self.native, innermost) {
            (Some(native), Some(frame)) => native.keep(ident, frame, (track, calls, weight))?,
            _ => weight,
        };
        if rest != Weight::default() {
            self.profile.add(track, calls, rest);
        }
        Ok(())
    }

    /// The next time this thread, which has frames now, is asked what it does natively.
    fn expect_native(&mut self, py: Python<'_>, ident: u64) {
        if let (Some(native), Some(number)) = (&mut self.native, self.threads.number(ident)) {
            native.expect(py, ident, number, self.round);
        }
    }

    /// Names what was seen natively, if that is due.
    fn settle(&mut self, py: Python<'_>, is_due: bool) {
        let Self { native, profile, .. } = self;
        if let Some(native) = native.as_mut().filter(|native| is_due || native.is_full()) {
            py.detach(|| native.settle(profile));
        }
    }

    /// A thread runs one loop at a time, and maybe another one later.
    fn learn_loop(&mut self, ident: u64, frame: &Bound<'_, PyAny>, since: Instant) {
        let Some(event_loop) = loop_in(frame) else { return };
        if self.loops.iter().any(|known| known.is(&event_loop)) {
            return;
        }
        self.loops.retain(|known| known.ident != ident);
        self.loops.push(Loop::new(ident, event_loop.unbind(), since));
    }
}
