//! What may be looked at of an attempt, and its profile while one is made.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use lineshaft_ipc::stacks::Spot;

use crate::worker::profiles::Profiling;

/// No profile was begun.
const NONE: u8 = 0;
const BEGUN: u8 = 1;
/// None will be.
const OVER: u8 = 2;

/// Part of every attempt: nothing in it is allocated, or locked, where no profile is made.
#[derive(Debug, Default)]
pub(crate) struct Profiled {
    spot: Spot,
    phase: AtomicU8,
    profiling: Mutex<Option<Profiling>>,
}

impl Profiled {
    /// Where the body runs.
    pub(crate) fn spot(&self) -> &Spot {
        &self.spot
    }

    /// A profile of it begins, unless there is one or the attempt is over.
    pub(crate) fn begin(&self, begin: impl FnOnce() -> Option<Profiling>) {
        let mut profiling = self.profiling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.phase.load(Ordering::Acquire) != NONE {
            return;
        }
        let Some(begun) = begin() else { return };
        if self.phase.compare_exchange(NONE, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            *profiling = Some(begun);
        } else {
            begun.abandon();
        }
    }

    /// The attempt is over: its profile, if one was begun, to be ended.
    pub(crate) fn end(&self) -> Option<Profiling> {
        if self.phase.swap(OVER, Ordering::AcqRel) != BEGUN {
            return None;
        }
        self.profiling.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
