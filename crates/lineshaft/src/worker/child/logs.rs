//! What attempts log: kept where it survives the process until the server has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lineshaft_ipc::shared::{BACKLOG_BYTES, Backlog, Waiting};
use lineshaft_wire::log_record::{LOG_TEXT_BYTES_MAX, LogRecord};
use lineshaft_wire::message::{AddLogs, LOG_BATCH_MAX};

use super::queue::Shared;

/// Records of one message.
const BATCH_RECORDS: usize = if LOG_BATCH_MAX < 1_024 { LOG_BATCH_MAX } else { 1_024 };
/// Bytes of the fields of a record; of those that come behind only the names of some are kept.
const FIELDS_BYTES_MAX: usize = 64 << 10;
/// Bytes of the name of a logger, a file or a function.
const NAME_BYTES_MAX: usize = 1_024;

/// The records of a child that the server has not confirmed.
#[derive(Debug)]
pub(super) struct Logs {
    backlog: Arc<Backlog>,
    /// Some came since they were sent last.
    is_new: AtomicBool,
    /// The server takes what is sent, as far as is known: it is worth waiting for room.
    flows: AtomicBool,
    /// A copy of it, made by a body's fork, has a process of its own whose records nobody numbers.
    process: u32,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Kept,
    /// It is the first one since they were sent last, or there is little room left: the session is to be woken.
    KeptAndNew,
    /// There is no room, and perhaps soon some.
    Full,
    /// There is none, and the server does not take any; or this process is a copy.
    Dropped,
}

impl Logs {
    pub(super) fn new(backlog: Arc<Backlog>) -> Self {
        let (is_new, flows) = Default::default();
        Self { backlog, is_new, flows, process: std::process::id() }
    }

    fn is_own(&self) -> bool {
        std::process::id() == self.process
    }

    /// Keeps a record, cut to what is kept of one.
    pub(super) fn push(&self, record: &LogRecord) -> Pushed {
        if !self.is_own() {
            return Pushed::Dropped;
        }
        let mut bytes = Vec::with_capacity(256);
        record.encode(&mut bytes);
        let was_new = self.is_new.swap(true, Ordering::AcqRel);
        match self.backlog.push(&bytes) {
            Some(used) if !was_new || used > BACKLOG_BYTES / 2 => Pushed::KeptAndNew,
            Some(_) => Pushed::Kept,
            None if self.flows.load(Ordering::Acquire) => Pushed::Full,
            None => Pushed::Dropped,
        }
    }

    /// Whether some came since [`Self::take`] was asked last.
    pub(super) fn are_new(&self) -> bool {
        self.is_new.load(Ordering::Acquire)
    }

    /// The server is there.
    pub(super) fn attached(&self) {
        self.flows.store(true, Ordering::Release);
    }

    /// What is not confirmed is to be sent once more: the server did not take it, or is gone.
    pub(super) fn again(&self) {
        self.flows.store(false, Ordering::Release);
        self.is_new.store(true, Ordering::Release);
    }

    /// The next ones behind position `sent`; `None` if there are no more.
    pub(super) fn take(&self, sent: Option<u64>) -> Option<Waiting> {
        self.is_new.store(false, Ordering::Release);
        let waiting = self.backlog.waiting(sent, BATCH_RECORDS);
        (!waiting.records.is_empty()).then_some(waiting)
    }

    /// The server has what was taken up to this position.
    pub(super) fn confirmed(&self, end: u64) {
        self.backlog.take_away(end);
        self.flows.store(true, Ordering::Release);
    }
}

/// A record that is not finished: what was written of it last is kept if this process dies.
#[derive(Debug)]
pub struct Draft {
    shared: Arc<Shared>,
    number: usize,
}

impl Draft {
    /// `None` if too many are written at the same time, or this process is a copy that a body made by a fork.
    pub(super) fn begin(shared: &Arc<Shared>) -> Option<Self> {
        let logs = &shared.logs;
        let number = logs.is_own().then(|| logs.backlog.begin_draft()).flatten()?;
        Some(Self { shared: Arc::clone(shared), number })
    }

    /// Replaces what was written before; false if it is too long.
    pub fn write(&self, record: &LogRecord) -> bool {
        let mut bytes = Vec::with_capacity(1_024);
        record.encode(&mut bytes);
        let logs = &self.shared.logs;
        logs.is_own() && logs.backlog.write_draft(self.number, &bytes)
    }
}

/// It is finished.
impl Drop for Draft {
    fn drop(&mut self) {
        let logs = &self.shared.logs;
        if logs.is_own() {
            logs.backlog.end_draft(self.number);
        }
    }
}

/// What waits, as it is sent; records that do not read are left out.
pub(in crate::worker) fn message(worker: u64, child: u32, waiting: &Waiting) -> AddLogs {
    let records = waiting.records.iter().filter_map(|bytes| Some(LogRecord::decode(bytes).ok()?.0));
    AddLogs { worker, child, first: waiting.first, records: records.collect() }
}

/// What a dead child left, drafts included.
pub(in crate::worker) fn left(worker: u64, child: u32, backlog: &Backlog) -> Vec<AddLogs> {
    let mut from = None;
    let mut left = Vec::new();
    // Each batch is behind the one before, so they end with the ring.
    loop {
        let waiting = backlog.waiting(from, BATCH_RECORDS);
        if waiting.records.is_empty() {
            break;
        }
        from = Some(waiting.end);
        left.push(message(worker, child, &waiting));
    }
    let (first, records) = backlog.drafts();
    if !records.is_empty() {
        left.push(message(worker, child, &Waiting { first, records, end: 0 }));
    }
    left
}

