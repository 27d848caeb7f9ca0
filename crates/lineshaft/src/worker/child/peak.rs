//! The peak of this process's memory, which is to be that of its present attempt when it dies.

use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lineshaft_ipc::rss::{forget_own_peak, own_peak};

/// Attempts that begin within this time share a peak: forgetting takes a system call.
const SHARED: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Peak {
    made: Instant,
    /// Milliseconds after that when it was forgotten last.
    forgotten: AtomicU64,
    clear_refs: OnceLock<Option<File>>,
}

impl Peak {
    pub(super) fn new() -> Self {
        Self { made: Instant::now(), forgotten: AtomicU64::new(0), clear_refs: OnceLock::new() }
    }

    /// An attempt begins `now`: what was before is not its doing. Whether it has a peak of its own.
    pub(super) fn forget(&self, now: Instant) -> bool {
        let at = now.saturating_duration_since(self.made).as_millis() as u64;
        let last = self.forgotten.load(Ordering::Relaxed);
        if at < last + SHARED.as_millis() as u64 {
            return false;
        }
        self.forgotten.store(at, Ordering::Relaxed);
        if let Some(file) = self.clear_refs.get_or_init(own_peak) {
            forget_own_peak(file);
        }
        true
    }
}
