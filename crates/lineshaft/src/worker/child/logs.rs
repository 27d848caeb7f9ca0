//! What attempts log: kept where it survives the process until the server has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use lineshaft_ipc::shared::{BACKLOG_BYTES, Backlog, Waiting};
use lineshaft_wire::log_record::{LOG_TEXT_BYTES_MAX, LogRecord};
use lineshaft_wire::message::{AddLogs, LOG_BATCH_MAX};

/// Records of one message.
const BATCH: usize = if LOG_BATCH_MAX < 1_024 { LOG_BATCH_MAX } else { 1_024 };
/// Bytes of the fields of a record; those that come behind are left out.
const FIELDS_BYTES_MAX: usize = 64 << 10;

/// The records of a child that the server has not confirmed. What comes while there is no room is counted.
#[derive(Debug)]
pub(super) struct Logs {
    backlog: Arc<Backlog>,
    /// Some came since they were sent last.
    is_new: AtomicBool,
    dropped: AtomicU64,
    /// A copy of it, made by a body's fork, has a process of its own whose records nobody numbers.
    process: u32,
}

impl Logs {
    pub(super) fn new(backlog: Arc<Backlog>) -> Self {
        let (is_new, dropped) = Default::default();
        Self { backlog, is_new, dropped, process: std::process::id() }
    }

    /// Keeps a record; whether it is the first one since they were sent last, or there is little room left.
    pub(super) fn push(&self, mut record: LogRecord) -> bool {
        if std::process::id() != self.process {
            return false;
        }
        shorten(&mut record);
        let mut bytes = Vec::with_capacity(256);
        record.encode(&mut bytes);
        if !self.backlog.push(&bytes) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else if self.dropped.load(Ordering::Relaxed) > 0 {
            self.say_dropped(record);
        }
        !self.is_new.swap(true, Ordering::AcqRel)
    }

    /// How many were lost, in the name of the attempt whose record has found room again.
    fn say_dropped(&self, next: LogRecord) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = LogRecord {
            time_us: now.as_micros() as u64,
            level: 30,
            logger: "lineshaft.log".into(),
            message: "records of this process were dropped: the server did not take them in time".into(),
            fields: vec![("count".into(), dropped.to_string().into())],
            place: None,
            exception: None,
            ..next
        };
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        if !self.backlog.push(&bytes) {
            self.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }

    /// Whether some came since [`Self::take`] was asked last.
    pub(super) fn are_new(&self) -> bool {
        self.is_new.load(Ordering::Acquire)
    }

    /// What is not confirmed is to be sent once more.
    pub(super) fn again(&self) {
        self.is_new.store(true, Ordering::Release);
    }

    /// The next ones behind position `sent`; `None` if there are no more.
    pub(super) fn take(&self, sent: Option<u64>) -> Option<Waiting> {
        self.is_new.store(false, Ordering::Release);
        let waiting = self.backlog.waiting(sent, BATCH);
        (!waiting.records.is_empty()).then_some(waiting)
    }

    /// The server has what was taken up to this position.
    pub(super) fn confirmed(&self, end: u64) {
        self.backlog.take_away(end);
    }
}

/// What waits, as it is sent; records that do not read are left out.
pub(in crate::worker) fn message(worker: u64, child: u32, waiting: &Waiting) -> AddLogs {
    let records = waiting.records.iter().filter_map(|bytes| Some(LogRecord::decode(bytes).ok()?.0));
    AddLogs { worker, child, first: waiting.first, records: records.collect() }
}

/// What a dead child left.
pub(in crate::worker) fn left(worker: u64, child: u32, backlog: &Backlog) -> Vec<AddLogs> {
    let mut from = None;
    std::iter::from_fn(|| {
        let waiting = backlog.waiting(from, BATCH);
        from = Some(waiting.end);
        (!waiting.records.is_empty()).then(|| message(worker, child, &waiting))
    })
    .take(BACKLOG_BYTES / BATCH)
    .collect()
}

/// Cuts what is longer than what is kept.
fn shorten(record: &mut LogRecord) {
    shorten_text(&mut record.message);
    if let Some(text) = &mut record.exception {
        shorten_text(text);
    }
    let mut room = FIELDS_BYTES_MAX;
    record.fields.retain(|(name, value)| {
        let length = name.len() + value.len();
        let fits = length <= room;
        room -= if fits { length } else { 0 };
        fits
    });
}

fn shorten_text(text: &mut Box<str>) {
    const CUT: &str = " [cut]";
    if text.len() > LOG_TEXT_BYTES_MAX {
        let most = LOG_TEXT_BYTES_MAX - CUT.len();
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        *text = format!("{}{CUT}", &text[..end]).into();
    }
}

#[cfg(test)]
mod tests {
    use lineshaft_wire::JobId;

    use super::*;

    fn record(message: &str) -> LogRecord {
        LogRecord {
            time_us: 1,
            level: 20,
            job: JobId::direct(1_000, 0, 1, 1),
            attempt: 1,
            task: "shop.send".into(),
            worker: "worker".into(),
            logger: "shop".into(),
            message: message.into(),
            fields: Vec::new(),
            place: None,
            exception: None,
        }
    }

    fn messages(logs: &Logs) -> Vec<String> {
        let all = left(7, 1, &logs.backlog).into_iter().flat_map(|batch| batch.records);
        all.map(|record| record.message.into_string()).collect()
    }

    #[test]
    fn what_was_not_confirmed_is_left_with_its_numbers() {
        let logs = Logs::new(Arc::new(Backlog::create().unwrap()));
        assert_eq!(["one", "two", "three"].map(|text| logs.push(record(text))), [true, false, false]);
        let taken = logs.take(None).unwrap();
        assert_eq!((taken.first, taken.records.len(), logs.are_new()), (1, 3, false));
        assert!(logs.take(Some(taken.end)).is_none());
        logs.confirmed(taken.end);
        assert!(logs.push(record("four")));
        let batches = left(7, 1, &logs.backlog);
        assert_eq!((batches.len(), batches[0].first), (1, 4));
        assert_eq!(messages(&logs), ["four"]);
    }

    #[test]
    fn what_has_no_room_is_counted_and_said() {
        let logs = Logs::new(Arc::new(Backlog::create().unwrap()));
        let long = record(&"x".repeat(LOG_TEXT_BYTES_MAX + 10));
        (0..20).for_each(|_| _ = logs.push(long.clone()));
        let kept = messages(&logs);
        assert!(kept.iter().all(|text| text.len() == LOG_TEXT_BYTES_MAX && text.ends_with(" [cut]")));
        logs.confirmed(logs.take(None).unwrap().end);
        logs.push(record("after"));
        let said = left(7, 1, &logs.backlog).swap_remove(0).records;
        assert_eq!(&*said[0].message, "after");
        assert_eq!(&*said[1].fields[0].1, (20 - kept.len()).to_string());
    }
}
