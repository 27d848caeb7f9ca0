//! Profiles of attempts: begun with the body, ended with it, and kept with what it has logged.
//!
//! Which lines keep memory is asked when the body is over and its outcome is encoded: what it returned or raised is no longer
//! there then, at least where no loop holds it. The outcome is told afterwards, so that the profile is there when that is.
//!
//! About once a second what was seen so far is written where it survives this process, so that an attempt that is killed
//! leaves it too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft::worker::Draft;
use lineshaft::worker::profiles::{Whose, Why};
use lineshaft_insight::profile::{Allocation, Profile};
use lineshaft_wire::Looks;
use pyo3::prelude::*;
use pyo3::types::PySet;

use crate::profile::{Ends, GarbageWatch, Plan, Sampler, SoFar};

/// Looks a second.
const HZ: f64 = 100.0;

/// What is looked at.
pub(super) struct Whom {
    /// A thread.
    pub(super) thread: u64,
    /// What that does in these tasks of its loop, if it has one.
    pub(super) tasks: Option<Py<PySet>>,
}

/// Why an attempt is profiled, and how it is looked at.
pub(super) type Wanted = (Why, Looks);

/// An attempt is being profiled.
pub(super) struct Profiling {
    whose: Arc<Whose>,
    sampler: Sampler,
    garbage: Py<GarbageWatch>,
    /// Where that is wanted and can be had.
    memory: Option<Memory>,
    began: Instant,
    draft: Arc<Draft>,
}

/// What was seen of an attempt whose body is over.
pub(super) struct Seen {
    whose: Arc<Whose>,
    profile: Profile,
    took: Duration,
    memory: Option<Memory>,
    draft: Arc<Draft>,
}

/// A `Watch` of `_profile/_memory.py`, which is let go of whatever becomes of its attempt: it would let the whole process
/// be traced for ever.
struct Memory(Py<PyAny>);

impl Profiling {
    /// `None` if too many are at the same time, or there is no room for the thread that looks. Frames of files below `own`
    /// are left out.
    pub(super) fn begin(
        py: Python<'_>,
        whose: Whose,
        whom: Whom,
        looks: Looks,
        own: &str,
    ) -> PyResult<Option<Self>> {
        let Some(draft) = whose.attempts.draft().map(Arc::new) else { return Ok(None) };
        let (whose, kept) = (Arc::new(whose), Arc::clone(&draft));
        let about = Arc::clone(&whose);
        let so_far = SoFar::new(move |profile, took| {
            kept.write(&about.so_far(profile, took));
        });
        let Whom { thread, tasks } = whom;
        let ends = if tasks.is_some() { Ends::AtStep } else { Ends::AtSlot };
        let plan = Plan {
            period: Duration::from_secs_f64(1.0 / HZ),
            thread: Some(thread),
            entry: None,
            is_all: false,
            native: looks.has(Looks::NATIVE),
            tasks,
            event_loop: None,
            own: own.to_owned(),
            ends,
            samplers: PySet::empty(py)?.unbind(),
            so_far: Some(so_far),
        };
        let (sampler, garbage) = (Sampler::begin(py, plan)?, GarbageWatch::begin(py)?);
        // The last, so that none of the others is part of it. Without it the time is still worth knowing.
        let memory = looks.has(Looks::MEMORY).then(|| Memory::begin(py, own)).transpose().ok().flatten();
        Ok(Some(Self { whose, sampler, garbage, memory, began: Instant::now(), draft }))
    }

    /// The attempt was over when it began: nothing is kept.
    pub(super) fn abandon(self, py: Python<'_>) {
        self.sampler.end(py);
        let _ = GarbageWatch::end(&self.garbage, py);
    }

    /// The body is over: its time is known.
    pub(super) fn end(self, py: Python<'_>) -> PyResult<Seen> {
        let Self { whose, sampler, garbage, memory, began, draft } = self;
        let mut profile = sampler.end(py);
        let took = began.elapsed();
        let (wall_ns, times) = GarbageWatch::end(&garbage, py)?;
        profile.collected(wall_ns, times);
        Ok(Seen { whose, profile, took, memory, draft })
    }
}

impl Seen {
    /// Its outcome is encoded, too: the profile is kept, waiting for room up to `patience`.
    pub(super) fn keep(self, py: Python<'_>, patience: Duration) {
        let Self { whose, mut profile, took, memory, draft } = self;
        if let Some(memory) = memory
            && let Err(error) = memory.end(py, &mut profile)
        {
            error.write_unraisable(py, None);
        }
        py.detach(|| whose.keep(&profile, took, patience));
        // Now that it is kept.
        drop(draft);
    }
}

impl Memory {
    /// What lines of files outside of `own` allocate from now on.
    fn begin(py: Python<'_>, own: &str) -> PyResult<Self> {
        let watch = py.import("lineshaft._profile._memory")?.getattr("Watch")?;
        watch.call1((own,)).map(|watch| Self(watch.unbind()))
    }

    /// Adds the lines whose memory is still there.
    fn end(&self, py: Python<'_>, profile: &mut Profile) -> PyResult<()> {
        let found = self.0.call_method0(py, "end")?;
        let (rows, bytes_max): (Vec<(String, u32, i64, i64)>, u64) = found.extract(py)?;
        for (file, line, bytes, blocks) in rows {
            profile.allocated(&file, line, Allocation { bytes, blocks });
        }
        profile.peaked(bytes_max);
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // None if Python has ended, and the tracing with it.
        let _ = Python::try_attach(|py| self.0.call_method0(py, "leave").map(drop));
    }
}
