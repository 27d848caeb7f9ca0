//! How a great many numbers are spread, in some hundred bytes.

/// Numbers fall into bins: one for each number below 32, and 16 for each doubling above. A bin is at most a 16th of its
/// numbers wide, so its middle is at most 3.2 % from each of them.
const STEPS: u64 = 16;
const BITS: u32 = STEPS.ilog2();
/// What is greater is counted with it; sum and greatest are exact.
const GREATEST: u64 = (1 << 44) - 1;
/// Bins that there may be.
pub const SKETCH_BINS: usize = bin_of(GREATEST) + 1;

/// Numbers, counted in bins of a constant relative width: their count, sum and greatest exactly, and quantiles to 3.2 %.
///
/// It has bins from the least number to the greatest alone: 2.6 KB at most, and 260 bytes for numbers that are at most
/// sixteen times apart. Everything is counted in integers, so the same numbers make the same sketch on every machine.
///
/// ```
/// let mut sketch = lineshaft_structures::Sketch::default();
/// (1..=1_000).for_each(|number| sketch.add(number));
/// let half = sketch.quantile(50, 100) as f64;
/// assert!((half / 500.0 - 1.0).abs() < 0.032);
/// assert_eq!((sketch.count(), sketch.sum(), sketch.max()), (1_000, 500_500, 1_000));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    sum: u64,
    max: u64,
    /// The number of the first bin.
    first: u32,
    bins: Vec<u32>,
}

impl Sketch {
    /// Counts one.
    pub fn add(&mut self, number: u64) {
        let bin = bin_of(number) as u32;
        if self.bins.is_empty() {
            self.first = bin;
        }
        if bin < self.first {
            let missing = (self.first - bin) as usize;
            self.bins.splice(..0, std::iter::repeat_n(0, missing));
            self.first = bin;
        }
        let at = (bin - self.first) as usize;
        if at >= self.bins.len() {
            self.bins.resize(at + 1, 0);
        }
        self.bins[at] = self.bins[at].saturating_add(1);
        self.sum = self.sum.saturating_add(number);
        self.max = self.max.max(number);
    }

    /// How many there were; a bin counts no further than 4,294,967,295.
    pub fn count(&self) -> u64 {
        self.bins.iter().copied().map(u64::from).sum()
    }

    /// All together.
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// The greatest; 0 if there was none.
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The number that `part` of `whole` of them do not exceed, to 3.2 %; 0 if there was none.
    pub fn quantile(&self, part: u32, whole: u32) -> u64 {
        let count = self.count();
        if count == 0 {
            return 0;
        }
        let rank = (u128::from(count) * u128::from(part)).div_ceil(u128::from(whole.max(1)));
        let rank = (rank as u64).clamp(1, count);
        let mut before = 0;
        let found = self.bins.iter().position(|count| {
            before += u64::from(*count);
            before >= rank
        });
        let bin = self.first as usize + found.unwrap_or(self.bins.len() - 1);
        middle_of(bin).min(self.max)
    }

    /// Its parts, to be kept: sum, greatest, the number of the first bin, and what is in each from there on.
    pub fn parts(&self) -> (u64, u64, u32, &[u32]) {
        (self.sum, self.max, self.first, &self.bins)
    }

    /// A sketch of these [parts](Self::parts); `None` if there is none of them.
    pub fn from_parts(sum: u64, max: u64, first: u32, bins: Vec<u32>) -> Option<Self> {
        let fits = (first as usize).checked_add(bins.len()).is_some_and(|end| end <= SKETCH_BINS);
        fits.then_some(Self { sum, max, first, bins })
    }
}

const fn bin_of(number: u64) -> usize {
    let number = if number > GREATEST { GREATEST } else { number };
    let doublings = (number | (2 * STEPS - 1)).ilog2() - BITS;
    (doublings as u64 * STEPS + (number >> doublings)) as usize
}

const fn middle_of(bin: usize) -> u64 {
    let bin = bin as u64;
    if bin < 2 * STEPS {
        return bin;
    }
    let doublings = bin / STEPS - 1;
    let first = (bin - doublings * STEPS) << doublings;
    first + (1 << doublings) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bin_is_found_again_by_its_middle_and_none_is_skipped() {
        (0..SKETCH_BINS).for_each(|bin| assert_eq!(bin_of(middle_of(bin)), bin));
        assert_eq!((bin_of(31), bin_of(32), bin_of(33), bin_of(34)), (31, 32, 32, 33));
        assert_eq!(bin_of(u64::MAX), SKETCH_BINS - 1);
    }

    #[test]
    fn without_numbers_everything_is_nothing() {
        let sketch = Sketch::default();
        assert_eq!((sketch.count(), sketch.sum(), sketch.max(), sketch.quantile(1, 2)), (0, 0, 0, 0));
    }

    #[test]
    fn parts_that_are_none_make_no_sketch() {
        assert_eq!(Sketch::from_parts(0, 0, SKETCH_BINS as u32, vec![1]), None);
        assert_eq!(Sketch::from_parts(0, 0, u32::MAX, vec![1]), None);
    }

    proptest! {
        #[test]
        fn quantiles_are_close_to_those_of_the_sorted_numbers(
            numbers in prop::collection::vec(prop_oneof![0..100u64, 0..1u64 << 20, 0..1u64 << 44], 1..400),
            part in 0..=1_000u32,
        ) {
            let mut sketch = Sketch::default();
            numbers.iter().for_each(|number| sketch.add(*number));
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            let rank = (sorted.len() * part as usize).div_ceil(1_000).max(1);
            let (exact, found) = (sorted[rank - 1], sketch.quantile(part, 1_000));
            prop_assert!(exact.abs_diff(found) as f64 <= 0.032 * exact as f64, "{exact} {found}");
            prop_assert_eq!(sketch.count(), numbers.len() as u64);
            prop_assert_eq!(sketch.sum(), numbers.iter().sum::<u64>());
            prop_assert_eq!(Some(&sketch.max()), numbers.iter().max());
            let (sum, max, first, bins) = sketch.parts();
            prop_assert_eq!(Sketch::from_parts(sum, max, first, bins.to_vec()), Some(sketch.clone()));
        }

        #[test]
        fn the_order_does_not_matter(mut numbers in prop::collection::vec(0..1u64 << 44, 0..50)) {
            let of = |numbers: &[u64]| {
                let mut sketch = Sketch::default();
                numbers.iter().for_each(|number| sketch.add(*number));
                sketch
            };
            let before = of(&numbers);
            numbers.reverse();
            prop_assert_eq!(of(&numbers), before);
        }
    }
}
