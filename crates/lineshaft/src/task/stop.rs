//! Whether an attempt was asked to stop, and what holds that back.

use std::sync::atomic::Ordering::SeqCst;

use tokio::sync::Notify;

use crate::sync::{AtomicBool, AtomicU32};

/// Part of every attempt: nothing in it is allocated until somebody waits.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    asked: AtomicBool,
    /// How many shields the body holds.
    shields: AtomicU32,
    changed: Notify,
}

impl Stop {
    pub(crate) fn ask(&self) {
        self.asked.store(true, SeqCst);
        self.changed.notify_waiters();
    }

    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(SeqCst)
    }

    pub(super) fn shield(&self) {
        self.shields.fetch_add(1, SeqCst);
    }

    pub(super) fn unshield(&self) {
        if self.shields.fetch_sub(1, SeqCst) == 1 {
            self.changed.notify_waiters();
        }
    }

    /// Ready when the attempt was asked to stop.
    pub(super) async fn asked(&self) {
        self.until(Self::is_asked).await;
    }

    /// Ready when the attempt was asked to stop and holds no shield.
    pub(crate) async fn may_be_dropped(&self) {
        self.until(|stop| stop.is_asked() && stop.shields.load(SeqCst) == 0).await;
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if condition(self) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(all(test, model))]
mod model;
