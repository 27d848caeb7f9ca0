//! How often something may happen: the generic cell rate algorithm.

use std::time::Duration;

/// One more in every interval, and up to `burst` at once after a quiet time. Who comes too soon is told when its turn is,
/// in the order of coming. Times are nanoseconds of any clock that does not go back.
///
/// ```
/// use std::time::Duration;
///
/// use lineshaft_structures::Rate;
///
/// let mut rate = Rate::new(100, Duration::from_secs(1), 1).expect("a rate");
/// assert_eq!(rate.take(0), Ok(()));
/// assert_eq!(rate.take(0), Err(Duration::from_millis(10)));
/// assert_eq!(rate.take(10_000_000), Ok(()));
/// ```
#[derive(Clone, Debug)]
pub struct Rate {
    interval_ns: u64,
    /// How far ahead of its even distribution a turn may be.
    tolerance_ns: u64,
    /// When the next turn would come if all came evenly.
    next_ns: u64,
}

impl Rate {
    /// `count` turns in every `period`, and `burst` at once; `None` if one of them is 0.
    pub const fn new(count: u32, period: Duration, burst: u32) -> Option<Self> {
        if count == 0 || burst == 0 || period.is_zero() {
            return None;
        }
        let interval_ns = period.as_nanos() / count as u128;
        let interval_ns = if interval_ns > u64::MAX as u128 { u64::MAX } else { interval_ns as u64 };
        let interval_ns = if interval_ns == 0 { 1 } else { interval_ns };
        Self::resumed(interval_ns, burst, 0)
    }

    /// One turn in every `interval_ns`, of which the next would come at `next_ns` if all came evenly: what
    /// [`Self::next_ns`] gave, or 0. `None` if the interval or `burst` is 0.
    pub const fn resumed(interval_ns: u64, burst: u32, next_ns: u64) -> Option<Self> {
        if interval_ns == 0 || burst == 0 {
            return None;
        }
        let tolerance_ns = interval_ns.saturating_mul(burst as u64 - 1);
        Some(Self { interval_ns, tolerance_ns, next_ns })
    }

    /// When the next turn would come if all came evenly.
    pub const fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Takes a turn now; if that is too soon, takes none and gives the time until one would be free.
    pub fn take(&mut self, now_ns: u64) -> Result<(), Duration> {
        self.reserve(Duration::ZERO, now_ns).map(drop)
    }

    /// Takes the next turn, now or later, and gives the time until it is; if that is more than `longest`, takes none.
    pub fn reserve(&mut self, longest: Duration, now_ns: u64) -> Result<Duration, Duration> {
        let wait_ns = self.next_ns.saturating_sub(self.tolerance_ns).saturating_sub(now_ns);
        let wait = Duration::from_nanos(wait_ns);
        if wait > longest {
            return Err(wait);
        }
        self.next_ns = self.next_ns.max(now_ns).saturating_add(self.interval_ns);
        Ok(wait)
    }

    /// Whether it is as new: nobody has to wait for what was before.
    pub const fn is_idle(&self, now_ns: u64) -> bool {
        self.next_ns <= now_ns
    }
}
