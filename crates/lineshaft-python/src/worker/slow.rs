//! Attempts that run longer than nearly all of their task before them: each is profiled from then on.
//!
//! The run times of a task below a second are all alike, since nobody looks for what is over so soon; so what is kept of
//! them is small. A thread looks a few times a second who runs for how long; it takes the GIL only for one who does for long.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use lineshaft::worker::Ticket;
use lineshaft_insight::{LONG_MIN, RunTimes};
use pyo3::prelude::*;

use super::child::RunningAttempt;
use super::profiled::{Whom, Why};

/// How often it is looked who runs for long.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two profiles of a task.
const PAUSE: Duration = Duration::from_secs(60);

/// Runs between two times at which it is reckoned what is long.
const RECKON_EVERY: u32 = 20;

/// How long the attempts of a task ran, and when one of them was last profiled for it.
#[derive(Default)]
pub(super) struct Runs {
    times: Mutex<(RunTimes, u32)>,
    /// Milliseconds, to be asked at every attempt; 0 while it is not known.
    long_after_ms: AtomicU64,
    profiled: Mutex<Option<Instant>>,
}

impl Runs {
    /// After which time an attempt has run for long, if that is known.
    pub(super) fn long_after(&self) -> Option<Duration> {
        let ms = self.long_after_ms.load(Ordering::Relaxed);
        (ms > 0).then(|| Duration::from_millis(ms))
    }

    pub(super) fn record(&self, took: Duration) {
        let mut times = lock(&self.times);
        times.0.record(took);
        times.1 = (times.1 + 1) % RECKON_EVERY;
        if times.1 == 0 || took >= LONG_MIN {
            let long = times.0.long_after().unwrap_or_default();
            self.long_after_ms.store(u64::try_from(long.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Whether one may be profiled now; then none is for a while.
    fn take_turn(&self) -> bool {
        let mut last = lock(&self.profiled);
        let is_due = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks after attempts that may come to run for long.
#[derive(Default)]
pub(super) struct SlowWatch {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    begun: Condvar,
}

#[derive(Default)]
struct State {
    followed: Vec<Followed>,
    has_thread: bool,
    /// The thread waits for somebody to follow.
    is_idle: bool,
}

/// An attempt that runs.
pub(super) struct Followed {
    pub(super) ticket: Ticket,
    pub(super) attempt: Py<RunningAttempt>,
    pub(super) runs: Arc<Runs>,
    pub(super) long_at: Instant,
    /// The version of its task.
    pub(super) version: u32,
    pub(super) whom: Whom,
    pub(super) package: Arc<str>,
}

impl SlowWatch {
    /// From now on the attempt is looked after, until [`Self::forget`].
    pub(super) fn follow(&self, followed: Followed) {
        let mut state = self.inner.state();
        state.followed.push(followed);
        if !mem::replace(&mut state.has_thread, true) {
            let inner = Arc::clone(&self.inner);
            // Without it nobody is profiled by itself.
            let _ = thread::Builder::new().name("lineshaft-slow".to_owned()).spawn(move || inner.run());
        } else if mem::take(&mut state.is_idle) {
            self.inner.begun.notify_one();
        }
    }

    pub(super) fn forget(&self, ticket: Ticket) {
        let mut state = self.inner.state();
        let at = state.followed.iter().position(|one| one.ticket == ticket);
        let gone = at.map(|at| state.followed.swap_remove(at));
        drop(state);
        drop(gone);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// As long as the process lives.
    fn run(&self) {
        loop {
            thread::sleep(LOOK_EVERY);
            let mut state = self.state();
            while state.followed.is_empty() {
                state.is_idle = true;
                state = self.begun.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let now = Instant::now();
            let long: Vec<Followed> = state.followed.extract_if(.., |one| now >= one.long_at).collect();
            drop(state);
            if long.is_empty() {
                continue;
            }
            let profiled = Python::try_attach(|py| {
                for one in long.into_iter().filter(|one| one.runs.take_turn()) {
                    one.attempt.get().begin_profile(py, (one.version, Why::Slow), one.whom, &one.package);
                }
            });
            if profiled.is_none() {
                // Python has ended.
                return;
            }
        }
    }
}
