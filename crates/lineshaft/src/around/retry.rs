//! `#[retry]`: whether a call is tried again, and when.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lineshaft_structures::Rate;

use super::rough::Rough;

/// The retries of all functions that say nothing else: an outage is not multiplied by those who try again.
static OF_PROCESS: Mutex<Rate> = Mutex::new(rate(100, Duration::from_secs(1), 1_000));
const DOUBLINGS_MAX: u32 = 60;

/// What `before_pause` of `#[lineshaft::retry]` is told: a call failed and is tried again.
#[derive(Debug)]
pub struct Retrying<'a, E> {
    /// The function.
    pub name: &'static str,
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// With what.
    pub error: &'a E,
    /// How long until it is called again.
    pub pause: Duration,
    /// How long since its first attempt began.
    pub elapsed: Duration,
}

/// The options of a function.
pub struct Patience {
    /// Retries after the first attempt; `None` for as often as the others allow.
    pub max: Option<u32>,
    /// The longest pause before the first retry.
    pub first: Duration,
    /// The longest of all.
    pub cap: Duration,
    /// No retry begins later than so long after the first attempt.
    pub deadline: Option<Duration>,
    /// How many there may be.
    pub budget: Budget,
}

/// How many retries there may be, of whom.
pub enum Budget {
    /// Of all functions that have none of their own.
    OfProcess,
    /// Of this one.
    Own(Mutex<Rate>),
    /// Any number.
    Unbounded,
}

impl Budget {
    /// Of this function, `count` in every `period`.
    pub const fn own(count: u32, period: Duration) -> Self {
        Self::Own(Mutex::new(rate(count, period, count)))
    }

    fn take(&self) -> bool {
        let rate = match self {
            Self::OfProcess => &OF_PROCESS,
            Self::Own(rate) => rate,
            Self::Unbounded => return true,
        };
        rate.lock().unwrap_or_else(PoisonError::into_inner).take(now_ns()).is_ok()
    }
}

/// The attempts of one call.
pub struct Trying {
    patience: &'static Patience,
    name: &'static str,
    say: fn(&str),
    began: Instant,
    attempt: u32,
}

impl Patience {
    /// Three retries, after pauses of up to 100 ms, 200 ms and 400 ms.
    pub const DEFAULT: Self = Self {
        max: Some(3),
        first: Duration::from_millis(100),
        cap: Duration::from_secs(10),
        deadline: None,
        budget: Budget::OfProcess,
    };

    /// Itself; a panic, which is an error of the compiler where it is a constant, if it is at odds with itself.
    #[must_use]
    pub const fn checked(self) -> Self {
        assert!(
            self.first.as_nanos() <= self.cap.as_nanos(),
            "option `first`: the first pause is longer than `cap`, the longest of all"
        );
        self
    }

    /// A call of the function `name` begins, which says things by `say`.
    #[inline]
    pub fn begin(&'static self, name: &'static str, say: fn(&str)) -> Trying {
        Trying { patience: self, name, say, began: Instant::now(), attempt: 1 }
    }

    fn pause(&self, attempt: u32) -> Duration {
        let doubled = self.first.as_secs_f64() * 2_f64.powi((attempt - 1).min(DOUBLINGS_MAX) as i32);
        // Those who failed together do not come back together.
        Duration::from_secs_f64(doubled.min(self.cap.as_secs_f64()) * fastrand::f64())
    }

    /// Why there is no attempt after this one; the next would begin so long after the first. One that is given is taken
    /// from the budget.
    fn end(&self, attempt: u32, after: Duration) -> Option<String> {
        if self.max.is_some_and(|max| attempt > max) {
            return Some("that is all".into());
        }
        if let Some(deadline) = self.deadline.filter(|deadline| after > *deadline) {
            return Some(format!("the next attempt would be after its deadline of {}", Rough(deadline)));
        }
        (!self.budget.take()).then(|| "the retry budget is used up".into())
    }
}

impl Trying {
    /// An attempt failed, or gave what is tried again: how long to wait before the next one; `None` if there is none.
    pub fn pause<E>(
        &mut self,
        error: &E,
        on: impl FnOnce(&E) -> bool,
        never: impl FnOnce(&E) -> bool,
        before_pause: impl FnOnce(&Retrying<'_, E>),
    ) -> Option<Duration> {
        let patience = self.patience;
        self.pause_after(error, on, never, before_pause, |attempt, _| patience.pause(attempt))
    }

    /// As [`Self::pause`], with a pause that `after` gives.
    #[cold]
    pub fn pause_after<E>(
        &mut self,
        error: &E,
        on: impl FnOnce(&E) -> bool,
        never: impl FnOnce(&E) -> bool,
        before_pause: impl FnOnce(&Retrying<'_, E>),
        after: impl FnOnce(u32, &E) -> Duration,
    ) -> Option<Duration> {
        if !on(error) || never(error) {
            return None;
        }
        let (attempt, elapsed) = (self.attempt, self.began.elapsed());
        let pause = after(attempt, error);
        if let Some(end) = self.patience.end(attempt, elapsed.saturating_add(pause)) {
            let times = if attempt == 1 { "once".to_owned() } else { format!("{attempt} times") };
            (self.say)(&format!("{}: tried {times} in {}: {end}", self.name, Rough(elapsed)));
            return None;
        }
        before_pause(&Retrying { name: self.name, attempt, error, pause, elapsed });
        self.attempt = attempt.saturating_add(1);
        Some(pause)
    }
}

/// What an argument has to be to be given more than once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given to another attempt",
    label = "each attempt gets a clone of this argument",
    note = "derive `Clone`, take it by reference, or put it into an `Arc`"
)]
pub trait Again {
    /// A clone.
    #[must_use]
    fn again(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone> Again for T {
    fn again(&self) -> Self {
        self.clone()
    }
}

/// An argument for one attempt.
#[inline]
pub fn again<T: Again>(argument: &T) -> T {
    argument.again()
}

/// `count` turns in every `period`; a panic, which is an error of the compiler where it is a constant, if that is nothing.
const fn rate(count: u32, period: Duration, burst: u32) -> Rate {
    Rate::new(count, period, burst).expect("a rate has a number and a time above 0")
}

fn now_ns() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_nanos() as u64
}
