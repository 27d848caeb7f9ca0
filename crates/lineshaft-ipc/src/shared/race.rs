//! A writer and a reader against each other, for the tests.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for a writer to be scheduled beside its reader on a busy machine.
const RACE: Duration = Duration::from_millis(400);

/// Calls `look` again and again for a while, as another thread calls `write` with 1, 2, 3 and so on. A look that
/// panics ends both.
pub(super) fn while_writing(write: impl Fn(u64) + Sync, mut look: impl FnMut()) {
    let over = AtomicBool::new(false);
    let looks = || {
        let end = Instant::now() + RACE;
        while Instant::now() < end {
            look();
        }
    };
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !over.load(Relaxed) {
                number += 1;
                write(number);
            }
        });
        let result = catch_unwind(AssertUnwindSafe(looks));
        over.store(true, Relaxed);
        result
    });
    result.unwrap_or_else(|panic| resume_unwind(panic));
}
