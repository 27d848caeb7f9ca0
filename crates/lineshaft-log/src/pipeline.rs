//! From those who log to the handlers.
//!
//! Those who log put records into a ring and go on. One thread, the *writer*, takes what gathered there, hides what is
//! secret, and gives the batch to every handler's *lane*, a bounded line of batches with a thread of its own. So a handler
//! that hangs or fails holds up nobody: the writer waits for a lane that is full as long as it makes progress, and lets
//! batches go past one that does not. What is lost in this way is counted, and the handler is told when it works again.

mod driving;
mod lane;
mod tap;
mod writer;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::gate::Gate;
use crate::handler::{Kind, Spec};
use crate::level::LevelNames;
use crate::record::Record;
use crate::redact::Redaction;
use crate::ring::{Bounds, Pushed, Ring, WhenFull};
use lane::Lane;
pub use lane::LaneCounts;
pub use tap::{Taken, Tap};

/// What a pipeline is made of.
#[derive(Clone)]
pub struct Options {
    /// What passes; it is asked by those who log.
    pub gate: Arc<Gate>,
    /// What is hidden.
    pub redaction: Option<Redaction>,
    /// How much waits at most.
    pub bounds: Bounds,
    /// What becomes of what there is no room for.
    pub when_full: WhenFull,
    /// The names of levels.
    pub levels: Arc<LevelNames>,
    /// Where records go.
    pub handlers: Vec<Spec>,
    /// How long a lane that makes no progress is waited for.
    pub patience: Duration,
}

impl Options {
    /// The usual bounds, for these handlers.
    pub fn new(gate: Gate, handlers: Vec<Spec>) -> Self {
        Self {
            gate: Arc::new(gate),
            redaction: Some(Redaction::default()),
            bounds: Bounds::default(),
            when_full: WhenFull::default(),
            levels: Arc::default(),
            handlers,
            patience: Duration::from_secs(1),
        }
    }
}

/// Takes records to handlers. Dropping it ends it as [`Self::close`] does, without waiting.
pub struct Pipeline {
    ring: Arc<Ring>,
    lanes: Vec<Arc<Lane>>,
    progress: Arc<Progress>,
    gate: Arc<Gate>,
    /// For who hides what is secret before the writer does.
    hides: Mutex<Option<Redaction>>,
    /// What is started when the first record comes, or when somebody waits.
    waiting: Mutex<Option<writer::Writer>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Up to where it was waited for near the end.
    last_upto: AtomicU64,
}

thread_local! {
    static IS_OWN: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a thread of a pipeline: what it says itself must not go into one, which would never be done.
pub(crate) fn is_own_thread() -> bool {
    IS_OWN.get()
}

/// Rings whenever a lane has done something.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    lock: Mutex<()>,
    bell: Condvar,
}

/// What became of all records so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Counts {
    /// Taken into the ring.
    pub taken: u64,
    /// Dropped, since there was no room in the ring.
    pub dropped: u64,
    /// Held back, since their place logged too many.
    pub limited: u64,
    /// Left out, since a share of them was asked for.
    pub sampled: u64,
    /// What became of those that were taken, by handler.
    pub handlers: Vec<LaneCounts>,
}

impl Pipeline {
    /// Opens the handlers; gives taps for those that are tapped, in their order. Threads start with [`Self::start`].
    pub fn open(options: Options) -> Result<(Self, Vec<Tap>), Error> {
        let progress = Arc::new(Progress::default());
        let (mut lanes, mut driven, mut taps) = (Vec::new(), Vec::new(), Vec::new());
        for spec in options.handlers {
            let kind = spec.kind.clone();
            let lane = Arc::new(Lane::new(spec, progress.clone()));
            match kind {
                Kind::Handler(open) => driven.push((lane.clone(), open(&options.levels)?)),
                Kind::Tapped => taps.push(Tap::new(lane.clone())),
            }
            lanes.push(lane);
        }
        let ring = Arc::new(Ring::new(options.bounds, options.when_full));
        options.gate.is_said_by(Arc::downgrade(&ring));
        let hides = Mutex::new(options.redaction.clone());
        let writer = writer::Writer {
            ring: ring.clone(),
            lanes: lanes.clone(),
            driven,
            redaction: options.redaction,
            gate: options.gate.clone(),
            patience: options.patience,
        };
        let waiting = Mutex::new(Some(writer));
        let (gate, threads, last_upto) = (options.gate, Mutex::default(), AtomicU64::new(0));
        Ok((Self { ring, lanes, progress, gate, hides, waiting, threads, last_upto }, taps))
    }

    /// Starts its threads, once. Records may come before. If that fails no record is taken from then on, so that nobody
    /// waits for room.
    pub fn start(&self) -> std::io::Result<()> {
        self.start_threads().inspect_err(|_| self.ring.close())
    }

    fn start_threads(&self) -> std::io::Result<()> {
        let Some(mut writer) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (lane, handler) in writer.driven.drain(..) {
            let named = thread::Builder::new().name("lineshaft-log-to".to_owned());
            threads.push(named.spawn(move || {
                IS_OWN.set(true);
                lane.drive(handler);
            })?);
        }
        let named = thread::Builder::new().name("lineshaft-log".to_owned());
        threads.push(named.spawn(move || {
            IS_OWN.set(true);
            writer.run();
        })?);
        Ok(())
    }

