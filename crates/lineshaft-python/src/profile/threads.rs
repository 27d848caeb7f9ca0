//! The threads that are looked at: their names, and the time in which each had a processor.

use std::time::Instant;

use super::pauses::{Delays, Pause};
use crate::once::intern;
use lineshaft_insight::profile::{Kind, Profile, TrackId, Wait, Weight};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use rustc_hash::FxHashMap;

/// Bits of a clock that counts the time of one thread, beside its number: `CPUCLOCK_PERTHREAD` and
/// `CPUCLOCK_SCHED` of Linux.
const CLOCK_OF_THREAD: i64 = 0b110;

/// Threads by their identifiers in Python.
pub(super) struct Threads {
    /// `time.clock_gettime_ns`.
    read_clock: Py<PyAny>,
    /// `threading._active`, which is read as it is: its lock may be held by whoever is looked at.
    active: Option<Py<PyDict>>,
    known: FxHashMap<u64, Thread>,
    began: Instant,
}

struct Thread {
    /// Whose identifier it is: that may be used again.
    owner: Option<Py<PyAny>>,
    track: TrackId,
    /// What the kernel calls it.
    number: Option<i64>,
    clock: Option<i64>,
    wall: Instant,
    cpu_ns: u64,
    delays: Option<Delays>,
    /// What it was about when it was last seen.
    pause: Pause,
    /// When it was last seen.
    round: u64,
}

/// What has passed for a thread.
pub(super) struct Passed {
    pub(super) track: TrackId,
    pub(super) weight: Weight,
    /// The part of it for which it waited.
    pub(super) waited: Option<(Wait, u64)>,
}

