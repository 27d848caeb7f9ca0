//! The thread of a handler, from its lane to where records belong.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::lane::{BYTES_MAX, Batch, Lane};
use super::writer::report;
use crate::format::neutral;
use crate::handler::{Failure, Gathering, Handler, say};
use crate::record::Record;

/// Pauses before a handler tries again what failed: the first, and the longest, to which they double.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The longest near the end.
pub(super) const PAUSE_LAST: Duration = Duration::from_millis(100);

/// What standard error has been told of a handler: once of what it refused, once of each time that it failed,
/// and once of its form.
#[derive(Default)]
struct Told {
    of_refusal: bool,
    of_failure: bool,
    of_format: bool,
}

impl Lane {
    /// Takes batches to a handler until no more come.
    pub(super) fn drive(&self, mut handler: Box<dyn Handler>) {
        let mut told = Told::default();
        while let Some(batches) = self.gather(handler.gathering()) {
            let wanted: Vec<&Record> = batches.iter().flat_map(|batch| self.wanted(batch)).collect();
            let (handled, failed) = self.hand_over(&mut *handler, &wanted, &mut told);
            self.look_at_format(&*handler, &mut told);
            self.finish(batches.len(), handled, failed);
            let lost = self.lost.load(Ordering::Relaxed);
            let lost_now = lost - self.lost_told.load(Ordering::Relaxed);
            let lost_now = report("records were lost: this handler hung or failed", lost_now);
            if let Some(record) = lost_now.filter(|_| self.gets_on()) {
                self.lost_told.store(lost, Ordering::Relaxed);
                self.hand_over(&mut *handler, &[&record], &mut told);
            }
        }
    }

    /// Has records handled, again and again if need be; how many were, and how many were given up.
    fn hand_over(&self, handler: &mut dyn Handler, records: &[&Record], told: &mut Told) -> (u64, u64) {
        let (mut rest, mut failed, mut pause) = (records, 0, PAUSE_FIRST);
        while let Err(failure) = once(handler, rest) {
            rest = &rest[failure.done.min(rest.len())..];
            // One that gets on is asked again soon, and is no failing one if it stumbles now and then.
            let gets_on = failure.done > 0;
            if gets_on {
                pause = PAUSE_FIRST;
                self.is_failing.store(false, Ordering::Relaxed);
                self.is_not_late();
            }
            self.under_way.store((records.len() - rest.len()) as u64, Ordering::Relaxed);
            let known = if failure.refused > 0 { &mut told.of_refusal } else { &mut told.of_failure };
            if !std::mem::replace(known, true) {
                say(&format!("the log handler {} failed: {}", self.spec.name, failure.reason));
            }
            if failure.refused > 0 {
                let refused = failure.refused.min(rest.len());
                failed += refused as u64;
                rest = &rest[refused..];
                continue;
            }
            if !gets_on {
                self.is_failing.store(true, Ordering::Relaxed);
            }
            if gets_on || handler.is_reachable() {
                self.unreached.store(0, Ordering::Relaxed);
            } else {
                self.unreached.fetch_add(1, Ordering::Relaxed);
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            self.room.notify_all();
            if self.is_closed_after(pause) {
                return ((records.len() - rest.len()) as u64 - failed, failed + rest.len() as u64);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        self.is_failing.store(false, Ordering::Relaxed);
        if told.of_failure {
            say(&format!("the log handler {} works again", self.spec.name));
            *told = Told { of_format: told.of_format, ..Told::default() };
        }
        (records.len() as u64 - failed, failed)
    }

    fn look_at_format(&self, handler: &dyn Handler, told: &mut Told) {
        let (count, reason) = handler.unformatted();
        self.unformatted.store(count, Ordering::Relaxed);
        if count > 0 && !std::mem::replace(&mut told.of_format, true) {
            let mut shown = Vec::new();
            neutral::push(&mut shown, reason);
            let reason = String::from_utf8_lossy(&shown);
            let name = &self.spec.name;
            say(&format!(
                "the format of the log handler {name} failed: {reason}; such records are written as text"
            ));
        }
    }

    fn is_closed_after(&self, pause: Duration) -> bool {
        let began = Instant::now();
        let mut line = self.line();
        while !line.is_closed {
            let now = Instant::now();
            let is_last = line.hurries_until.is_some_and(|until| now < until);
            let until = began + if is_last { pause.min(PAUSE_LAST) } else { pause };
            let wait = until.saturating_duration_since(now);
            if wait.is_zero() {
                return false;
            }
            line = self.arrived.wait_timeout(line, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// The next batches for a handler that wants more than one: as many as it takes at once, or as came in that time.
    fn gather(&self, gathering: Option<Gathering>) -> Option<Vec<Batch>> {
        let mut batches = vec![self.next(None)?];
        let Some(wanted) = gathering else { return Some(batches) };
        let until = Instant::now() + wanted.age;
        let mut records = self.wanted(&batches[0]).count();
        let mut bytes = batches[0].size_bytes;
        while records > 0
            && records < wanted.records
            && bytes < wanted.bytes.min(BYTES_MAX / 2)
            && let Some(batch) = self.at(batches.len(), Some(until))
        {
            records += self.wanted(&batch).count();
            bytes += batch.size_bytes;
            batches.push(batch);
        }
        Some(batches)
    }
}

/// A handler that panics has given up the record it was given.
fn once(handler: &mut dyn Handler, records: &[&Record]) -> Result<(), Failure> {
    if records.is_empty() {
        return Ok(());
    }
    let call = std::panic::AssertUnwindSafe(|| handler.handle(records));
    std::panic::catch_unwind(call)
        .unwrap_or_else(|_| Err(Failure { done: 0, refused: 1, reason: "it panicked".to_owned() }))
}