/// Cuts what is longer than what is kept.
pub(super) fn shorten(record: &mut LogRecord) {
    shorten_text(&mut record.message, LOG_TEXT_BYTES_MAX);
    if let Some(text) = &mut record.exception {
        shorten_text(text, LOG_TEXT_BYTES_MAX);
    }
    shorten_name(&mut record.logger);
    if let Some(place) = &mut record.place {
        shorten_name(&mut place.file);
        shorten_name(&mut place.function);
    }
    shorten_fields(&mut record.fields);
}

/// Leaves out fields beyond what is kept; a last one names them.
fn shorten_fields(fields: &mut Vec<(Box<str>, Box<str>)>) {
    let mut room = FIELDS_BYTES_MAX;
    let mut left_out = String::new();
    fields.retain(|(name, value)| {
        let length = name.len() + value.len();
        let fits = length <= room;
        if fits {
            room -= length;
        } else if left_out.len() + name.len() < NAME_BYTES_MAX {
            left_out.push_str(if left_out.is_empty() { "" } else { ", " });
            left_out.push_str(name);
        } else if !left_out.ends_with("...") {
            left_out.push_str("...");
        }
        fits
    });
    if !left_out.is_empty() {
        fields.push(("left_out".into(), serde_json::Value::from(left_out).to_string().into()));
    }
}

fn shorten_name(name: &mut Arc<str>) {
    if name.len() > NAME_BYTES_MAX {
        let mut text: Box<str> = (&**name).into();
        shorten_text(&mut text, NAME_BYTES_MAX);
        *name = text.into();
    }
}

fn shorten_text(text: &mut Box<str>, bytes_max: usize) {
    const CUT: &str = " [cut]";
    if text.len() > bytes_max {
        let most = bytes_max - CUT.len();
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        *text = format!("{}{CUT}", &text[..end]).into();
    }
}

#[cfg(test)]
mod tests {
    use lineshaft_ipc::shared::AttemptPage;
    use lineshaft_wire::JobId;

    use super::*;
    use crate::worker::Kind;

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
            attachment: None,
        }
    }

    fn messages(logs: &Logs) -> Vec<String> {
        let all = left(7, 1, &logs.backlog).into_iter().flat_map(|batch| batch.records);
        all.map(|record| record.message.into_string()).collect()
    }

    #[test]
    fn what_was_not_confirmed_is_left_with_its_numbers() {
        let logs = Logs::new(Arc::new(Backlog::create().unwrap()));
        let pushed = ["one", "two", "three"].map(|text| logs.push(&record(text)));
        assert_eq!(pushed, [Pushed::KeptAndNew, Pushed::Kept, Pushed::Kept]);
        let taken = logs.take(None).unwrap();
        assert_eq!((taken.first, taken.records.len(), logs.are_new()), (1, 3, false));
        assert!(logs.take(Some(taken.end)).is_none());
        logs.confirmed(taken.end);
        assert_eq!(logs.push(&record("four")), Pushed::KeptAndNew);
        let batches = left(7, 1, &logs.backlog);
        assert_eq!((batches.len(), batches[0].first), (1, 4));
        assert_eq!(messages(&logs), ["four"]);
    }

    #[test]
    fn a_draft_is_left_as_it_was_written_last_until_it_is_finished() {
        let page = Arc::new(AttemptPage::create(1).unwrap());
        let backlog = Arc::new(Backlog::create().unwrap());
        let shared = Arc::new(Shared::new(page, Kind::Process, backlog, "worker".into()));
        let (Some(one), Some(other)) = (Draft::begin(&shared), Draft::begin(&shared)) else {
            panic!("no room")
        };
        shared.logs.push(&record("before"));
        assert!(one.write(&record("one, first")) && one.write(&record("one, then")));
        assert!(other.write(&record("other")));
        assert_eq!(messages(&shared.logs), ["before", "one, then", "other"]);
        assert_eq!(left(7, 1, &shared.logs.backlog)[1].first, 2);
        drop(one);
        assert_eq!(messages(&shared.logs), ["before", "other"]);
    }

    #[test]
    fn what_has_no_room_is_waited_for_only_while_the_server_takes_it() {
        let logs = Logs::new(Arc::new(Backlog::create().unwrap()));
        let mut long = record(&"x".repeat(LOG_TEXT_BYTES_MAX + 10));
        shorten(&mut long);
        let pushed: Vec<Pushed> = (0..20).map(|_| logs.push(&long)).collect();
        assert_eq!((pushed[14], pushed[19]), (Pushed::KeptAndNew, Pushed::Dropped));
        let kept = messages(&logs);
        assert!(kept.iter().all(|text| text.len() == LOG_TEXT_BYTES_MAX && text.ends_with(" [cut]")));
        logs.confirmed(0);
        assert_eq!(logs.push(&long), Pushed::Full);
        logs.again();
        assert_eq!(logs.push(&long), Pushed::Dropped);
    }

    #[test]
    fn what_is_left_out_of_a_record_is_named() {
        let mut long = record("short");
        long.logger = "x".repeat(300_000).into();
        let field = |name: &str, length| (name.into(), "y".repeat(length).into());
        long.fields = vec![field("a", 60_000), field("b", 60_000), field("c", 100_000), field("d", 10)];
        shorten(&mut long);
        let names: Vec<&str> = long.fields.iter().map(|(name, _)| &**name).collect();
        assert_eq!((names, &*long.fields[2].1), (vec!["a", "d", "left_out"], "\"b, c\""));
        let mut bytes = Vec::new();
        long.encode(&mut bytes);
        assert!(bytes.len() < 100_000, "{}", bytes.len());
    }
}
