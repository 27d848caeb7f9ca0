//! The way to one handler.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Progress;
use super::driving::PAUSE_LAST;
use crate::handler::{Spec, say};
use crate::record::Record;

/// Records that go to every handler.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) records: Arc<[Record]>,
    pub(super) size_bytes: usize,
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
    /// Records that the function which is its form failed of, so that they were written as text.
    pub unformatted: u64,
    /// How often it failed, and was to try again.
    pub retries: u64,
    /// Whether it neither hangs nor fails now: false while it tries again what failed, while it gives up all records that
    /// it is given, and after a flush that did not wait longer for it. True again as soon as it has taken a record.
    pub is_healthy: bool,
}

/// A bounded line of batches, and who they are for.
pub(crate) struct Lane {
    pub(super) spec: Spec,
    pub(super) line: Mutex<Line>,
    pub(super) arrived: Condvar,
    pub(super) room: Condvar,
    done: AtomicU64,
    /// Up to where somebody waits for it.
    awaited: AtomicU64,
    handled: AtomicU64,
    pub(super) lost: AtomicU64,
    failed: AtomicU64,
    pub(super) unformatted: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) is_failing: AtomicBool,
    is_stuck: AtomicBool,
    /// A flush has given up to wait for it.
    is_late: AtomicBool,
    /// It was waited for in vain as if it were healthy.
    hangs: AtomicBool,
    /// All of the last records were given up.
    is_refusing: AtomicBool,
    /// Tries in which nobody could be reached, one after the other.
    pub(super) unreached: AtomicU64,
    /// How many of the records that it was handed over last are done, while others of them are not.
    pub(super) under_way: AtomicU64,
    /// How many of those that were lost it was told of.
    pub(super) lost_told: AtomicU64,
    /// Whether standard error knows what it has not taken.
    has_told_end: AtomicBool,
    progress: Arc<Progress>,
}

#[derive(Default)]
pub(super) struct Line {
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Up to where all is in the line, done or lost.
    upto: u64,
    /// Whether somebody waits for room.
    is_crowded: bool,
    /// No more batches come.
    has_ended: bool,
    /// Nobody waits for it any more.
    pub(super) is_closed: bool,
    /// Until then pauses are short, since the end is near.
    pub(super) hurries_until: Option<Instant>,
}

/// What waits in a lane at most.
pub(super) const BYTES_MAX: usize = 16 << 20;
const BATCHES_MAX: usize = 16_384;
/// So many tries in which nobody could be reached are enough, near the end.
const UNREACHED_MAX: u64 = 5;

