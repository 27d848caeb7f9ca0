//! Adaptive spinning of threads that wait for another process.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::processors::is_a_processor_free;

/// So long a wait is polled for at most: about what it costs to sleep and be woken.
const SPIN: Duration = Duration::from_micros(20);
/// A wait up to this is a short one, of which the next is expected to be one too. Waits that are slept through are told by
/// it as well, so two wake-ups have to fit.
const SHORT: Duration = Duration::from_micros(100);
/// How often the clock is read.
const POLLS_PER_LOOK: u32 = 32;
/// Short waits more than long ones, counted up to [`SCORE_MAX`], from which on the next one is polled for.
const SCORE_MIN: u8 = 2;
const SCORE_MAX: u8 = 3;

/// What one process knows of its last waits at one end of a ring.
#[derive(Debug)]
pub(super) struct Patience {
    score: AtomicU8,
}

impl Default for Patience {
    /// The first wait is polled for.
    fn default() -> Self {
        Self { score: AtomicU8::new(SCORE_MIN) }
    }
}

impl Patience {
    /// Waits for `is_ready` to hold: polls for 20 us at most, if the last waits were short and a processor is free, and
    /// then calls `sleep` until it does or that says no. Whether it holds.
    pub(super) fn wait(&self, is_ready: impl Fn() -> bool, mut sleep: impl FnMut() -> bool) -> bool {
        let began = Instant::now();
        let mut is_over = self.score.load(Relaxed) >= SCORE_MIN && spin(began, &is_ready);
        while !is_over {
            if !sleep() {
                // One that is given up has also been as long as it was; who asks again and again is to sleep.
                let wait = began.elapsed();
                if wait > SHORT {
                    self.note(wait);
                }
                return false;
            }
            is_over = is_ready();
        }
        self.note(began.elapsed());
        true
    }

    fn note(&self, wait: Duration) {
        let score = self.score.load(Relaxed);
        let next = if wait <= SHORT { (score + 1).min(SCORE_MAX) } else { score.saturating_sub(1) };
        if next != score {
            self.score.store(next, Relaxed);
        }
    }
}

fn spin(began: Instant, is_ready: impl Fn() -> bool) -> bool {
    let mut is_worth_it = false;
    loop {
        for _ in 0..POLLS_PER_LOOK {
            if is_ready() {
                return true;
            }
            std::hint::spin_loop();
        }
        // Asked after the first polls, since it costs as much as some waits take.
        is_worth_it = is_worth_it || is_a_processor_free();
        if !is_worth_it || began.elapsed() >= SPIN {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_waits_are_slept_through_until_short_ones_come_again() {
        let patience = Patience::default();
        let score = || patience.score.load(Relaxed);
        for (wait, expected) in
            [(SHORT, 3), (SHORT, 3), (SHORT * 2, 2), (SHORT * 2, 1), (SHORT * 2, 0), (SHORT, 1)]
        {
            patience.note(wait);
            assert_eq!(score(), expected);
        }
    }

    /// An idle getter that looked for signals every 50 ms polled each time, for ever.
    #[test]
    fn waits_that_are_given_up_are_long_ones() {
        let patience = Patience { score: AtomicU8::new(SCORE_MAX) };
        for expected in [2, 1, 0, 0] {
            let sleep = || {
                std::thread::sleep(SHORT * 2);
                false
            };
            assert!(!patience.wait(|| false, sleep));
            assert_eq!(patience.score.load(Relaxed), expected);
        }
    }

    #[test]
    fn a_wait_ends_when_sleep_says_no_or_it_is_ready() {
        let patience = Patience::default();
        assert!(!patience.wait(|| false, || false));
        let naps = std::cell::Cell::new(0);
        let nap = || {
            naps.set(naps.get() + 1);
            true
        };
        assert!(patience.wait(|| naps.get() == 3, nap));
    }
}
