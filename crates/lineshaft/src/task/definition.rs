//! A declared task.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

use bytes::Bytes;
use lineshaft_wire::ErrorRecord;
use lineshaft_wire::message::{Declared, End};
use lineshaft_wire::value::typed;
use serde::Serialize;
use tokio::task::JoinHandle;

use super::call::CACHE_MAX;
use super::rules::{Defaults, milliseconds};
use super::schema::Signature;
use super::{Context, Error, Result, panics, spare};
use crate::worker::Ending;

/// A task as `#[lineshaft::task]` declares it, to be given to a [`Worker`](crate::Worker).
#[derive(Clone, Copy)]
pub struct Task {
    name: &'static str,
    run: Run,
    pub(super) parameters: &'static [&'static str],
    signature: &'static Signature,
    pub(super) defaults: &'static Defaults,
}

/// A body on its way.
#[doc(hidden)]
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// How the body is run: decodes the call, runs the function, encodes what it returns.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub enum Run {
    /// An `async fn`.
    Async(fn(Context, Bytes) -> Running),
    /// A `fn`, on a thread where it may block.
    Blocking(fn(&Context, &[u8]) -> Outcome),
}

/// What a body came to: an [`Ending`] whose result nobody shares yet.
#[doc(hidden)]
#[derive(Debug)]
pub enum Outcome {
    /// The encoded result, empty if it is not kept.
    Returned(Vec<u8>),
    /// It gave none. Rare, so that what is usual stays small.
    Other(Box<End>),
}

impl From<Outcome> for Ending {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Returned(payload) => Self::Returned(payload.into()),
            Outcome::Other(end) => Self::Other(*end),
        }
    }
}

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Returned(payload) => Self::Returned(payload.into()),
            Ending::Other(end) => Self::Other(end.into()),
        }
    }
}

impl Task {
    /// The task of a function, as the macro declares it.
    #[doc(hidden)]
    pub const fn declare(
        name: &'static str,
        run: Run,
        parameters: &'static [&'static str],
        signature: &'static Signature,
        defaults: &'static Defaults,
    ) -> Self {
        assert!(defaults.from_version <= defaults.version, "option `from_version` is later than `version`");
        if let Some(cache) = defaults.cache {
            assert!(
                cache.as_millis() <= CACHE_MAX.as_millis(),
                "option `cache` is longer than results are kept, which is 24 hours"
            );
            assert!(defaults.keep_result, "option `cache` needs a result, and `result = false` keeps none");
            assert!(defaults.unique.is_none(), "option `cache` keeps equal jobs out too: give no `unique`");
        }
        Self { name, run, parameters, signature, defaults }
    }

    /// Its name, by which callers in any language know it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its version: jobs of a later one wait for a worker that has it.
    pub const fn version(&self) -> u32 {
        self.defaults.version
    }

    /// What it takes and gives.
    pub(super) const fn signature(&self) -> &'static Signature {
        self.signature
    }

    /// The earliest version and the last one whose jobs it runs.
    pub(crate) const fn versions(&self) -> (u32, u32) {
        (self.defaults.from_version, self.defaults.version)
    }

    /// Its name, and the older ones under which jobs may still wait.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.defaults.aliases.iter().copied())
    }

    /// The share of its attempts that are profiled, if it says one.
    pub(crate) const fn profiled_share(&self) -> Option<f64> {
        self.defaults.profile
    }

    /// Whether an attempt must never be repeated.
    pub(crate) const fn is_at_most_once(&self) -> bool {
        self.defaults.at_most_once
    }

    /// What is said of its jobs to those who know it by this name alone.
    pub(crate) fn declared_as(&self, name: &str) -> Declared {
        Declared { job: Arc::new(self.defaults.job_of(name)), is_unique: self.defaults.unique.is_some() }
    }

    /// Whether the body may block, and cannot be dropped half-way.
    pub(crate) const fn is_blocking(&self) -> bool {
        matches!(self.run, Run::Blocking(_))
    }

    /// Runs the body on the arguments in a payload. Panics end in its end. A body that may block runs on a thread of the
    /// runtime's pool, and goes on there if this future is dropped.
    #[doc(hidden)]
    pub fn run(&self, context: Context, payload: Bytes) -> Body {
        let (task, its) = (*self, context.clone());
        let work = match self.run {
            Run::Async(body) => Work::Async(Some(body(its, payload))),
            Run::Blocking(body) => Work::Blocking(tokio::task::spawn_blocking(move || {
                task.guarded(&its, || body(&its, &payload)).into()
            })),
        };
        Body { work, context, task }
    }

    /// Runs the body to its end on this thread, one that is an `async fn` by `block_on`, on the arguments at `place` of a
    /// buffer, which is not beyond its end.
    pub(crate) fn run_here(
        &self,
        context: &Context,
        (buffer, place): (&Bytes, Range<usize>),
        block_on: impl FnOnce(Body) -> Ending,
    ) -> Outcome {
        match self.run {
            Run::Async(_) => block_on(self.run(context.clone(), buffer.slice(place))).into(),
            Run::Blocking(body) => self.guarded(context, || body(context, &buffer[place])),
        }
    }

    /// A step of the body, whose panic is the end of its attempt.
    fn guarded<T: From<Outcome>>(&self, context: &Context, step: impl FnOnce() -> T) -> T {
        let stepped = catch_unwind(AssertUnwindSafe(|| context.around(|| context.in_its_spot(step))));
        stepped
            .unwrap_or_else(|panic| self.ending(panics::error_of(&*panic), context.to_be_repeated()).into())
    }

    /// The end of an attempt that came to `error`; `attempt` is its number, if another one may follow.
    fn ending(&self, error: Error, attempt: Option<u32>) -> Outcome {
        let asked = attempt.filter(|_| error.is_plain());
        let delay = asked.and_then(|attempt| self.defaults.retry.delay_after(attempt, &error));
        let end = match (delay, error.into_end()) {
            (Some(delay), End::Errored { error, .. }) => {
                End::Errored { error, retry_after_ms: Some(milliseconds(delay)) }
            }
            (_, end) => end,
        };
        Outcome::Other(end.into())
    }
}

