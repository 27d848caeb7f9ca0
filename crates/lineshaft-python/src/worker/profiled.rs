//! Profiles of attempts: begun with the body, ended with it, and kept with what it has logged.
//!
//! About once a second what was seen so far is written where it survives this process, so that an attempt that is killed
//! leaves it too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lineshaft::worker::Draft;
use lineshaft::worker::profiles::Whose;
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

/// An attempt is being profiled.
pub(super) struct Profiling {
    whose: Arc<Whose>,
    sampler: Sampler,
    garbage: Py<GarbageWatch>,
    began: Instant,
    draft: Arc<Draft>,
}

impl Profiling {
    /// `None` if too many are at the same time, or there is no room for the thread that looks. Frames of files below `own`
    /// are left out.
    pub(super) fn begin(py: Python<'_>, whose: Whose, whom: Whom, own: &str) -> PyResult<Option<Self>> {
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
            native: false,
            tasks,
            event_loop: None,
            own: own.to_owned(),
            ends,
            samplers: PySet::empty(py)?.unbind(),
            so_far: Some(so_far),
        };
        let (sampler, garbage) = (Sampler::begin(py, plan)?, GarbageWatch::begin(py)?);
        Ok(Some(Self { whose, sampler, garbage, began: Instant::now(), draft }))
    }

    /// The attempt was over when it began: nothing is kept.
    pub(super) fn abandon(self, py: Python<'_>) {
        self.sampler.end(py);
        let _ = GarbageWatch::end(&self.garbage, py);
    }

    /// The attempt is over: its profile is kept, waiting for room up to `patience`.
    pub(super) fn end(self, py: Python<'_>, patience: Duration) -> PyResult<()> {
        let Self { whose, sampler, garbage, began, draft } = self;
        let mut profile = sampler.end(py);
        let (wall_ns, times) = GarbageWatch::end(&garbage, py)?;
        profile.collected(wall_ns, times);
        py.detach(|| whose.keep(&profile, began.elapsed(), patience));
        // Now that it is kept.
        drop(draft);
        Ok(())
    }
}
