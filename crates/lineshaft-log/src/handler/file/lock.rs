//! Waiting for a lock of a file, but not for ever.
//!
//! Locks of `flock` belong to an open file, which a forked process has in common with its parent: if that is killed while
//! it has one, the lock lives as long as its child does.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

const PAUSE_FIRST: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// Takes a lock, by an operation that does not block; whether it was free within `patience`.
pub(super) fn wait(file: &File, operation: FlockOperation, patience: Duration) -> io::Result<bool> {
    let (began, mut pause) = (Instant::now(), PAUSE_FIRST);
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if began.elapsed() >= patience {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
