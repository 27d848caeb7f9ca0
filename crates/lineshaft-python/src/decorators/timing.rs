//! How long the calls of a function took, in a few kilobytes however many there were.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Durations fall into buckets: one for each nanosecond below 64, and 32 for each doubling above. A bucket is at most
/// a 32nd of its durations wide, so its middle is at most 1.6 % from each of them.
const STEPS: u64 = 32;
const BITS: u32 = STEPS.ilog2();
/// What is longer, two and a half hours, is counted in the last one; total and max are exact.
const LONGEST_NS: u64 = (1 << 43) - 1;
const BUCKETS: usize = bucket_of(LONGEST_NS) + 1;

/// The durations of a function's calls: `count` of them, with `total`, `min`, `max` and `mean` in seconds, exactly, and
/// every `quantile(q)` to 1.6 %.
#[pyclass(frozen, module = "lineshaft")]
pub(crate) struct Timing {
    slow_ns: u64,
    /// Taken only by who holds the interpreter, and for no time.
    seen: Mutex<Seen>,
}

struct Seen {
    count: u64,
    total_ns: u128,
    min_ns: u64,
    max_ns: u64,
    buckets: Box<[u64; BUCKETS]>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { count: 0, total_ns: 0, min_ns: u64::MAX, max_ns: 0, buckets: Box::new([0; BUCKETS]) }
    }
}

#[pymethods]
impl Timing {
    #[new]
    #[pyo3(signature = (slow = None))]
    fn new(slow: Option<f64>) -> Self {
        Self {
            slow_ns: slow.map_or(u64::MAX, |seconds| (seconds * 1e9) as u64),
            seen: Mutex::new(Seen::default()),
        }
    }

    /// Counts a call that took so many nanoseconds; gives whether that is slow.
    fn _add(&self, nanoseconds: u64) -> bool {
        self.note(Duration::from_nanos(nanoseconds))
    }

    /// How many calls have ended.
    #[getter]
    fn count(&self) -> u64 {
        self.seen().count
    }

    /// Seconds of all calls together.
    #[getter]
    fn total(&self) -> f64 {
        self.seen().total_ns as f64 / 1e9
    }

    /// Seconds of the shortest call; 0 if there was none.
    #[getter]
    fn min(&self) -> f64 {
        let seen = self.seen();
        if seen.count == 0 { 0.0 } else { seen.min_ns as f64 / 1e9 }
    }

    /// Seconds of the longest call; 0 if there was none.
    #[getter]
    fn max(&self) -> f64 {
        self.seen().max_ns as f64 / 1e9
    }

    /// Seconds of a call, on average; 0 if there was none.
    #[getter]
    fn mean(&self) -> f64 {
        let seen = self.seen();
        if seen.count == 0 { 0.0 } else { seen.total_ns as f64 / seen.count as f64 / 1e9 }
    }

    /// Seconds within which the part `q` of all calls ended, 0.5 for half of them, to 1.6 %; 0 if there was none.
    fn quantile(&self, q: f64) -> PyResult<f64> {
        if !(0.0..=1.0).contains(&q) {
            return Err(PyValueError::new_err(format!("{q} is no part of all calls: 0.0 to 1.0")));
        }
        Ok(self.seen().quantile_ns(q) as f64 / 1e9)
    }

    /// Forgets all calls.
    fn reset(&self) {
        *self.seen() = Seen::default();
    }

    fn __repr__(&self) -> String {
        let seen = self.seen();
        let shown = |ns: u64| format!("{:.3?}", Duration::from_nanos(ns));
        if seen.count == 0 {
            return "<Timing: no calls>".into();
        }
        let (half, most) = (seen.quantile_ns(0.5), seen.quantile_ns(0.99));
        format!(
            "<Timing: {} calls, {} to {}, half within {}, 99 % within {}>",
            seen.count,
            shown(seen.min_ns),
            shown(seen.max_ns),
            shown(half),
            shown(most)
        )
    }
}

impl Timing {
    /// Counts a call; gives whether it was slow.
    pub(crate) fn note(&self, took: Duration) -> bool {
        let ns = took.as_nanos().min(u128::from(u64::MAX)) as u64;
        let mut seen = self.seen();
        seen.count += 1;
        seen.total_ns += u128::from(ns);
        seen.min_ns = seen.min_ns.min(ns);
        seen.max_ns = seen.max_ns.max(ns);
        seen.buckets[bucket_of(ns)] += 1;
        ns >= self.slow_ns
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn quantile_ns(&self, q: f64) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut before = 0;
        let found = self.buckets.iter().position(|count| {
            before += count;
            before >= rank
        });
        middle_of(found.unwrap_or(BUCKETS - 1)).clamp(self.min_ns, self.max_ns)
    }
}

const fn bucket_of(ns: u64) -> usize {
    let ns = if ns > LONGEST_NS { LONGEST_NS } else { ns };
    let doublings = (ns | (2 * STEPS - 1)).ilog2() - BITS;
    (doublings as u64 * STEPS + (ns >> doublings)) as usize
}

fn middle_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let doublings = bucket / STEPS - 1;
    let first = (bucket - doublings * STEPS) << doublings;
    first + (1 << doublings) / 2
}
