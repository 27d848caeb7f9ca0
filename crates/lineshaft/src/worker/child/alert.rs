//! Word to the supervisor that an attempt with a limit of memory begins: it looks seldom where none runs.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::LIMITED;

/// The supervisor looks closely for longer than this after each word; another one takes a system call.
const LASTS: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Alert {
    lifeline: OwnedFd,
    made: Instant,
    /// Milliseconds after that when it was given last; 0 before.
    given: AtomicU64,
}

impl Alert {
    pub(super) fn new(lifeline: OwnedFd) -> Self {
        Self { lifeline, made: Instant::now(), given: AtomicU64::new(0) }
    }

    /// An attempt with a limit begins `now`.
    pub(super) fn give(&self, now: Instant) {
        let at = (now.saturating_duration_since(self.made).as_millis() as u64).max(1);
        let last = self.given.load(Ordering::Relaxed);
        if last > 0 && at < last + LASTS.as_millis() as u64 {
            return;
        }
        self.given.store(at, Ordering::Relaxed);
        // One that cannot be told now has not read what it was told before, and will look then.
        let _ = rustix::io::write(&self.lifeline, &[LIMITED]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn attempts_that_follow_each_other_closely_are_one_word() {
        let (mut supervisor, lifeline) = UnixStream::pair().unwrap();
        let alert = Alert::new(lifeline.into());
        let start = alert.made;
        for millis in [0, 1, 99, 150, 200, 260] {
            alert.give(start + Duration::from_millis(millis));
        }
        drop(alert);
        let mut words = Vec::new();
        supervisor.read_to_end(&mut words).unwrap();
        assert_eq!(words, [LIMITED; 3]);
    }
}
