//! Attempts that run longer than nearly all of their task before them: each is profiled from then on.
//!
//! The run times of a task below a second are all alike, since nobody looks for what is over so soon; so what is kept of
//! them is small. A thread looks a few times a second who runs for how long.

use std::fmt;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Which;
use crate::worker::Ticket;

/// How often it is looked who runs for long.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is done with those that do; false if nothing can be done any more.
type Begin<T> = dyn Fn(Vec<Followed<T>>) -> bool + Send + Sync;

/// Looks after attempts that may come to run for long.
pub struct SlowWatch<T> {
    inner: Arc<Inner<T>>,
}

struct Inner<T> {
    state: Mutex<State<T>>,
    begun: Condvar,
    begin: Box<Begin<T>>,
}

struct State<T> {
    followed: Vec<Followed<T>>,
    has_thread: bool,
    /// The thread waits for somebody to follow.
    is_idle: bool,
    /// Nobody follows any more.
    is_over: bool,
}

/// An attempt that runs.
pub struct Followed<T> {
    /// The attempt.
    pub ticket: Ticket,
    /// What decides for its task.
    pub which: Arc<Which>,
    /// When it runs for long.
    pub long_at: Instant,
    /// What is needed to profile it.
    pub what: T,
}

impl<T> Followed<T> {
    /// Whether it is its turn to be profiled.
    pub fn take_turn(&self) -> bool {
        self.which.take_turn()
    }
}

impl<T: Send + 'static> SlowWatch<T> {
    /// One that begins profiles so, of those [whose turn it is](Followed::take_turn).
    pub fn new(begin: impl Fn(Vec<Followed<T>>) -> bool + Send + Sync + 'static) -> Self {
        let state = State { followed: Vec::new(), has_thread: false, is_idle: false, is_over: false };
        let begin = Box::new(begin);
        Self { inner: Arc::new(Inner { state: Mutex::new(state), begun: Condvar::new(), begin }) }
    }

    /// From now on the attempt is looked after, until [`Self::forget`].
    pub fn follow(&self, followed: Followed<T>) {
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

    /// The attempt is over.
    pub fn forget(&self, ticket: Ticket) {
        let mut state = self.inner.state();
        let at = state.followed.iter().position(|one| one.ticket == ticket);
        let gone = at.map(|at| state.followed.swap_remove(at));
        drop(state);
        drop(gone);
    }
}

impl<T> Drop for SlowWatch<T> {
    fn drop(&mut self) {
        self.inner.state().is_over = true;
        self.inner.begun.notify_one();
    }
}

impl<T> Inner<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As long as somebody may follow.
    fn run(&self) {
        loop {
            thread::sleep(LOOK_EVERY);
            let mut state = self.state();
            while state.followed.is_empty() && !state.is_over {
                state.is_idle = true;
                state = self.begun.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.is_over {
                return;
            }
            let now = Instant::now();
            let long: Vec<Followed<T>> = state.followed.extract_if(.., |one| now >= one.long_at).collect();
            drop(state);
            if !long.is_empty() && !(self.begin)(long) {
                return;
            }
        }
    }
}

impl<T> fmt::Debug for SlowWatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowWatch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;

    use lineshaft_wire::id::Fence;

    use super::*;

    #[test]
    fn its_thread_ends_with_it() {
        let watch = SlowWatch::<()>::new(|_| true);
        let ticket = Ticket { fence: Fence { epoch: 1, counter: 1 }, place: 0 };
        let (which, long_at) = (Arc::default(), Instant::now() + Duration::from_secs(3_600));
        watch.follow(Followed { ticket, which, long_at, what: () });
        let inner: Weak<_> = Arc::downgrade(&watch.inner);
        drop(watch);
        let until = Instant::now() + Duration::from_secs(60);
        while inner.strong_count() > 0 {
            assert!(Instant::now() < until, "its thread is still there");
            thread::sleep(Duration::from_millis(10));
        }
    }
}