impl Threads {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let active = py.import("threading")?.getattr_opt("_active")?;
        let active = active.and_then(|active| active.cast_into::<PyDict>().ok()).map(Bound::unbind);
        let read_clock = py.import("time")?.getattr("clock_gettime_ns")?.unbind();
        Ok(Self { read_clock, active, known: FxHashMap::default(), began: Instant::now() })
    }

    /// The calling thread, so that the time until it is first looked at counts too.
    pub(super) fn expect_this(&mut self, py: Python<'_>, profile: &mut Profile) -> PyResult<u64> {
        let threading = py.import("threading")?;
        // A thread that Python has not made is given an object now and not later, when it would look like another one.
        threading.call_method0("current_thread")?;
        let ident = threading.call_method0("get_ident")?.extract()?;
        // Its object may have that of the process that this one was forked from.
        let number = threading.call_method0("get_native_id")?.extract().ok();
        let thread = self.met(py, profile, (ident, number), self.began);
        self.known.insert(ident, thread);
        Ok(ident)
    }

    /// A thread that runs already: its time counts from now on.
    pub(super) fn expect(&mut self, py: Python<'_>, profile: &mut Profile, ident: u64) -> u64 {
        let thread = self.met(py, profile, (ident, None), self.began);
        self.known.insert(ident, thread);
        ident
    }

    /// What has passed since a thread was last asked about, which was seen in a `pause`.
    pub(super) fn passed(
        &mut self,
        py: Python<'_>,
        profile: &mut Profile,
        ident: u64,
        (now, round): (Instant, u64),
        pause: Pause,
    ) -> Passed {
        if !self.is_known(py, ident) {
            let since = self.known.values().map(|thread| thread.wall).max().unwrap_or(self.began);
            let thread = self.met(py, profile, (ident, None), since);
            self.known.insert(ident, thread);
        }
        let thread = self.known.get_mut(&ident).expect("it was put there");
        let cpu_ns =
            thread.clock.and_then(|clock| read(py, &self.read_clock, clock)).unwrap_or(thread.cpu_ns);
        let wall_ns = now.saturating_duration_since(thread.wall).as_nanos() as u64;
        let weight = Weight { wall_ns, cpu_ns: cpu_ns.saturating_sub(thread.cpu_ns), samples: 1 };
        (thread.wall, thread.cpu_ns, thread.round) = (now, cpu_ns, round);
        let waited = thread.waited(pause, weight);
        Passed { track: thread.track, weight, waited }
    }

    /// Whether it is the thread that was met under this identifier, and not another one after its end.
    pub(super) fn is_known(&self, py: Python<'_>, ident: u64) -> bool {
        let Some(thread) = self.known.get(&ident) else { return false };
        match (&thread.owner, self.owner(py, ident)) {
            (Some(one), Some(other)) => one.is(&other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// What the kernel calls a thread, if Python knows.
    pub(super) fn number(&self, ident: u64) -> Option<u32> {
        self.known.get(&ident)?.number?.try_into().ok()
    }

    /// Forgets those that were not seen in this round.
    pub(super) fn forget_all_before(&mut self, round: u64) {
        self.known.retain(|_, thread| thread.round >= round);
    }

    fn owner(&self, py: Python<'_>, ident: u64) -> Option<Py<PyAny>> {
        self.active.as_ref()?.bind(py).get_item(ident).ok().flatten().map(Bound::unbind)
    }

    fn met(
        &self,
        py: Python<'_>,
        profile: &mut Profile,
        (ident, number): (u64, Option<i64>),
        wall: Instant,
    ) -> Thread {
        let owner = self.owner(py, ident);
        let attribute = |name| owner.as_ref().and_then(|owner| owner.bind(py).getattr(name).ok());
        let name = attribute("name").map_or_else(|| format!("thread {ident}"), |name| name.to_string());
        let number = number.or_else(|| attribute("native_id")?.extract().ok());
        let clock =
            number.filter(|_| cfg!(target_os = "linux")).map(|number| (!number << 3) | CLOCK_OF_THREAD);
        let cpu_ns = clock.and_then(|clock| read(py, &self.read_clock, clock)).unwrap_or(0);
        let track = profile.track(&name, Kind::Thread);
        let delays = number.filter(|_| clock.is_some()).and_then(Delays::of);
        Thread { owner, track, number, clock, wall, cpu_ns, delays, pause: Pause::Elsewhere, round: 0 }
    }
}

impl Thread {
    /// What it waited for, of the time since it was last seen, and for how long.
    fn waited(&mut self, pause: Pause, passed: Weight) -> Option<(Wait, u64)> {
        let before = std::mem::replace(&mut self.pause, pause);
        // Whether it was asked now or not, the delays of next time begin here.
        let delayed_ns = self.delays.as_mut().and_then(Delays::passed_ns);
        let idle_ns = passed.wall_ns.saturating_sub(passed.cpu_ns);
        let (wait, waited_ns) = match pause {
            Pause::Lock => (Wait::Lock, idle_ns),
            // Twice in a row: else it may have slept nearly all the time, and begun to work just now.
            Pause::Switch if before == Pause::Switch => {
                (Wait::Interpreter, idle_ns.saturating_sub(delayed_ns?))
            }
            _ => return None,
        };
        self.clock.filter(|_| waited_ns > 0).map(|_| (wait, waited_ns))
    }
}

/// `None` for a thread that has ended.
fn read(py: Python<'_>, read_clock: &Py<PyAny>, clock: i64) -> Option<u64> {
    read_clock.bind(py).call1((clock,)).ok()?.extract().ok()
}

/// What `sys._current_frames` gives now.
pub(super) fn current_frames<'py>(current_frames: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    Ok(current_frames.call0()?.cast_into::<PyDict>()?)
}

/// What keeps Python's collector from running: what it finds has finalizers that do not belong into this thread.
pub(super) struct Collector {
    is_enabled: Py<PyAny>,
    disable: Py<PyAny>,
    enable: Py<PyAny>,
}

impl Collector {
    pub(super) fn new(py: Python<'_>) -> PyResult<Self> {
        let gc = py.import("gc")?;
        let function = |name: &Bound<'_, pyo3::types::PyString>| gc.getattr(name).map(Bound::unbind);
        Ok(Self {
            is_enabled: function(intern!(py, "isenabled"))?,
            disable: function(intern!(py, "disable"))?,
            enable: function(intern!(py, "enable"))?,
        })
    }

    /// Does something that neither gives the GIL up nor runs Python, without the collector.
    pub(super) fn held_back<T>(&self, py: Python<'_>, work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
        let was_enabled = self.is_enabled.bind(py).call0()?.is_truthy()?;
        if was_enabled {
            self.disable.bind(py).call0()?;
        }
        let done = work();
        if was_enabled {
            self.enable.bind(py).call0()?;
        }
        done
    }
}
