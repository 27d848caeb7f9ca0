//! Who is logging when the interpreter ends.
//!
//! A thread that is still there then is ended by the interpreter where it asks for its lock again, and that may be within
//! a `__repr__` which logging has called: below Rust, which cannot be left like that. So the end waits until nobody logs,
//! and from then on only the thread that ends the interpreter does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// Threads that log.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// The thread that ends the interpreter; 0 as long as it lives.
static ENDING: AtomicUsize = AtomicUsize::new(0);
/// A thread that logs for longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread logs until this is dropped.
pub(super) struct Visit(());

impl Visit {
    /// `None` if the interpreter ends, and this thread with it.
    pub(super) fn begin() -> Option<Self> {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        let visit = Self(());
        let ending = ENDING.load(Ordering::SeqCst);
        (ending == 0 || ending == here()).then_some(visit)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        // A forked child may have been told of nobody meanwhile.
        let _ = INSIDE.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |inside| inside.checked_sub(1));
    }
}

/// This thread ends the interpreter: waits for the others that log.
pub(super) fn end(py: Python<'_>) {
    ENDING.store(here(), Ordering::SeqCst);
    let until = Instant::now() + PATIENCE;
    while INSIDE.load(Ordering::SeqCst) > 0 && Instant::now() < until {
        py.detach(|| std::thread::sleep(Duration::from_millis(1)));
    }
}

/// Whether the interpreter ends.
pub(super) fn is_ending() -> bool {
    ENDING.load(Ordering::SeqCst) != 0
}

/// In a process that was forked the other threads are not there.
pub(super) fn forked() {
    INSIDE.store(0, Ordering::SeqCst);
    ENDING.store(0, Ordering::SeqCst);
}

/// A number for this thread that is no other one's as long as it lives.
fn here() -> usize {
    thread_local! {
        static HERE: u8 = const { 0 };
    }
    HERE.with(|here| std::ptr::from_ref(here).addr())
}
