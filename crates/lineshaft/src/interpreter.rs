//! The lock of the interpreter on top, which one of its threads at a time has, such as Python's GIL: who has it, for the
//! accounts of attempts.

use std::sync::OnceLock;

/// Tells who has the lock. Threads are known by a number that the interpreter gives them, which is never 0.
#[derive(Clone, Copy, Debug)]
pub struct LockView {
    /// The calling thread; 0 if the interpreter does not know it.
    pub this_thread: fn() -> usize,
    /// Who has the lock now, asked by any thread; 0 if nobody does. At most some microseconds.
    pub holder: fn() -> usize,
}

static VIEW: OnceLock<LockView> = OnceLock::new();

/// From now on it is seen who has the lock of this process's interpreter. The first one stays.
pub fn set_lock_view(view: LockView) {
    let _ = VIEW.set(view);
}

/// How that is seen, if it can be.
pub(crate) fn lock_view() -> Option<LockView> {
    VIEW.get().copied()
}
