//! What one attempt logs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lineshaft::worker::profiles::{Whose, Why};
use lineshaft::worker::{Attempts, Job};
use lineshaft_log::{Fields, Record, Value, carried};
use lineshaft_wire::{JobId, LogPlace, LogRecord};
use pyo3::prelude::*;

use crate::logging::context_is_used;

/// Bytes of texts that are kept of one attempt.
const BYTES_MAX: u64 = 1 << 20;
/// What a record counts for beside its texts.
const RECORD_BYTES: u64 = 50;
/// How long who logs waits for room while the server takes what was logged before.
const PATIENCE: Duration = Duration::from_secs(1);

/// The records of an attempt, kept with its job.
pub(crate) struct Logged {
    attempts: Arc<Attempts>,
    job: JobId,
    number: u32,
    task: Arc<str>,
    worker: Arc<str>,
    /// What each of them carries: made when there is one.
    fields: OnceLock<Fields>,
    /// The context of the job, and its fields.
    context: Option<Arc<str>>,
    context_fields: OnceLock<Fields>,
    bytes: AtomicU64,
    /// Those for which there was no room, since it was said last.
    dropped: AtomicU64,
}

impl Logged {
    pub(super) fn new(attempts: Arc<Attempts>, job: &Job) -> Self {
        let (task, worker) = attempts.names_of(job);
        let (fields, context_fields, bytes, dropped) = Default::default();
        let (number, context) = (job.attempt, job.context.clone());
        if context.is_some() {
            context_is_used();
        }
        Self { attempts, job: job.id, number, task, worker, fields, context, context_fields, bytes, dropped }
    }

    /// The attempt, for its profile.
    pub(super) fn whose(&self, version: u32, why: Why) -> Whose {
        let (attempts, task, worker) =
            (Arc::clone(&self.attempts), Arc::clone(&self.task), Arc::clone(&self.worker));
        Whose { attempts, job: self.job, attempt: self.number, task, worker, version, why }
    }

    /// What each of its records carries.
    pub(crate) fn fields(&self) -> &Fields {
        self.fields.get_or_init(|| {
            vec![
                ("job".into(), self.job.to_string().into()),
                ("attempt".into(), i64::from(self.number).into()),
                ("task".into(), Value::from(&*self.task)),
                ("worker".into(), Value::from(&*self.worker)),
            ]
        })
    }

    /// The context of the job.
    pub(crate) fn context(&self) -> Option<&Arc<str>> {
        self.context.as_ref()
    }

    /// Its fields.
    pub(crate) fn context_fields(&self) -> &Fields {
        self.context_fields.get_or_init(|| self.context.as_deref().map(carried).unwrap_or_default())
    }

    /// Keeps a record. What comes beyond [`BYTES_MAX`] is left out, which the last one says; what there was no room for is
    /// counted, which the next one says.
    pub(crate) fn keep(&self, py: Python<'_>, record: &Record) {
        if self.bytes.load(Ordering::Relaxed) > BYTES_MAX {
            return;
        }
        let mut kept = self.kept(record);
        let bytes = bytes_of(&kept);
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > BYTES_MAX {
            let message = &kept.message;
            kept.message =
                format!("{message} [the attempt has logged more than 1 MiB; what follows is left out]")
                    .into();
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            kept.fields.push(("dropped_before".into(), dropped.to_string().into()));
        }
        let is_kept = match self.attempts.log(&mut kept) {
            Some(is_kept) => is_kept,
            // Without the interpreter, which others need.
            None => py.detach(|| self.attempts.log_waiting(&mut kept, PATIENCE)),
        };
        if !is_kept {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }

    fn kept(&self, record: &Record) -> LogRecord {
        let fields = record.fields.iter().filter(|field| !self.fields().contains(field));
        let place = record.place.as_ref().map(|place| LogPlace {
            file: Arc::clone(&place.file),
            line: place.line,
            function: Arc::clone(&place.function),
        });
        LogRecord {
            time_us: u64::try_from(record.time_ns / 1_000).unwrap_or(0),
            level: record.level.0,
            job: self.job,
            attempt: self.number,
            task: Arc::clone(&self.task),
            worker: Arc::clone(&self.worker),
            logger: Arc::clone(&record.logger),
            message: record.message.clone(),
            fields: fields.map(|(key, value)| ((**key).into(), value.to_json().into())).collect(),
            place,
            exception: record.exception.clone(),
            attachment: None,
        }
    }
}

fn bytes_of(record: &LogRecord) -> u64 {
    let fields: usize = record.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    let texts = record.message.len() + fields + record.exception.as_ref().map_or(0, |text| text.len());
    texts as u64 + RECORD_BYTES
}
