//! What the jobs of a soak are: mostly small ones, and some of everything that a home has to keep apart.

use std::fmt::Write;
use std::time::Duration;

use crate::load::{BATCH, Jobs, NOTHING, TEXT};
use crate::worker::{ECHO, FAILS, FLAKY};

/// A step through all of those times.
const PRIME: u64 = 7_919;
/// Different texts of each size: what a block holds is not the same all over.
const TEXTS: u64 = 16;
const ECHO_BYTES: usize = 1 << 10;
const LARGE_BYTES: usize = 16 << 10;
/// More than what stands in a journal.
const BLOB_BYTES: usize = 2 << 20;
/// Requests of which one brings a blob.
const BLOB_EVERY: u64 = 50;

/// Jobs that are ready to be sent.
pub(super) struct Mix {
    /// How late a job for later is at most.
    late: Duration,
    small: Jobs,
    without_result: Jobs,
    fails: Jobs,
    flaky: Jobs,
    blob: Jobs,
    large: Vec<Jobs>,
    echoes: Vec<Jobs>,
}

impl Mix {
    pub(super) fn new(late: Duration) -> Self {
        let all = |task: &str, bytes| (0..TEXTS).map(|seed| Jobs::of(task, &text(seed, bytes))).collect();
        Self {
            late,
            small: Jobs::nothing(),
            without_result: Jobs::nothing().rules(|rules| rules.keep_result = false),
            fails: Jobs::of(NOTHING, FAILS),
            flaky: Jobs::of(FLAKY, TEXT).rules(|rules| rules.max_attempts = 3),
            blob: Jobs::of(NOTHING, &text(TEXTS, BLOB_BYTES)),
            large: all(NOTHING, LARGE_BYTES),
            echoes: all(ECHO, ECHO_BYTES),
        }
    }

    /// The jobs of a request, a thousand. The last one has a result of a thousand bytes and a tag that no other request
    /// has.
    pub(super) fn request(&self, number: u64) -> Vec<(Jobs, usize)> {
        let one_of = |kinds: &[Jobs]| kinds[(number % TEXTS) as usize].clone();
        let late_ms = number * PRIME % self.late.as_millis() as u64;
        let mut parts = vec![
            (self.without_result.clone(), 100),
            (self.fails.clone(), 2),
            (self.flaky.clone(), 10),
            (self.small.clone().after_ms(late_ms), 10),
            (one_of(&self.large), 4),
            (one_of(&self.echoes).tag(&format!("request-{number}")), 40),
        ];
        if number.is_multiple_of(BLOB_EVERY) {
            parts.insert(0, (self.blob.clone(), 1));
        }
        let others: usize = parts.iter().map(|(_, count)| count).sum();
        parts.insert(0, (self.small.clone(), BATCH - others));
        parts
    }
}

/// A text that a compressor makes about half as long.
fn text(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut digits = String::with_capacity(bytes + 16);
    while digits.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = write!(digits, "{state:016x}"); // a text takes everything
    }
    digits.truncate(bytes);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_thousand_jobs_and_its_own_tag() {
        let mix = Mix::new(Duration::from_secs(1));
        for number in [0, 1, 49, 50] {
            let parts = mix.request(number);
            assert_eq!(parts.iter().map(|(_, count)| count).sum::<usize>(), BATCH);
            let last = format!("{:?}", parts.last().unwrap().0);
            assert!(last.contains(&format!("request-{number}\"")));
        }
    }
}
