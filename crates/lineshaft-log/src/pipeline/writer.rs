//! The thread between the ring and the lanes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lane::{Batch, Lane};
use crate::gate::{Gate, HeldBack};
use crate::handler::Handler;
use crate::level::Level;
use crate::record::{Fields, Place, Record, Thread};
use crate::redact::Redaction;
use crate::ring::Ring;
use crate::value::Value;

pub(super) struct Writer {
    pub(super) ring: Arc<Ring>,
    pub(super) lanes: Vec<Arc<Lane>>,
    /// The handlers whose threads are still to be started.
    pub(super) driven: Vec<(Arc<Lane>, Box<dyn Handler>)>,
    pub(super) redaction: Option<Redaction>,
    pub(super) gate: Arc<Gate>,
    pub(super) patience: Duration,
}

/// A lane gets no more records than this at once.
const BATCH_RECORDS: usize = 4_096;
/// How often it is looked for places that were held back and have been silent since.
const REPORTS: Duration = Duration::from_secs(1);
/// So many records of a vector that had many more are kept room for.
const SPARE_RECORDS: usize = 8_192;

impl Writer {
    pub(super) fn run(mut self) {
        let mut spare = Vec::new();
        // Over all turns: records that pass meanwhile do not put it off.
        let mut due = None;
        loop {
            due = if self.gate.is_due() { due.or_else(|| Some(Instant::now() + REPORTS)) } else { None };
            let mut drained = self.ring.drain(std::mem::take(&mut spare), due);
            if drained.is_closed || due.is_some_and(|due| Instant::now() >= due) {
                due = None;
                let held_back = self.gate.take_held_back(drained.is_closed);
                drained.records.extend(held_back.into_iter().filter_map(report_of_place));
            }
            drained.records.extend(report("records were dropped: there was no room", drained.dropped));
            spare = self.pass_on(drained.records, drained.upto);
            if drained.is_closed {
                self.lanes.iter().for_each(|lane| lane.end());
                return;
            }
        }
    }

    /// Gives records to all lanes; gives back an empty vector with room.
    fn pass_on(&mut self, mut records: Vec<Record>, upto: u64) -> Vec<Record> {
        if let Some(redaction) = &mut self.redaction {
            records.iter_mut().for_each(|record| redaction.apply(record));
        }
        let count = records.len();
        let mut rest = records.drain(..);
        let mut passed = 0;
        loop {
            let part: Vec<Record> = rest.by_ref().take(BATCH_RECORDS).collect();
            passed += part.len();
            let is_last = passed == count;
            let batch = Batch::new(part, if is_last { upto } else { 0 });
            for lane in &self.lanes {
                lane.give(batch.clone(), self.patience);
            }
            if is_last {
                break;
            }
        }
        drop(rest);
        records.shrink_to(SPARE_RECORDS);
        records
    }
}

/// What was held back of one place, as a record of that place.
fn report_of_place(held_back: HeldBack) -> Option<Record> {
    let HeldBack { logger, place, count } = held_back;
    let mut record = report("records were held back: their place logs too many", count)?;
    let shown = match &place {
        Some((file, line)) => format!("{file}:{line}"),
        None if logger.is_empty() => "others".to_owned(),
        None => logger.to_string(),
    };
    record.fields.push(("place".into(), shown.into()));
    if !logger.is_empty() {
        record.fields.push(("logger".into(), (*logger).into()));
    }
    record.place = place.map(|(file, line)| Place { file: (*file).into(), line, function: "".into() });
    Some(record)
}

/// What the pipeline has to say itself.
pub(super) fn report(message: &str, count: u64) -> Option<Record> {
    (count > 0).then(|| Record {
        fields: Fields::from([("count".into(), Value::from(count))]),
        thread: Thread { id: 0, name: "lineshaft-log".into() },
        ..Record::here(Level::WARNING, "lineshaft.log", message)
    })
}
