//! `on_failure`: the task that gets a job when one gives up.
//!
//! What the engine makes of a job that gives up is settled when that job is enqueued: a job of the *handler*, with the
//! queue, the retries and so on that the handling task declares, and with what handles its own failure.

use std::fmt;
use std::sync::Arc;

use lineshaft_wire::JobId;
use lineshaft_wire::message::{ON_FAILURE_DEPTH_MAX, OnFailure};
use lineshaft_wire::value::Value;

use super::Task;
use super::rules::Defaults;
use crate::Job;

/// What is made of a job that ends `discarded`, whatever the reason: a job whose one argument is the failed one.
///
/// `tell_owner::handler()` for a task of this program that takes one argument, a [`Job`] or a [`JobId`];
/// [`Handler::named`] for one that is declared elsewhere. Handlers that lead back to themselves do not compile:
///
/// ```compile_fail,E0391
/// # use lineshaft::Job;
/// #[lineshaft::task(on_failure = second)]
/// async fn first(job: Job) {}
///
/// #[lineshaft::task(on_failure = first)]
/// async fn second(job: Job) {}
/// ```
#[derive(Clone, Copy)]
pub struct Handler<'n> {
    kind: Kind<'n>,
}

#[derive(Clone, Copy)]
enum Kind<'n> {
    Declared(Task),
    Named(&'n str),
}

impl<'n> Handler<'n> {
    /// The task of this name, in another program: in queue `default`, with the default options and for its first version.
    pub const fn named(task: &'n str) -> Self {
        Self { kind: Kind::Named(task) }
    }

    /// The task that the handler is for.
    const fn task(&self) -> Option<&Task> {
        match &self.kind {
            Kind::Declared(task) => Some(task),
            Kind::Named(_) => None,
        }
    }

    /// How many handlers follow one another from this one on.
    const fn row(&self) -> usize {
        match self.task() {
            Some(Task { defaults: Defaults { on_failure: Some(next), .. }, .. }) => 1 + next.row(),
            _ => 1,
        }
    }

    /// As it is sent with each job.
    pub(super) fn message(self) -> Arc<OnFailure> {
        let (name, defaults) = match self.kind {
            Kind::Declared(task) => (task.name(), task.defaults),
            Kind::Named(name) => (name, &Defaults::DEFAULT),
        };
        Arc::new(defaults.job_of(name))
    }
}

impl Handler<'static> {
    /// A task of this program, which is known to take the failed job.
    ///
    /// Panics, when the program is compiled, if too many handlers follow one another.
    #[doc(hidden)]
    pub const fn declared(task: Task) -> Self {
        if let Some(unique) = &task.defaults.unique {
            assert!(
                unique.period.is_none(),
                "a task with `unique(period = …)` cannot be an `on_failure`: there is one handler for each failure"
            );
        }
        let handler = Self { kind: Kind::Declared(task) };
        assert!(handler.row() <= ON_FAILURE_DEPTH_MAX, "more than 4 handlers of failures in a row");
        handler
    }
}

impl fmt::Debug for Handler<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match &self.kind {
            Kind::Declared(task) => task.name(),
            Kind::Named(name) => name,
        };
        f.debug_tuple("Handler").field(&name).finish()
    }
}

/// A task that has to be called with arguments of these types.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an `on_failure`",
    label = "it is called with one argument, the failed job",
    note = "declare it as `async fn {Self}(job: Job)`; further arguments have to be `Option<T>` or have a default"
)]
pub trait Takes<Arguments> {}

/// The type of an argument that can be the failed job.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "an `on_failure` takes the failed job, not `{Self}`",
    label = "this task does not take a job",
    note = "its argument is a `lineshaft::Job`, a `lineshaft::JobId` or any `lineshaft::value::Value`"
)]
pub trait FailedJob {}

impl<R> FailedJob for Job<R> {}
impl FailedJob for JobId {}
impl FailedJob for Value {}
impl<T: FailedJob> FailedJob for Option<T> {}