    /// What passes, for those who log to ask.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Hides what is secret in a record that is kept beside the handlers; those hide it by themselves.
    pub fn redact(&self, record: &mut Record) {
        if let Some(redaction) = &mut *self.hides.lock().unwrap_or_else(PoisonError::into_inner) {
            redaction.apply(record);
        }
    }

    /// Takes a record, unless its caller would have to wait for room.
    pub fn push(&self, record: Record) -> Pushed {
        self.ring.push(record)
    }

    /// Takes a record, and waits for room if there has to be some.
    pub fn push_waiting(&self, record: Record) -> Pushed {
        self.ring.push_waiting(record)
    }

    /// Waits until all that was taken so far is done by every handler; whether it is. `None` waits for ever.
    /// A handler that is not done in that time is said not to be healthy, until it has done something.
    pub fn flush(&self, timeout: Option<Duration>) -> bool {
        let upto = self.called();
        let is_flushed = |lane: &Lane| lane.done() >= upto || lane.is_over();
        let is_done = self.wait(timeout, is_flushed);
        self.lanes.iter().filter(|lane| !is_done && !is_flushed(lane)).for_each(|lane| lane.be_late());
        is_done
    }

    /// As [`Self::flush`], for a waiting that goes on: nothing is said of handlers that are not done.
    pub fn is_flushed(&self, wait: Duration) -> bool {
        let upto = self.called();
        self.wait(Some(wait), |lane| lane.done() >= upto || lane.is_over())
    }

    /// As [`Self::flush`], but does not wait for handlers that fail or hang. Nor is one that was not done in that time
    /// waited for here again, until it has done something.
    pub fn flush_healthy(&self, timeout: Duration) -> bool {
        let upto = self.called();
        let is_done = self.wait_healthy(upto, timeout);
        if !is_done {
            self.lanes.iter().filter(|lane| !lane.is_passed_over(upto)).for_each(|lane| lane.pass_over());
        }
        is_done
    }

    /// As [`Self::flush_healthy`], for a waiting that goes on.
    pub fn is_flushed_by_healthy(&self, wait: Duration) -> bool {
        self.wait_healthy(self.called(), wait)
    }

    fn wait_healthy(&self, upto: u64, wait: Duration) -> bool {
        self.wait(Some(wait), |lane| lane.is_passed_over(upto))
    }

    /// As [`Self::flush`], near the end: handlers that fail try again after pauses that are cut short. It is not waited
    /// for those that nobody could be reached by in a few tries, nor for those that were given up.
    pub fn flush_last(&self, timeout: Duration) -> bool {
        let upto = self.called();
        self.last_upto.store(upto, Ordering::Relaxed);
        self.lanes.iter().for_each(|lane| lane.hurry_pauses(timeout));
        let is_flushed = |lane: &Lane| lane.done() >= upto || lane.is_over();
        self.wait(Some(timeout), |lane| is_flushed(lane) || lane.is_hopeless())
            && self.lanes.iter().all(|lane| is_flushed(lane))
    }

    /// Gives up the handlers that are not done with what [`Self::flush_last`] waited for: standard error is told of how
    /// many records they have not taken, and who comes next does not wait for them again, unless they have done something
    /// meanwhile.
    pub fn give_up(&self) {
        let upto = self.last_upto.load(Ordering::Relaxed);
        self.lanes
            .iter()
            .filter(|lane| lane.done() < upto && !lane.is_over())
            .for_each(|lane| lane.give_up());
    }

    /// As [`Self::flush_last`], and then [`Self::give_up`]; whether nobody had to be waited for until the time was over.
    pub fn flush_late(&self, timeout: Duration) -> bool {
        if self.flush_last(timeout) {
            return true;
        }
        let upto = self.last_upto.load(Ordering::Relaxed);
        let is_known = |lane: &Arc<Lane>| lane.done() >= upto || lane.is_over() || lane.is_given_up();
        let are_known = self.lanes.iter().all(is_known);
        self.give_up();
        are_known
    }

    /// Up to where all was taken so far; whoever has it does not wait for more.
    fn called(&self) -> u64 {
        let upto = self.ring.call();
        self.lanes.iter().for_each(|lane| lane.hurry(upto));
        upto
    }

    fn wait(&self, timeout: Option<Duration>, is_done: impl Fn(&Lane) -> bool) -> bool {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut lock = self.progress.lock.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.lanes.iter().all(|lane| is_done(lane)) {
                return true;
            }
            // A lane may begin to fail while it is waited for, and does not say so.
            let most = Duration::from_millis(50);
            let wait = until.map_or(most, |until| until.saturating_duration_since(Instant::now()).min(most));
            if wait.is_zero() {
                return false;
            }
            lock = self.progress.bell.wait_timeout(lock, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes no more records, and waits until those that were taken are done; whether they are. A handler that hangs is
    /// left to itself.
    pub fn close(&self, timeout: Duration) -> bool {
        self.ring.close();
        let is_started = self.start().is_ok();
        let is_done = is_started && self.wait(Some(timeout), Lane::is_over);
        self.lanes.iter().for_each(|lane| lane.close());
        if is_done {
            let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
            threads.into_iter().for_each(|thread| drop(thread.join()));
        }
        is_done
    }

    /// What became of all records.
    pub fn counts(&self) -> Counts {
        let (taken, dropped) = self.ring.counts();
        let (limited, sampled) = self.gate.counts();
        let handlers = self.lanes.iter().map(|lane| lane.counts()).collect();
        Counts { taken, dropped, limited, sampled, handlers }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        self.ring.close();
    }
}

impl Progress {
    pub(crate) fn ring(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.bell.notify_all();
    }
}
