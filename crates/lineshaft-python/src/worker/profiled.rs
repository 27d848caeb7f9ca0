//! Profiles of attempts: begun with the body, ended with it, and kept with what it has logged.
//!
//! About once a second what was seen so far is written where it survives this process, so that an attempt that is killed
//! leaves it too.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft::worker::{Attempts, Draft};
use lineshaft_insight::profile::{Kind, Profile};
use lineshaft_wire::log_record::LOG_ATTACHMENT_BYTES_MAX;
use lineshaft_wire::message::PROFILE_LOGGER;
use lineshaft_wire::{JobId, LogRecord};
use pyo3::prelude::*;
use pyo3::types::PySet;

use crate::profile::{Ends, GarbageWatch, Plan, Sampler, SoFar};

/// Looks a second.
const HZ: f64 = 100.0;
const INFO: i32 = 20;

/// Why an attempt is profiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It was asked for, by its call or for the next attempts of its task.
    Asked,
    /// It is one of the share that its task says.
    Share,
    /// It runs longer than nearly all of its task before.
    Slow,
}

impl Why {
    const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Share => "share",
            Self::Slow => "slow",
        }
    }
}

/// Whose profile it is.
#[derive(Clone)]
pub(super) struct Whose {
    pub(super) attempts: Arc<Attempts>,
    pub(super) job: JobId,
    pub(super) attempt: u32,
    pub(super) task: Arc<str>,
    pub(super) worker: Arc<str>,
    /// The version of the task whose code runs.
    pub(super) version: u32,
    pub(super) why: Why,
}

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
            let record = about.record(profile, took, false);
            kept.write(&record);
        });
        let Whom { thread, tasks } = whom;
        let ends = if tasks.is_some() { Ends::AtStep } else { Ends::AtSlot };
        let plan = Plan {
            period: Duration::from_secs_f64(1.0 / HZ),
            thread: Some(thread),
            entry: None,
            is_all: false,
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

    /// The attempt is over: its profile is kept, waiting for room up to `patience`. What was not seen at all is kept only
    /// where it was asked for.
    pub(super) fn end(self, py: Python<'_>, patience: Duration) -> PyResult<()> {
        let Self { whose, sampler, garbage, began, draft } = self;
        let mut profile = sampler.end(py);
        let (wall_ns, times) = GarbageWatch::end(&garbage, py)?;
        profile.collected(wall_ns, times);
        let is_empty = [Kind::Thread, Kind::Awaiting].iter().all(|kind| profile.total(*kind).samples == 0);
        if !is_empty || whose.why == Why::Asked {
            py.detach(|| {
                let mut record = whose.record(&profile, began.elapsed(), true);
                whose.attempts.log_waiting(&mut record, patience);
            });
        }
        // Now that it is kept.
        drop(draft);
        Ok(())
    }
}

impl Whose {
    fn record(&self, profile: &Profile, took: Duration, is_over: bool) -> LogRecord {
        let mut profile = profile.clone();
        if !is_over {
            profile.ran(took.as_nanos() as u64);
        }
        let samples = profile.total(Kind::Thread).samples;
        let field = |name: &str, json: String| (name.into(), json.into());
        let mut fields = vec![
            field("version", self.version.to_string()),
            field("samples", samples.to_string()),
            field("seconds", format!("{:.3}", took.as_secs_f64())),
            field("why", format!("\"{}\"", self.why.name())),
        ];
        if !is_over {
            fields.push(field("so_far", "true".to_owned()));
        }
        LogRecord {
            time_us: unix_us(),
            level: INFO,
            job: self.job,
            attempt: self.attempt,
            task: Arc::clone(&self.task),
            worker: Arc::clone(&self.worker),
            logger: PROFILE_LOGGER.into(),
            message: message(&profile, took, is_over).into(),
            fields,
            place: None,
            exception: None,
            attachment: Some(Bytes::from(profile.encode_within(LOG_ATTACHMENT_BYTES_MAX))),
        }
    }
}

/// `profiled 3.20 s, 312 samples: app.py:12 total 71 %`.
fn message(profile: &Profile, took: Duration, is_over: bool) -> String {
    let total = profile.total(Kind::Thread);
    let part = if is_over { "" } else { "the first " };
    let mut text = format!("profiled {part}{:.2} s, {} samples", took.as_secs_f64(), total.samples);
    let share = |wall_ns: u64, whole_ns: u64| 100.0 * wall_ns as f64 / whole_ns.max(1) as f64;
    if let Some(line) = profile.hot_lines(1).first() {
        let share = share(line.own.wall_ns, total.wall_ns);
        let _ = write!(text, ": {}:{} {} {share:.0} %", file_name(line.file), line.line, line.name);
    }
    let awaited = profile.total(Kind::Awaiting).wall_ns;
    let most = profile.hot_functions(usize::MAX).into_iter().max_by_key(|one| one.awaited.wall_ns);
    if let Some(one) = most.filter(|one| one.awaited.wall_ns > 0) {
        let share = share(one.awaited.wall_ns, awaited);
        let _ = write!(text, ", awaited: {} {share:.0} %", one.name);
    }
    text
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn unix_us() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(0)
}
