//! A declared task.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::Duration;

use bytes::Bytes;
use lineshaft_wire::ErrorRecord;
use lineshaft_wire::message::End;
use lineshaft_wire::value::typed;
use serde::Serialize;

use super::{Context, Result};
use crate::worker::Ending;

/// A task as `#[lineshaft::task]` declares it, to be given to a [`Worker`](crate::Worker).
#[derive(Clone, Copy)]
pub struct Task {
    name: &'static str,
    run: Run,
    pub(super) defaults: Defaults,
}

/// What jobs of a task are made with, unless their call says otherwise.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    pub version: u32,
    pub queue: &'static str,
    pub priority: u8,
    pub retries: u32,
    pub timeout: Option<Duration>,
    pub at_most_once: bool,
    pub keep_result: bool,
    pub tags: &'static [&'static str],
}

impl Defaults {
    /// Those of a task that names none.
    pub const DEFAULT: Self = Self {
        version: 1,
        queue: "default",
        priority: 5,
        retries: 0,
        timeout: Some(Duration::from_secs(3_600)),
        at_most_once: false,
        keep_result: true,
        tags: &[],
    };
}

/// A body on its way.
#[doc(hidden)]
pub type Running = Pin<Box<dyn Future<Output = Ending> + Send>>;

/// How the body is run: decodes the call, runs the function, encodes what it returns.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub enum Run {
    /// An `async fn`.
    Async(fn(Context, Bytes) -> Running),
    /// A `fn`, on a thread where it may block.
    Blocking(fn(Context, Bytes) -> Ending),
}

impl Task {
    #[doc(hidden)]
    pub const fn declare(name: &'static str, run: Run, defaults: Defaults) -> Self {
        Self { name, run, defaults }
    }

    /// Its name, by which callers in any language know it.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its version: jobs of a later one wait for a worker that has it.
    pub const fn version(&self) -> u32 {
        self.defaults.version
    }

    /// Whether an attempt must never be repeated.
    pub(crate) const fn is_at_most_once(&self) -> bool {
        self.defaults.at_most_once
    }

    /// Whether the body may block, and cannot be dropped half-way.
    pub(crate) const fn is_blocking(&self) -> bool {
        matches!(self.run, Run::Blocking(_))
    }

    /// Runs the body on the arguments in a payload. Panics end in its end. A body that may block runs on a thread of the
    /// runtime's pool, and goes on there if this future is dropped.
    #[doc(hidden)]
    pub fn run(&self, context: Context, payload: Bytes) -> Running {
        match self.run {
            Run::Async(body) => Box::pin(Guarded(body(context, payload))),
            Run::Blocking(body) => Box::pin(async move {
                match tokio::task::spawn_blocking(move || body(context, payload)).await {
                    Ok(ending) => ending,
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => panicked(&*panic),
                        // Its runtime shuts down.
                        Err(error) => Ending::Other(super::Error::from(error).into_end()),
                    },
                }
            }),
        }
    }
}

/// A body whose panic is the end of its attempt.
struct Guarded(Running);

impl Future for Guarded {
    type Output = Ending;

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Ending> {
        // After a panic nobody polls the body again.
        let polled = catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context)));
        polled.unwrap_or_else(|panic| Poll::Ready(panicked(&*panic)))
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Ending {
    Ending::Other(super::Error::panicked(panic).into_end())
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
pub fn finish<T: Serialize>(context: &Context, result: Result<T>) -> Ending {
    let value = match result {
        Ok(value) if context.keeps_result() => value,
        Ok(_) => return Ending::Returned(Bytes::new()),
        Err(error) => return Ending::Other(error.into_end()),
    };
    match typed::to_payload(&value) {
        Ok(payload) => Ending::Returned(payload.into()),
        Err(error) => rejected("result_unencodable", &error),
    }
}

/// The end of an attempt whose arguments do not fit, or are of a version of the task after this one.
#[doc(hidden)]
pub fn undecodable(error: &typed::Error) -> Ending {
    match error.missing() {
        Some(missing) => Ending::Other(End::Parked { missing: missing.into() }),
        None => rejected("arguments_undecodable", error),
    }
}

/// Never tried again.
fn rejected(reason: &str, error: &typed::Error) -> Ending {
    let types = vec!["lineshaft.value.Error".to_owned()];
    let error = ErrorRecord { types, message: error.to_string(), ..ErrorRecord::default() };
    Ending::Other(End::Rejected { reason: reason.into(), error })
}
