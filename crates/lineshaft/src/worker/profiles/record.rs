//! A profile of an attempt as one of its logs.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_insight::profile::{Kind, Profile};
use lineshaft_wire::log_record::LOG_ATTACHMENT_BYTES_MAX;
use lineshaft_wire::message::PROFILE_LOGGER;
use lineshaft_wire::{JobId, LogRecord};

use super::Why;
use crate::worker::Attempts;

const INFO: i32 = 20;

/// Whose profile it is.
#[derive(Clone, Debug)]
pub struct Whose {
    /// The slots where the attempt runs.
    pub attempts: Arc<Attempts>,
    /// Its job.
    pub job: JobId,
    /// Its number.
    pub attempt: u32,
    /// The name of the task.
    pub task: Arc<str>,
    /// The name of the worker.
    pub worker: Arc<str>,
    /// The version of the task whose code runs.
    pub version: u32,
    /// Why it is profiled.
    pub why: Why,
}

impl Whose {
    /// The attempt is over: its profile is kept, waiting for room up to `patience`. What was not seen at all, and has no
    /// memory, is kept only where it was asked for.
    pub fn keep(&self, profile: &Profile, took: Duration, patience: Duration) {
        let is_unseen = [Kind::Thread, Kind::Awaiting].iter().all(|kind| profile.total(*kind).samples == 0);
        if !is_unseen || profile.memory_bytes_max() > 0 || self.why == Why::Asked {
            let mut record = self.record(profile, took, true);
            self.attempts.log_waiting(&mut record, patience);
        }
    }

    /// What was seen in the first `took` of the attempt, which goes on.
    pub fn so_far(&self, profile: &Profile, took: Duration) -> LogRecord {
        let mut profile = profile.clone();
        profile.ran(took.as_nanos() as u64);
        self.record(&profile, took, false)
    }

    fn record(&self, profile: &Profile, took: Duration, is_over: bool) -> LogRecord {
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
            message: message(profile, took, is_over).into(),
            fields,
            place: None,
            exception: None,
            attachment: Some(Bytes::from(profile.encode_within(LOG_ATTACHMENT_BYTES_MAX))),
        }
    }
}

/// `profiled 3.20 s, 312 samples: app.py:12 total 71 %, keeps 81.5 KiB: app.py:9`.
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
    if let Some((file, line, one)) = profile.allocations().first().filter(|(_, _, one)| one.bytes > 0) {
        let kib = one.bytes as f64 / 1024.0;
        let _ = write!(text, ", keeps {kib:.1} KiB: {}:{line}", file_name(file));
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
