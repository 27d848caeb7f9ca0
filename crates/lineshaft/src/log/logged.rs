//! What one attempt logs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lineshaft_log::{Fields, Record, Value, carried};
use lineshaft_wire::log_record::LOG_TEXT_BYTES_MAX;
use lineshaft_wire::{JobId, LogPlace, LogRecord};

use crate::worker::{Attempts, Job};

/// Bytes of texts that are kept of one attempt.
const BYTES_MAX: u64 = 1 << 20;
/// What a record counts for beside its texts.
const RECORD_BYTES: u64 = 50;
/// How long who logs waits for room while the server takes what was logged before.
const PATIENCE: Duration = Duration::from_secs(1);

/// The records of an attempt, kept with its job.
#[derive(Debug)]
pub struct Logged {
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

/// A record for which there is no room, and soon some.
#[derive(Debug)]
#[must_use = "it is lost if nobody waits for room"]
pub struct Unkept {
    record: LogRecord,
    /// How many records before it had none.
    dropped: u64,
}

impl Logged {
    /// Those of the attempt of `job` in these slots.
    pub fn new(attempts: Arc<Attempts>, job: &Job) -> Self {
        let (task, worker) = attempts.names_of(job);
        Self::of(attempts, (job.id, job.attempt), (task, worker), job.context.clone())
    }

    pub(crate) fn of(
        attempts: Arc<Attempts>,
        (job, number): (JobId, u32),
        (task, worker): (Arc<str>, Arc<str>),
        context: Option<Arc<str>>,
    ) -> Self {
        let (fields, context_fields, bytes, dropped) = Default::default();
        Self { attempts, job, number, task, worker, fields, context, context_fields, bytes, dropped }
    }

    /// The slots where it runs.
    pub fn attempts(&self) -> &Arc<Attempts> {
        &self.attempts
    }

    /// Its job, and its number.
    pub fn attempt(&self) -> (JobId, u32) {
        (self.job, self.number)
    }

    /// The names of its task and of its worker.
    pub fn names(&self) -> (&Arc<str>, &Arc<str>) {
        (&self.task, &self.worker)
    }

    /// The context of the job: a JSON object.
    pub fn context(&self) -> Option<&Arc<str>> {
        self.context.as_ref()
    }

    /// Its fields.
    pub fn context_fields(&self) -> &Fields {
        self.context_fields.get_or_init(|| self.context.as_deref().map(carried).unwrap_or_default())
    }

    /// What each of its records carries besides.
    pub fn fields(&self) -> &Fields {
        self.fields.get_or_init(|| {
            vec![
                ("job".into(), self.job.to_string().into()),
                ("attempt".into(), i64::from(self.number).into()),
                ("task".into(), Value::from(&*self.task)),
                ("worker".into(), Value::from(&*self.worker)),
            ]
        })
    }

    /// Keeps a record, in which nothing is secret any more. What comes beyond a MiB is left out, which the last one says;
    /// what there was no room for is counted, which the next one says.
    pub fn keep(&self, record: &Record) -> Option<Unkept> {
        if self.bytes.load(Ordering::Relaxed) > BYTES_MAX {
            return None;
        }
        let mut kept = self.kept(record);
        let bytes = bytes_of(&kept);
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > BYTES_MAX {
            kept.message = with_note(&kept.message, LOG_TEXT_BYTES_MAX).into();
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            kept.fields.push(("dropped_before".into(), dropped.to_string().into()));
        }
        match self.attempts.log(&mut kept) {
            Some(is_kept) => {
                self.count(dropped, is_kept);
                None
            }
            None => Some(Unkept { record: kept, dropped }),
        }
    }

    /// Waits for room, up to a second.
    pub fn wait(&self, unkept: Unkept) {
        let Unkept { mut record, dropped } = unkept;
        let is_kept = self.attempts.log_waiting(&mut record, PATIENCE);
        self.count(dropped, is_kept);
    }

    fn count(&self, dropped_before: u64, is_kept: bool) {
        if !is_kept {
            self.dropped.fetch_add(dropped_before + 1, Ordering::Relaxed);
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

/// A message with what is said of the end, so that both fit.
fn with_note(message: &str, bytes_max: usize) -> String {
    const NOTE: &str = " [the attempt has logged more than 1 MiB; what follows is left out]";
    const CUT: &str = " [cut]";
    if message.len() + NOTE.len() <= bytes_max {
        return format!("{message}{NOTE}");
    }
    let mut end = bytes_max - NOTE.len() - CUT.len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT}{NOTE}", &message[..end])
}

fn bytes_of(record: &LogRecord) -> u64 {
    let fields: usize = record.fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    let texts = record.message.len() + fields + record.exception.as_ref().map_or(0, |text| text.len());
    texts as u64 + RECORD_BYTES
}
