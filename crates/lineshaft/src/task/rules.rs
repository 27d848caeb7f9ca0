//! What a declaration says about the jobs of its task, as constants.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use lineshaft_wire::message::{OnFailure, Rules};

use super::error::class_name;
use super::{Error, Handler};

/// What jobs of a task are made with, unless their call says otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// The version of the task.
    pub version: u32,
    /// The earliest one whose jobs it runs.
    pub from_version: u32,
    /// The queue they wait in.
    pub queue: &'static str,
    /// 1 (first) to 9.
    pub priority: u8,
    /// How often an attempt is repeated.
    pub retries: u32,
    /// Which are, and when.
    pub retry: Retry,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// By when it must have begun.
    pub expires: Option<Duration>,
    /// By when it must have ended.
    pub deadline: Option<Duration>,
    /// What makes them equal.
    pub unique: Option<UniqueBy>,
    /// How long equal calls are answered with a completed job.
    pub cache: Option<Duration>,
    /// Never run twice, rather lost.
    pub at_most_once: bool,
    /// Whether the result is kept.
    pub keep_result: bool,
    /// Free labels.
    pub tags: &'static [&'static str],
    /// Older names of the task.
    pub aliases: &'static [&'static str],
    /// What is made of a job that gives up.
    pub on_failure: Option<Handler<'static>>,
    /// The share of attempts that are profiled, from 0 to 1.
    pub profile: Option<f64>,
}

/// Which errors are tried again, and when.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Only these are tried again; empty is all.
    pub on: &'static [Class],
    /// These never are.
    pub never: &'static [Class],
    /// The first wait.
    pub first: Duration,
    /// The longest wait.
    pub cap: Duration,
    /// Says the wait in place of these.
    pub after: Option<fn(u32, &Error) -> Duration>,
}

/// A type of errors.
#[derive(Clone, Copy, Debug)]
pub enum Class {
    /// By its canonical name.
    Named(&'static str),
    /// By what gives that.
    Of(fn() -> String),
}

/// What makes jobs of a task equal: all arguments, or those of these names.
#[derive(Clone, Copy, Debug)]
pub struct UniqueBy {
    /// Of the arguments that count; `None` is all.
    pub names: Option<&'static [&'static str]>,
    /// Until it first runs rather than until it has ended.
    pub while_queued: bool,
    /// From the enqueue, whatever becomes of it.
    pub period: Option<Duration>,
}

impl Defaults {
    /// Those of a task that names none.
    pub const DEFAULT: Self = Self {
        version: 1,
        from_version: 1,
        queue: "default",
        priority: 5,
        retries: 0,
        retry: Retry::DEFAULT,
        timeout: Some(Duration::from_secs(3_600)),
        expires: None,
        deadline: None,
        unique: None,
        cache: None,
        at_most_once: false,
        keep_result: true,
        tags: &[],
        aliases: &[],
        on_failure: None,
        profile: None,
    };

    /// What a job of `task` is made with, where these are its defaults.
    pub(super) fn job_of(&self, task: &str) -> OnFailure {
        let after = |duration: Option<Duration>| duration.map(milliseconds);
        OnFailure {
            task: task.into(),
            queue: self.queue.into(),
            priority: self.priority,
            expires_ms: after(self.expires),
            deadline_ms: after(self.deadline),
            tags: self.tags.iter().map(|tag| Arc::from(*tag)).collect(),
            rules: Arc::new(self.rules()),
            version: self.version,
        }
    }

    /// As they are sent with each job.
    pub(super) fn rules(&self) -> Rules {
        let names = |classes: &[Class]| classes.iter().map(Class::name).collect();
        let Retry { on, never, first, cap, .. } = self.retry;
        Rules {
            max_attempts: self.retries + 1,
            timeout_ms: self.timeout.map(milliseconds),
            backoff_first_ms: milliseconds(first),
            // A later first delay alone moves the longest one.
            backoff_max_ms: milliseconds(cap.max(first)),
            retry_on: names(on),
            retry_never: names(never),
            at_most_once: self.at_most_once,
            keep_result: self.keep_result,
            on_failure: self.on_failure.map(Handler::message),
            ..Rules::default()
        }
    }
}

impl Retry {
    /// Every error, after a second and then ever later.
    pub const DEFAULT: Self = Self {
        on: &[],
        never: &[],
        first: Duration::from_secs(1),
        cap: Duration::from_secs(600),
        after: None,
    };

    /// When `error` of this attempt is tried again, if the task says so itself.
    pub(super) fn delay_after(&self, attempt: u32, error: &Error) -> Option<Duration> {
        let after = self.after?;
        let is_named = |classes: &[Class]| classes.iter().any(|class| error.types().contains(&class.name()));
        if is_named(self.never) || !(self.on.is_empty() || is_named(self.on)) {
            return None;
        }
        let delay = catch_unwind(AssertUnwindSafe(|| after(attempt, error)));
        if delay.is_err() {
            tracing::warn!("`after` of a task panicked: the usual delay applies");
        }
        delay.ok()
    }
}

impl Class {
    /// Its canonical name.
    fn name(&self) -> String {
        match self {
            Self::Named(name) => (*name).to_owned(),
            Self::Of(name) => name(),
        }
    }

    /// The type `E`.
    pub const fn of<E>() -> Self {
        Self::Of(class_name::<E>)
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/reference/options.md` has one column of them for Python, Rust and the command line.
    #[test]
    fn a_task_that_says_nothing_has_the_defaults_of_the_protocol() {
        assert_eq!(Defaults::DEFAULT.rules(), Rules::default());
        assert_eq!((Defaults::DEFAULT.queue, Defaults::DEFAULT.priority), ("default", 5));
    }
}
