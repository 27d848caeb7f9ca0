//! Which attempts of a task are profiled.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lineshaft_insight::{LONG_MIN, RunTimes};
use lineshaft_wire::Looks;

use crate::worker::Job;

/// Between two profiles of a task for the sake of their length.
const PAUSE: Duration = Duration::from_secs(60);
/// Runs between two times at which it is reckoned what is long.
const RECKON_EVERY: u32 = 20;

/// Why an attempt is profiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was asked for, by its call or for the next attempts of its task.
    Asked,
    /// It is one of the share that its task says.
    Share,
    /// It runs longer than nearly all of its task before.
    Slow,
}

impl Why {
    /// As it stands in the record of a profile.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Share => "share",
            Self::Slow => "slow",
        }
    }
}

/// What decides for the attempts of one task: the share that it says, how long its attempts ran, and when one of them was
/// last profiled for that.
#[derive(Debug, Default)]
pub struct Which {
    /// From 0 to 1; `None` if the task does not say.
    share: Option<f64>,
    /// How those of that share are looked at.
    looks: Looks,
    times: Mutex<(RunTimes, u32)>,
    /// Milliseconds, to be asked at every attempt; 0 while it is not known.
    long_after_ms: AtomicU64,
    profiled: Mutex<Option<Instant>>,
}

impl Which {
    /// For a task of which this share is to be profiled; 0 says that none is but on request. More than the time is found
    /// out of these by [`Self::looking`].
    pub fn new(share: Option<f64>) -> Self {
        Self { share, looks: Looks::PLAIN, ..Self::default() }
    }

    /// The same, with those of its share looked at in these ways too.
    #[must_use]
    pub fn looking(mut self, looks: Looks) -> Self {
        self.looks |= looks;
        self
    }

    /// Why the attempt of a job is to be profiled from its beginning, if it is, and how it is looked at: as was asked for
    /// and as its task says.
    pub fn from_the_beginning(&self, job: &Job) -> Option<(Why, Looks)> {
        let share = self.share.filter(|share| *share > 0.0);
        let is_of_share = share.is_some_and(|share| fastrand::f64() < share);
        let looks = job.looks | if is_of_share { self.looks } else { Looks::NONE };
        let why = if job.looks.is_profiled() { Why::Asked } else { Why::Share };
        looks.is_profiled().then_some((why, looks))
    }

    /// After which time an attempt is profiled by itself, if that is known; never if the task says that none is profiled.
    pub fn long_after(&self) -> Option<Duration> {
        let ms = self.long_after_ms.load(Ordering::Relaxed);
        (ms > 0 && self.share != Some(0.0)).then(|| Duration::from_millis(ms))
    }

    /// An attempt has run so long.
    pub fn record(&self, took: Duration) {
        let mut times = lock(&self.times);
        times.0.record(took);
        times.1 = (times.1 + 1) % RECKON_EVERY;
        if times.1 == 0 || took >= LONG_MIN {
            let long = times.0.long_after().unwrap_or_default();
            self.long_after_ms.store(u64::try_from(long.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Whether one may be profiled now since it runs for long; then none is for a while.
    pub fn take_turn(&self) -> bool {
        let mut last = lock(&self.profiled);
        let is_due = last.is_none_or(|last| last.elapsed() >= PAUSE);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lineshaft_wire::{Fence, JobId};

    use super::*;

    fn job(looks: Looks) -> Job {
        Job {
            id: JobId::direct(1, 0, 0, 0),
            fence: Fence { epoch: 1, counter: 1 },
            task: 0,
            attempt: 1,
            is_last: false,
            timeout: None,
            keep_result: true,
            arguments: Bytes::new(),
            checkpoint: Bytes::new(),
            looks,
            context: None,
            place: 0,
        }
    }

    #[test]
    fn what_is_asked_for_comes_before_the_share() {
        let (none, plain, memory) = (Looks::NONE, Looks::PLAIN, Looks::MEMORY);
        let why = |share, asked| Which::new(share).from_the_beginning(&job(asked));
        assert_eq!(why(None, plain), Some((Why::Asked, plain)));
        assert_eq!(why(Some(0.0), memory), Some((Why::Asked, memory)));
        assert_eq!(why(Some(1.0), none), Some((Why::Share, plain)));
        assert_eq!((why(None, none), why(Some(0.0), none)), (None, None));
        let of_memory = Which::new(Some(1.0)).looking(memory);
        assert_eq!(of_memory.from_the_beginning(&job(none)), Some((Why::Share, memory)));
        let both = Some((Why::Asked, memory | Looks::NATIVE));
        assert_eq!(of_memory.from_the_beginning(&job(Looks::NATIVE)), both);
        let which = Which::new(Some(0.25));
        let chosen = (0..4_000).filter(|_| which.from_the_beginning(&job(Looks::NONE)).is_some()).count();
        assert!((700..1_300).contains(&chosen), "{chosen}");
    }

    #[test]
    fn what_is_long_is_known_after_a_hundred_runs_and_not_where_none_is_profiled() {
        let after = |share, runs: u32| {
            let which = Which::new(share);
            (0..runs).for_each(|_| which.record(Duration::from_millis(10)));
            which.long_after()
        };
        assert_eq!(after(None, 99), None);
        assert_eq!(after(None, 100), Some(LONG_MIN));
        assert_eq!(after(Some(0.5), 100), Some(LONG_MIN));
        assert_eq!(after(Some(0.0), 100), None);
    }

    #[test]
    fn one_in_a_minute_has_its_turn() {
        let which = Which::default();
        assert_eq!([which.take_turn(), which.take_turn()], [true, false]);
    }
}
