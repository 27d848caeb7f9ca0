//! The way of a call among alternatives: who runs, what it took, and whether it was right.

use std::any::type_name;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use lineshaft_insight::Pick;
use tokio::runtime::Handle;

use super::class::Class;
use super::{Alternatives, now_ms};

/// A call that has begun. If it is dropped before its end it has no time; if it is dropped since another implementation
/// than the first one panics, that is left out.
pub struct Call {
    of: &'static Alternatives,
    class: Arc<Class>,
    pick: Pick,
    began: Instant,
    stage: Stage,
    /// Whether the result of another one is to be compared with the first one's.
    is_verified: bool,
    /// Whether an implementation is at it right now, on this thread.
    is_inside: bool,
}

#[derive(Clone, PartialEq)]
enum Stage {
    /// The one that was picked runs.
    Picked,
    /// It took too long, and what comes now is the answer.
    GivenUp,
    /// It failed, with this type of error, and the first one decides.
    Failed(&'static str),
    /// It is to be compared with the first one.
    Verified,
    Over,
}

impl Call {
    pub(super) fn begin(of: &'static Alternatives, class: Arc<Class>) -> Self {
        let pick = class.choice().pick(now_ms(), fastrand::f64());
        let is_verified = of.verify > 0.0 && pick.number > 0 && fastrand::f64() < of.verify;
        let (began, stage, is_inside) = (Instant::now(), Stage::Picked, true);
        Self { of, class, pick, began, stage, is_verified, is_inside }
    }

    /// Who is to run, counted from 0.
    #[inline]
    pub fn number(&self) -> usize {
        self.pick.number
    }

    /// Whether what another one gives is the answer without regard to the first one, unless it is an error.
    #[inline]
    pub fn is_alone(&self) -> bool {
        !self.is_verified
    }

    /// Another one than the first is done, with an error of a type or without. Whether the first one is to run too.
    pub fn is_doubted(&mut self, error: Option<&'static str>) -> bool {
        self.is_inside = false;
        match (&self.stage, error) {
            (_, Some(error)) => {
                self.class.choice().gave_none(self.pick);
                self.stage = Stage::Failed(error);
            }
            (Stage::GivenUp, None) => self.stage = Stage::Over,
            (_, None) => {
                self.of.ran(&self.class, self.pick, self.began.elapsed());
                self.stage = if self.is_verified { Stage::Verified } else { Stage::Over };
            }
        }
        self.stage != Stage::Over
    }

    /// The first one is done, with an error of a type or without; `other` is what another one gave that is doubted.
    pub fn end<T>(
        mut self,
        other: Option<T>,
        first: T,
        error: impl FnOnce(&T) -> Option<&'static str>,
        is_same: impl FnOnce(&T, &T) -> bool,
    ) -> T {
        let has_failed = error(&first).is_some();
        let stage = std::mem::replace(&mut self.stage, Stage::Over);
        match (stage, other) {
            // An error of the first one is the function's own, whatever the others do.
            (Stage::Picked, _) if has_failed => self.class.choice().gave_none(self.pick),
            (Stage::Picked, _) => self.of.ran(&self.class, self.pick, self.began.elapsed()),
            (Stage::Failed(error), _) if !has_failed => {
                let first = &self.of.names[0];
                let how = format!("gave an error, {error}, where {first} did not");
                self.of.failed(&self.class, self.pick.number, &how);
            }
            (Stage::Verified, Some(other)) if !has_failed => {
                if is_same(&first, &other) {
                    return other;
                }
                self.of.differed(&self.class, self.pick.number);
            }
            _ => (),
        }
        first
    }

    /// What a future gives; `None` if it took too long for a look and was dropped, and somebody else is to run. Outside of
    /// tokio there is no timer, and it takes what it takes.
    pub async fn within<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let is_limited = self.stage == Stage::Picked && Handle::try_current().is_ok();
        let limit = self.pick.limit_s.filter(|_| is_limited);
        let is_inside = &mut self.is_inside;
        let mut future = pin!(future);
        let polled = poll_fn(|context| {
            *is_inside = true;
            let polled = future.as_mut().poll(context);
            *is_inside = false;
            polled
        });
        match limit.and_then(|limit| Duration::try_from_secs_f64(limit).ok()) {
            None => return Some(polled.await),
            Some(limit) => {
                if let Ok(value) = tokio::time::timeout(limit, polled).await {
                    return Some(value);
                }
            }
        }
        self.of.ran(&self.class, self.pick, self.began.elapsed());
        self.stage = Stage::GivenUp;
        self.pick.number = self.class.choice().best().unwrap_or(0);
        None
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !matches!(self.stage, Stage::Picked | Stage::GivenUp) {
            return;
        }
        self.class.choice().gave_none(self.pick);
        if self.is_inside && self.pick.number > 0 && thread::panicking() {
            self.of.failed(&self.class, self.pick.number, "panicked");
        }
    }
}

/// What an argument has to be to be given to two implementations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be given to two implementations",
    label = "another implementation gets a clone of this argument, since the first one may have to do the work as well",
    note = "derive `Clone`, take it by reference, or put it into an `Arc`"
)]
pub trait Given {
    /// A clone.
    #[must_use]
    fn given(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone> Given for T {
    fn given(&self) -> Self {
        self.clone()
    }
}

/// An argument for another implementation.
#[inline]
pub fn twice<T: Given>(argument: &T) -> T {
    argument.given()
}

/// What a result has to be to be verified.
#[diagnostic::on_unimplemented(
    message = "results of `{Self}` cannot be compared",
    label = "what another implementation gives is compared with this by `==`, which it does not have",
    note = "derive `PartialEq`, or say when two are the same: `equal = |one, other| one.id == other.id`"
)]
pub trait Compared {
    /// Whether it is the same as what the first one gave. What does not equal itself, as it has a NaN in it, can be
    /// compared with nothing.
    fn is_same_as(&self, first: &Self) -> bool;
}

#[diagnostic::do_not_recommend]
impl<T: PartialEq> Compared for T {
    #[allow(clippy::eq_op, reason = "there is what does not equal itself")]
    fn is_same_as(&self, first: &Self) -> bool {
        self == first || first != first
    }
}

/// Whether two results are the same.
pub fn is_same<T: Compared>(first: &T, other: &T) -> bool {
    other.is_same_as(first)
}

/// What `is_same` says of two results, whose type it is told by them.
pub fn compared<T>(first: &T, other: &T, is_same: impl FnOnce(&T, &T) -> bool) -> bool {
    is_same(first, other)
}

/// The type of an error, of a function that returns a `Result`.
pub fn error_type<T, E>(result: &Result<T, E>) -> Option<&'static str> {
    result.as_ref().err().map(|_| type_name::<E>())
}

/// There is none, of a function that returns none.
pub fn no_error<T>(_: &T) -> Option<&'static str> {
    None
}
