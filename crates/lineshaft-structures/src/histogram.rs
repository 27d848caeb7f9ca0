//! How long things took, in a few kilobytes however many there were.

use std::fmt;
use std::time::Duration;

/// Durations fall into buckets: one for each nanosecond below 64, and 32 for each doubling above. A bucket is at most
/// a 32nd of its durations wide, so its middle is at most 1.6 % from each of them.
const STEPS: u64 = 32;
const BITS: u32 = STEPS.ilog2();
/// What is longer, two and a half hours, is counted in the last one; total and max are exact.
const LONGEST_NS: u64 = (1 << 43) - 1;
const BUCKETS: usize = bucket_of(LONGEST_NS) + 1;

/// A histogram of durations: their number, sum, least and greatest exactly, and quantiles to 1.6 %, in 10 KB from the
/// first one on.
///
/// ```
/// use std::time::Duration;
///
/// use lineshaft_structures::Histogram;
///
/// let mut histogram = Histogram::default();
/// (1..=100).for_each(|ms| histogram.add(Duration::from_millis(ms)));
/// let half = histogram.quantile(0.5).as_secs_f64();
/// assert!((half / 0.050 - 1.0).abs() < 0.016);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    count: u64,
    total_ns: u128,
    min_ns: u64,
    max_ns: u64,
    /// Empty until there is something to count.
    buckets: Vec<u64>,
}

impl Histogram {
    /// Without any duration. Allocates nothing.
    pub const fn new() -> Self {
        Self { count: 0, total_ns: 0, min_ns: 0, max_ns: 0, buckets: Vec::new() }
    }

    /// Counts one.
    pub fn add(&mut self, duration: Duration) {
        let ns = duration.as_nanos().min(u128::from(u64::MAX)) as u64;
        if self.count == 0 {
            self.min_ns = ns;
            self.buckets.resize(BUCKETS, 0);
        }
        self.count += 1;
        self.total_ns += u128::from(ns);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
        self.buckets[bucket_of(ns)] += 1;
    }

    /// How many there were.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// All together, to 584 years.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_ns.min(u128::from(u64::MAX)) as u64)
    }

    /// The shortest; zero if there was none.
    pub const fn min(&self) -> Duration {
        Duration::from_nanos(self.min_ns)
    }

    /// The longest; zero if there was none.
    pub const fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// The average; zero if there was none.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos((self.total_ns / u128::from(self.count.max(1))) as u64)
    }

    /// How long the part `q` of them took at most, 0.5 for half of them, to 1.6 %; zero if there was none. Below 0 it is
    /// as 0, above 1 as 1.
    pub fn quantile(&self, q: f64) -> Duration {
        if self.count == 0 {
            return Duration::ZERO;
        }
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut before = 0;
        let found = self.buckets.iter().position(|count| {
            before += count;
            before >= rank
        });
        let ns = middle_of(found.unwrap_or(BUCKETS - 1));
        Duration::from_nanos(ns.clamp(self.min_ns, self.max_ns))
    }
}

/// `1000 calls, 1.021ms to 35.200ms, half within 1.500ms, 99 % within 9.900ms`, or `no calls`.
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("no calls");
        }
        write!(
            f,
            "{} calls, {:.3?} to {:.3?}, half within {:.3?}, 99 % within {:.3?}",
            self.count,
            self.min(),
            self.max(),
            self.quantile(0.5),
            self.quantile(0.99)
        )
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
