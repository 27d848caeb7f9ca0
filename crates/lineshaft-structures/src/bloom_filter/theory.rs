//! What can be expected of filters in blocks: as many members fall into a block as Poisson says.

use super::{BLOCK_BYTES, BYTES_MAX, WORD_BITS, WORDS};

/// How often a stranger is taken for a member where blocks have `load` members on average.
///
/// With `i` members in a block a bit of a word is set with a probability of `1 - (31/32)^i`, and all eight have to be.
pub(super) fn error_rate(load: f64) -> f64 {
    let clear = 1.0 - 1.0 / f64::from(WORD_BITS);
    let wrong = |members: f64| (1.0 - clear.powf(members)).powi(WORDS as i32);
    // What lies further from the mean than this is of no weight.
    let reach = 12.0 * load.sqrt() + 30.0;
    let first = (load - reach).max(0.0).floor();
    let count = (2.0 * reach) as u32 + 1;
    // The probability of the first number of members, in logarithms: factorials are too large.
    let log_factorial: f64 = (1..=first as u64).map(|number| (number as f64).ln()).sum();
    let mut probability = if load > 0.0 { (first * load.ln() - load - log_factorial).exp() } else { 1.0 };
    let (mut sum, mut members) = (0.0, first);
    for _ in 0..count {
        sum += probability * wrong(members);
        members += 1.0;
        probability *= load / members;
    }
    sum
}

/// The fewest blocks that keep the rate with so many members.
pub(super) fn blocks(capacity: u64, rate: f64) -> u64 {
    let most = BYTES_MAX / BLOCK_BYTES as u64 + 1;
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = u64::midpoint(low, high);
        // Far beyond, where the sum is long, everything is taken for a member.
        let load = capacity as f64 / middle as f64;
        if load < 1_000.0 && error_rate(load) <= rate {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// How many members set so many bits: a bit stays clear with a probability of `exp(-load / 32)`.
pub(super) fn estimated_count(ones: u64, blocks: u64) -> u64 {
    let bits = blocks * (8 * BLOCK_BYTES as u64);
    let clear = (bits - ones).max(1) as f64 / bits as f64;
    (-f64::from(WORD_BITS) * clear.ln() * blocks as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside the sum with every factorial of its own, for small loads.
    #[test]
    fn the_rate_is_the_sum_over_all_numbers_of_members() {
        for load in [0.5, 1.0, 8.0, 25.6, 60.0] {
            let (mut sum, mut probability) = (0.0, f64::exp(-load));
            for members in 0..400 {
                sum += probability * (1.0 - (31.0_f64 / 32.0).powi(members)).powi(8);
                probability *= load / f64::from(members + 1);
            }
            assert!((error_rate(load) / sum - 1.0).abs() < 1e-9, "{load}: {} {sum}", error_rate(load));
        }
        assert!(error_rate(0.0).abs() < f64::EPSILON);
        assert!(error_rate(999.0) > 0.999);
    }

    #[test]
    fn no_block_is_spent_for_nothing() {
        for (capacity, rate) in [(1_000, 0.01), (1_000_000, 0.001), (50_000, 1e-6), (7, 0.5)] {
            let blocks = blocks(capacity, rate);
            assert!(error_rate(capacity as f64 / blocks as f64) <= rate);
            assert!(blocks == 1 || error_rate(capacity as f64 / (blocks - 1) as f64) > rate);
        }
    }
}