/// The body of an attempt, under way: ready with its end.
#[doc(hidden)]
#[must_use = "a coroutine does nothing until it is polled"]
pub struct Body {
    work: Work,
    context: Context,
    task: Task,
}

enum Work {
    /// None once it is over.
    Async(Option<Running>),
    Blocking(JoinHandle<Ending>),
}

impl Future for Body {
    type Output = Ending;

    fn poll(mut self: Pin<&mut Self>, waker: &mut task::Context<'_>) -> Poll<Ending> {
        let Self { work, context, task } = &mut *self;
        match work {
            Work::Async(body) => {
                let polled = task.guarded(context, || {
                    // After a panic nobody polls it again.
                    let mut running = body.take().expect("nobody polls a body that is over");
                    let polled = running.as_mut().poll(waker);
                    *body = polled.is_pending().then_some(running);
                    polled
                });
                polled.map(Ending::from)
            }
            // Without an end its runtime shuts down.
            Work::Blocking(thread) => Pin::new(thread).poll(waker).map(|ended| {
                ended.unwrap_or_else(|error| task.ending(error.into(), context.to_be_repeated()).into())
            }),
        }
    }
}

/// What the body holds is dropped as a part of its attempt too.
impl Drop for Body {
    fn drop(&mut self) {
        if let Work::Async(body @ Some(_)) = &mut self.work {
            self.context.around(|| *body = None);
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.name)
            .field("defaults", &self.defaults)
            .finish_non_exhaustive()
    }
}

/// The end of an attempt whose body returned.
#[doc(hidden)]
pub fn finish<T: Serialize>(task: &Task, context: &Context, result: Result<T>) -> Outcome {
    let value = match result {
        Ok(value) if context.keeps_result() => value,
        Ok(_) => return Outcome::Returned(Vec::new()),
        Err(error) => return task.ending(error, context.to_be_repeated()),
    };
    let encoded = if context.is_in_a_worker() {
        typed::to_payload(&value)
    } else {
        typed::to_plain_payload_in(spare::buffer(), &value)
    };
    match encoded {
        Ok(payload) => Outcome::Returned(payload),
        Err(error) => rejected("result_unencodable", &error),
    }
}

/// The end of an attempt whose arguments do not fit. What is of a later version of the task, or names something that is
/// not known here, is for another worker, which may be newer than this one.
#[doc(hidden)]
pub fn undecodable(error: &typed::Error) -> Outcome {
    match error.missing() {
        Some(missing) => Outcome::Other(Box::new(End::Parked { missing: missing.into() })),
        None => rejected("arguments_undecodable", error),
    }
}

/// Never tried again.
fn rejected(reason: &str, error: &typed::Error) -> Outcome {
    let types = vec!["lineshaft.value.Error".to_owned()];
    let error = ErrorRecord { types, message: error.to_string(), ..ErrorRecord::default() };
    Outcome::Other(Box::new(End::Rejected { reason: reason.into(), error }))
}
