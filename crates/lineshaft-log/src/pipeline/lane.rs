//! The way to one handler.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Progress;
use super::writer::report;
use crate::handler::{Failure, Handler, Spec};
use crate::record::Record;

/// Records that go to every handler.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) records: Arc<[Record]>,
    size_bytes: usize,
    /// How many records were taken into the ring up to the end of it; 0 if more of the same come.
    upto: u64,
}

impl Batch {
    pub(super) fn new(records: Vec<Record>, upto: u64) -> Self {
        let size_bytes = records.iter().map(Record::size_bytes).sum();
        Self { records: records.into(), size_bytes, upto }
    }
}

/// What became of the records of one handler.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneCounts {
    /// Its name.
    pub name: String,
    /// Records that it has taken where they belong.
    pub handled: u64,
    /// Records that went past it while it hung or failed.
    pub lost: u64,
    /// Records that it gave up.
    pub failed: u64,
    /// How often it failed, and was to try again.
    pub retries: u64,
    /// Whether it fails or hangs now.
    pub is_healthy: bool,
}

/// A bounded line of batches, and who they are for.
pub(crate) struct Lane {
    pub(super) spec: Spec,
    line: Mutex<Line>,
    arrived: Condvar,
    room: Condvar,
    done: AtomicU64,
    handled: AtomicU64,
    lost: AtomicU64,
    failed: AtomicU64,
    retries: AtomicU64,
    is_failing: AtomicBool,
    is_stuck: AtomicBool,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Line {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Up to where all is in the line, done or lost.
    upto: u64,
    /// No more batches come.
    has_ended: bool,
    /// Nobody waits for it any more.
    is_closed: bool,
}

/// What waits in a lane at most.
const BYTES_MAX: usize = 16 << 20;
const BATCHES_MAX: usize = 256;
/// Pauses before a handler tries again what failed: the first, and the longest, to which they double.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(5);

impl Lane {
    pub(super) fn new(spec: Spec, progress: Arc<Progress>) -> Self {
        Self {
            spec,
            line: Mutex::default(),
            arrived: Condvar::new(),
            room: Condvar::new(),
            done: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
            progress,
        }
    }

