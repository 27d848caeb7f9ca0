//! The last run times of one implementation.

use serde::{Deserialize, Serialize};

/// How many are kept.
const KEPT: usize = 32;

/// Logarithms of seconds: run times are skewed, and what matters are their ratios.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Samples {
    /// The oldest is at `next` once there are as many as are kept.
    last: Vec<f32>,
    next: usize,
}

/// Where the median of what was sampled lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    pub(super) low: f32,
    pub(super) median: f32,
    pub(super) high: f32,
}

impl Samples {
    pub(super) fn add(&mut self, log_s: f32) {
        if self.last.len() < KEPT {
            self.last.push(log_s);
            return;
        }
        self.last[self.next] = log_s;
        self.next = (self.next + 1) % KEPT;
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether it can be what [`Self::add`] made.
    pub(super) fn is_sound(&self) -> bool {
        self.last.len() <= KEPT && self.next < KEPT && !self.last.iter().any(|log_s| log_s.is_nan())
    }

    pub(super) fn len(&self) -> usize {
        self.last.len()
    }

    /// The slowest.
    pub(super) fn greatest(&self) -> Option<f32> {
        self.last.iter().copied().max_by(f32::total_cmp)
    }

    /// The median, and bounds that it lies between with a chance of 95 %, of 75 % where there are three: those of the
    /// order statistics (David and Nagaraja, "Order Statistics", 7.1), which suppose nothing of the distribution.
    pub(super) fn bounds(&self) -> Option<Bounds> {
        Self::bounds_of(self.last.clone())
    }

    /// The bounds of the newest `count`.
    pub(super) fn bounds_of_last(&self, count: usize) -> Option<Bounds> {
        let newest =
            (0..self.len().min(count)).map(|age| self.last[(self.next + self.len() - 1 - age) % self.len()]);
        Self::bounds_of(newest.collect())
    }

    fn bounds_of(mut values: Vec<f32>) -> Option<Bounds> {
        values.sort_unstable_by(f32::total_cmp);
        let count = values.len();
        let last = count.checked_sub(1)?;
        let outside = (count as f64 / 2.0 - 0.98 * (count as f64).sqrt()).max(0.0) as usize;
        let median = f32::midpoint(values[last / 2], values[count / 2]);
        Some(Bounds { low: values[outside], median, high: values[last - outside] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: impl IntoIterator<Item = f32>) -> Samples {
        let mut samples = Samples::default();
        values.into_iter().for_each(|value| samples.add(value));
        samples
    }

    #[test]
    fn three_are_bounded_by_themselves() {
        let bounds = samples([3.0, 1.0, 2.0]).bounds();
        assert_eq!(bounds, Some(Bounds { low: 1.0, median: 2.0, high: 3.0 }));
        assert_eq!(samples([1.0, 2.0]).bounds().map(|bounds| bounds.median), Some(1.5));
        assert_eq!(samples([]).bounds(), None);
    }

    #[test]
    fn the_oldest_goes() {
        let many = samples((0..100u8).map(f32::from));
        assert_eq!(many.len(), KEPT);
        assert_eq!(many.greatest(), Some(99.0));
        assert_eq!(many.bounds_of_last(3), Some(Bounds { low: 97.0, median: 98.0, high: 99.0 }));
        let bounds = many.bounds().expect("there are some");
        assert_eq!((bounds.low, bounds.median, bounds.high), (78.0, 83.5, 89.0));
    }
}
