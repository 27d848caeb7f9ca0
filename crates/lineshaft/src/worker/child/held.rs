//! For how long bodies have the lock of their interpreter, such as Python's GIL.
//!
//! The interpreter does not count that, and has no hook with which it could be counted. So the thread of the connection
//! looks now and then who has it; what it sees stands for the time since it looked last. Pauses are of random length: what a
//! body does as regularly as it is looked at would be seen always or never. They become longer the longer a body runs, so that
//! one of an hour is looked at some 450 times. One that is over soon never is: a look takes 75 us, most of it the wake-up.

use std::time::{Duration, Instant};

use crate::interpreter::lock_view;

/// A body is looked at first after this time, in the middle.
const FIRST: Duration = Duration::from_millis(50);
/// The pause between two looks, in the middle.
const PAUSE: Duration = Duration::from_millis(20);
/// Nor is it shorter than this part of the time for which the body has run.
const PART: u32 = 50;
/// From fewer looks nothing is said: a body that has the lock half of the time would be 14 % off in the middle.
const LOOKS_MIN: u32 = 12;

/// What was seen of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Its thread, as the interpreter knows it.
    thread: usize,
    began: Instant,
    looked_at: Instant,
    next_at: Instant,
    looks: u32,
    held: Duration,
}

impl Held {
    /// Of a body that begins in this thread. `None` where it cannot be seen.
    pub(super) fn begin(began: Instant) -> Option<Self> {
        let thread = (lock_view()?.this_thread)();
        (thread != 0).then(|| Self::of(thread, began))
    }

    fn of(thread: usize, began: Instant) -> Self {
        let next_at = began + FIRST.mul_f64(0.6 + 0.8 * fastrand::f64());
        Self { thread, began, looked_at: began, next_at, looks: 0, held: Duration::ZERO }
    }

    /// When it should be looked at next.
    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// The lock is with this thread now, or with nobody if that is 0.
    fn see(&mut self, holder: usize, now: Instant) {
        if holder == self.thread {
            self.held += now.saturating_duration_since(self.looked_at);
        }
        let pause = PAUSE.max(now.saturating_duration_since(self.began) / PART);
        (self.looked_at, self.next_at) = (now, now + pause.mul_f64(0.5 + fastrand::f64()));
        self.looks += 1;
    }

    /// For how long it had the lock, if it ran for so long; `None` if it was looked at too seldom.
    pub(super) fn of_time(&self, ran: Duration) -> Option<Duration> {
        let seen = self.looked_at.saturating_duration_since(self.began);
        (self.looks >= LOOKS_MIN).then(|| ran.mul_f64(self.held.as_secs_f64() / seen.as_secs_f64()).min(ran))
    }
}

/// Looks at those bodies whose turn it is.
pub(super) fn look_at<'a>(bodies: impl Iterator<Item = &'a mut Held>, now: Instant) {
    let mut holder = None;
    for body in bodies.filter(|body| now >= body.next_at) {
        let holder = *holder.get_or_insert_with(|| lock_view().map_or(0, |view| (view.holder)()));
        body.see(holder, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// What is said of a body of which it is known when it has the lock, and how often it was looked at.
    fn seen(ran: Duration, has_lock: impl Fn(Duration) -> bool) -> (Option<Duration>, u32) {
        let began = Instant::now();
        let mut body = Held::of(7, began);
        while body.next_at() < began + ran {
            let now = body.next_at();
            body.see(if has_lock(now - began) { 7 } else { 8 }, now);
        }
        (body.of_time(ran), body.looks)
    }

    #[test]
    fn what_is_seen_stands_for_the_time_in_between() {
        let check = |ran: Duration, part: f64, has_lock: fn(Duration) -> bool| {
            let all: Vec<f64> =
                (0..200).map(|_| seen(ran, has_lock).0.unwrap().as_secs_f64() / ran.as_secs_f64()).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            // Five times the error that the mean of so many has.
            assert!((mean - part).abs() < 0.05, "{mean} is not {part}, after {ran:?}");
        };
        for ran in [400 * MS, 3_000 * MS, 600_000 * MS] {
            check(ran, 1.0, |_| true);
            check(ran, 0.0, |_| false);
            // As often as it is looked at: who looked every 20 ms would see it always, or never.
            check(ran, 0.5, |at| at.as_micros() % 20_000 < 10_000);
            check(ran, 0.9, |at| at.as_micros() % 1_000 >= 100);
        }
    }

    #[test]
    fn a_body_that_is_over_soon_says_nothing_and_a_long_one_is_looked_at_seldom() {
        assert_eq!(seen(29 * MS, |_| true), (None, 0));
        assert_eq!(seen(100 * MS, |_| true).0, None);
        let (held, looks) = seen(3_600_000 * MS, |_| true);
        assert!(held == Some(3_600_000 * MS) && (300..700).contains(&looks), "{looks} looks");
    }

    #[test]
    fn a_look_that_comes_late_is_one_look() {
        let began = Instant::now();
        let mut body = Held::of(7, began);
        body.see(7, began + 5_000 * MS);
        assert_eq!((body.looks, body.held), (1, 5_000 * MS));
        assert!(body.next_at() >= began + 5_050 * MS);
    }
}