    /// Puts a batch into the line. While it is full it is waited for, but not for one that fails, nor without progress
    /// for longer than `patience`.
    pub(super) fn give(&self, batch: Batch, patience: Duration) {
        let mut line = self.line();
        if line.is_closed {
            return self.lose(line, &batch);
        }
        let mut until = Instant::now() + patience;
        let mut length = line.batches.len();
        while line.bytes > 0
            && (line.bytes + batch.size_bytes > BYTES_MAX || line.batches.len() >= BATCHES_MAX)
        {
            if line.batches.len() < length {
                until = Instant::now() + patience;
                length = line.batches.len();
            }
            let wait = until.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                self.is_stuck.store(true, Ordering::Relaxed);
            }
            if !self.is_healthy() {
                return self.lose(line, &batch);
            }
            line = self.room.wait_timeout(line, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        line.upto = line.upto.max(batch.upto);
        line.bytes += batch.size_bytes;
        line.batches.push_back(batch);
        self.arrived.notify_one();
    }

    fn lose(&self, mut line: MutexGuard<'_, Line>, batch: &Batch) {
        let lost = batch.records.iter().filter(|record| self.spec.wants(record)).count() as u64;
        self.lost.fetch_add(lost, Ordering::Relaxed);
        line.upto = line.upto.max(batch.upto);
    }

    /// No more batches come.
    pub(super) fn end(&self) {
        self.line().has_ended = true;
        self.arrived.notify_all();
        self.progress.ring();
    }

    /// Nobody waits for what is still in the line.
    pub(super) fn close(&self) {
        let mut line = self.line();
        (line.has_ended, line.is_closed) = (true, true);
        drop(line);
        self.arrived.notify_all();
        self.room.notify_all();
        self.progress.ring();
    }

    /// The next batch, after waiting for it; `None` when there will be none, or when `timeout` is over.
    pub(super) fn next(&self, timeout: Option<Duration>) -> Option<Batch> {
        let until = timeout.map(|timeout| Instant::now() + timeout);
        let mut line = self.line();
        loop {
            if line.is_closed {
                return None;
            }
            if let Some(batch) = line.batches.front() {
                return Some(batch.clone());
            }
            if line.has_ended {
                return None;
            }
            let wait = until
                .map_or(Duration::from_secs(3_600), |until| until.saturating_duration_since(Instant::now()));
            if wait.is_zero() {
                return None;
            }
            line = self.arrived.wait_timeout(line, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether there will never be another batch.
    pub(super) fn is_over(&self) -> bool {
        let line = self.line();
        line.is_closed || (line.has_ended && line.batches.is_empty())
    }

    /// Lets go of the batch in front, of which so many records were handled and so many given up.
    pub(super) fn finish(&self, handled: u64, failed: u64) {
        self.handled.fetch_add(handled, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
        let mut line = self.line();
        let Some(batch) = line.batches.pop_front() else { return };
        line.bytes -= batch.size_bytes;
        let done = if line.batches.is_empty() { line.upto } else { batch.upto };
        self.done.fetch_max(done, Ordering::Release);
        drop(line);
        self.is_stuck.store(false, Ordering::Relaxed);
        self.room.notify_all();
        self.progress.ring();
    }

    /// Up to where all is done, or lost.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    pub(super) fn is_healthy(&self) -> bool {
        !self.is_failing.load(Ordering::Relaxed) && !self.is_stuck.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> LaneCounts {
        LaneCounts {
            name: self.spec.name.clone(),
            handled: self.handled.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            is_healthy: self.is_healthy(),
        }
    }

    /// Takes batches to a handler until no more come.
    pub(super) fn drive(&self, mut handler: Box<dyn Handler>) {
        let (mut told, mut reported) = (false, 0);
        while let Some(batch) = self.next(None) {
            let wanted: Vec<&Record> =
                batch.records.iter().filter(|record| self.spec.wants(record)).collect();
            let (handled, failed) = self.hand_over(&mut *handler, &wanted, &mut told);
            self.finish(handled, failed);
            let lost = self.lost.load(Ordering::Relaxed);
            let lost_now = report("records were lost: this handler hung or failed", lost - reported);
            if let Some(record) = lost_now.filter(|_| self.is_healthy()) {
                reported = lost;
                self.hand_over(&mut *handler, &[&record], &mut told);
            }
        }
    }

    /// Has records handled, again and again if need be; how many were, and how many were given up.
    fn hand_over(&self, handler: &mut dyn Handler, records: &[&Record], told: &mut bool) -> (u64, u64) {
        let (mut rest, mut failed, mut pause) = (records, 0, PAUSE_FIRST);
        while let Err(failure) = once(handler, rest) {
            rest = &rest[failure.done.min(rest.len())..];
            if !std::mem::replace(told, true) {
                say(&format!("the log handler {} failed: {}", self.spec.name, failure.reason));
            }
            if failure.is_final {
                failed += u64::from(!rest.is_empty());
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            self.is_failing.store(true, Ordering::Relaxed);
            self.retries.fetch_add(1, Ordering::Relaxed);
            self.room.notify_all();
            if self.is_closed_after(pause) {
                return ((records.len() - rest.len()) as u64 - failed, failed + rest.len() as u64);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        if self.is_failing.swap(false, Ordering::Relaxed) {
            say(&format!("the log handler {} works again", self.spec.name));
            *told = false;
        }
        (records.len() as u64 - failed, failed)
    }

    fn is_closed_after(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut line = self.line();
        while !line.is_closed {
            let wait = until.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return false;
            }
            line = self.arrived.wait_timeout(line, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handler that panics has given up the record it was given.
fn once(handler: &mut dyn Handler, records: &[&Record]) -> Result<(), Failure> {
    if records.is_empty() {
        return Ok(());
    }
    let call = std::panic::AssertUnwindSafe(|| handler.handle(records));
    std::panic::catch_unwind(call)
        .unwrap_or_else(|_| Err(Failure { done: 0, is_final: true, reason: "it panicked".to_owned() }))
}

/// To standard error, where handlers that fail are reported.
fn say(text: &str) {
    let _ = crate::handler::write_stderr(format!("lineshaft: {text}\n").as_bytes());
}
