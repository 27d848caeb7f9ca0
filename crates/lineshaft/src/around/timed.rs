//! `#[timed]`: how long the calls of a function take.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lineshaft_structures::Histogram;

/// How long the calls of a function took, in 10 KB however many there were: what `work_timing()` gives for a function
/// `work` with `#[lineshaft::timed]`.
///
/// Number, sum, least and greatest are exact, quantiles to 1.6 %. Each method looks at the calls that have ended so far.
#[derive(Debug, Default)]
pub struct Timing {
    seen: Mutex<Histogram>,
}

impl Timing {
    /// How many calls have ended.
    pub fn count(&self) -> u64 {
        self.seen().count()
    }

    /// The time of all calls together.
    pub fn total(&self) -> Duration {
        self.seen().total()
    }

    /// The time of the shortest call; zero if there was none.
    pub fn min(&self) -> Duration {
        self.seen().min()
    }

    /// The time of the longest call; zero if there was none.
    pub fn max(&self) -> Duration {
        self.seen().max()
    }

    /// The time of a call, on average; zero if there was none.
    pub fn mean(&self) -> Duration {
        self.seen().mean()
    }

    /// The time within which the part `q` of all calls ended, 0.5 for half of them, to 1.6 %; zero if there was none.
    /// Below 0 it is as 0, above 1 as 1.
    pub fn quantile(&self, q: f64) -> Duration {
        self.seen().quantile(q)
    }

    /// Forgets all calls.
    pub fn reset(&self) {
        *self.seen() = Histogram::new();
    }

    /// A call begins, and ends when what this gives is dropped.
    #[doc(hidden)]
    pub fn start(&self) -> Running<'_> {
        self.start_with("", Duration::MAX, |_, _| ())
    }

    /// As [`Self::start`], of a function that is told of calls that are slow.
    #[doc(hidden)]
    pub fn start_with(&self, name: &'static str, slow: Duration, report: fn(&str, Duration)) -> Running<'_> {
        Running { timing: self, name, slow, report, began: Instant::now() }
    }

    fn seen(&self) -> MutexGuard<'_, Histogram> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `1000 calls, 1.021ms to 35.200ms, half within 1.500ms, 99 % within 9.900ms`, or `no calls`.
impl fmt::Display for Timing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seen().fmt(f)
    }
}

/// A call that has begun.
pub struct Running<'t> {
    timing: &'t Timing,
    name: &'static str,
    slow: Duration,
    report: fn(&str, Duration),
    began: Instant,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.timing.seen().add(took);
        if took >= self.slow {
            (self.report)(self.name, took);
        }
    }
}