impl Lane {
    pub(super) fn new(spec: Spec, progress: Arc<Progress>) -> Self {
        Self {
            spec,
            line: Mutex::default(),
            arrived: Condvar::new(),
            room: Condvar::new(),
            done: AtomicU64::new(0),
            awaited: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            unformatted: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            is_stuck: AtomicBool::new(false),
            is_late: AtomicBool::new(false),
            hangs: AtomicBool::new(false),
            is_refusing: AtomicBool::new(false),
            unreached: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            lost_told: AtomicU64::new(0),
            has_told_end: AtomicBool::new(false),
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
            if !self.gets_on() {
                return self.lose(line, &batch);
            }
            line.is_crowded = true;
            self.arrived.notify_all();
            line = self.room.wait_timeout(line, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        line.upto = line.upto.max(batch.upto);
        line.bytes += batch.size_bytes;
        line.batches.push_back(batch);
        self.arrived.notify_one();
    }

    fn lose(&self, mut line: MutexGuard<'_, Line>, batch: &Batch) {
        let lost = self.wanted(batch).count() as u64;
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
        let was_closed = std::mem::replace(&mut line.is_closed, true);
        line.has_ended = true;
        let left = self.left(&line);
        drop(line);
        if left > 0 && !was_closed && !self.has_told_end.swap(true, Ordering::Relaxed) {
            say(&format!(
                "the log handler {} is closed without {left} records that it has not taken",
                self.spec.name
            ));
        }
        self.arrived.notify_all();
        self.room.notify_all();
        self.progress.ring();
    }

    /// The next batch, after waiting for it; `None` when there will be none, or when `timeout` is over.
    pub(super) fn next(&self, timeout: Option<Duration>) -> Option<Batch> {
        self.at(0, timeout.map(|timeout| Instant::now() + timeout))
    }

    /// The batch at a place of the line, after waiting for it until then. One behind others is not waited for while
    /// somebody waits for those, or for their room.
    pub(super) fn at(&self, place: usize, until: Option<Instant>) -> Option<Batch> {
        let mut line = self.line();
        loop {
            if line.is_closed {
                return None;
            }
            if let Some(batch) = line.batches.get(place) {
                return Some(batch.clone());
            }
            let is_awaited = line.is_crowded || self.awaited.load(Ordering::Relaxed) > self.done();
            if line.has_ended || (place > 0 && is_awaited) {
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

    /// The records of a batch that are for this handler.
    pub(super) fn wanted<'a>(&self, batch: &'a Batch) -> impl Iterator<Item = &'a Record> {
        batch.records.iter().filter(|record| self.spec.wants(record))
    }

    /// Somebody waits for what was taken up to there.
    pub(super) fn hurry(&self, upto: u64) {
        if self.awaited.fetch_max(upto, Ordering::Relaxed) < upto {
            // With the lock, so that nobody begins to wait meanwhile.
            drop(self.line());
            self.arrived.notify_all();
        }
    }

    /// Whether there will never be another batch.
    pub(super) fn is_over(&self) -> bool {
        let line = self.line();
        line.is_closed || (line.has_ended && line.batches.is_empty())
    }

    /// Lets go of so many batches in front, of which so many records were handled and so many given up.
    pub(super) fn finish(&self, batches: usize, handled: u64, failed: u64) {
        self.handled.fetch_add(handled, Ordering::Relaxed);
        self.failed.fetch_add(failed, Ordering::Relaxed);
        if handled > 0 || failed > 0 {
            self.is_refusing.store(handled == 0, Ordering::Relaxed);
        }
        let mut line = self.line();
        self.under_way.store(0, Ordering::Relaxed);
        let batches = batches.min(line.batches.len());
        if batches == 0 {
            return;
        }
        let (mut upto, mut bytes) = (0, 0);
        for batch in line.batches.drain(..batches) {
            upto = upto.max(batch.upto);
            bytes += batch.size_bytes;
        }
        line.bytes -= bytes;
        line.is_crowded = false;
        let done = if line.batches.is_empty() { line.upto } else { upto };
        self.done.fetch_max(done, Ordering::Release);
        drop(line);
        self.is_stuck.store(false, Ordering::Relaxed);
        self.is_not_late();
        self.has_told_end.store(false, Ordering::Relaxed);
        self.unreached.store(0, Ordering::Relaxed);
        self.room.notify_all();
        self.progress.ring();
    }

    /// Up to where all is done, or lost.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Acquire)
    }

    /// It is taken to hang until it has done something, and standard error is told what it has not taken.
    pub(super) fn give_up(&self) {
        self.is_stuck.store(true, Ordering::Relaxed);
        let left = self.left(&self.line());
        if left > 0 && !self.has_told_end.swap(true, Ordering::Relaxed) {
            say(&format!(
                "the program ends, and the log handler {} has not taken {left} records",
                self.spec.name
            ));
        }
    }

    /// How many records it has not taken, and those that went past it without its having been told.
    fn left(&self, line: &Line) -> u64 {
        let waiting: usize = line.batches.iter().map(|batch| self.wanted(batch).count()).sum();
        let lost = self.lost.load(Ordering::Relaxed) - self.lost_told.load(Ordering::Relaxed);
        (waiting as u64).saturating_sub(self.under_way.load(Ordering::Relaxed)) + lost
    }

    /// Somebody waits near the end, for so long: pauses are short.
    pub(super) fn hurry_pauses(&self, wait: Duration) {
        let mut line = self.line();
        let now = Instant::now();
        if line.hurries_until.is_none_or(|until| until < now) {
            // It is tried again, however often it was tried before.
            self.unreached.store(0, Ordering::Relaxed);
        }
        line.hurries_until = now.checked_add(wait + PAUSE_LAST);
        drop(line);
        self.arrived.notify_all();
    }

    /// Whether it is not worth to be waited for near the end.
    pub(super) fn is_hopeless(&self) -> bool {
        self.is_given_up() || self.unreached.load(Ordering::Relaxed) >= UNREACHED_MAX
    }

    /// Whether it is taken to hang.
    pub(super) fn is_given_up(&self) -> bool {
        self.is_stuck.load(Ordering::Relaxed)
    }

    /// A flush does not wait for it any longer.
    pub(super) fn be_late(&self) {
        self.is_late.store(true, Ordering::Relaxed);
    }

    /// It has done something.
    pub(super) fn is_not_late(&self) {
        self.is_late.store(false, Ordering::Relaxed);
        self.hangs.store(false, Ordering::Relaxed);
    }

    /// Who waits for healthy ones does not wait for it any longer.
    pub(super) fn pass_over(&self) {
        self.be_late();
        self.hangs.store(true, Ordering::Relaxed);
    }

    /// Whether who waits for healthy ones up to there does not wait for it, or not any more.
    pub(super) fn is_passed_over(&self, upto: u64) -> bool {
        let hangs = self.hangs.load(Ordering::Relaxed);
        self.done() >= upto || !self.gets_on() || hangs || self.is_over()
    }

    /// Whether it may be waited for: it neither fails nor hangs.
    pub(super) fn gets_on(&self) -> bool {
        !self.is_failing.load(Ordering::Relaxed) && !self.is_given_up()
    }

    fn is_healthy(&self) -> bool {
        let is_late = self.is_late.load(Ordering::Relaxed);
        self.gets_on() && !is_late && !self.is_refusing.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> LaneCounts {
        LaneCounts {
            name: self.spec.name.clone(),
            handled: self.handled.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            unformatted: self.unformatted.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            is_healthy: self.is_healthy(),
        }
    }

    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
