//! One attempt: the body of a task on the arguments of a job, until it returns or is asked to stop.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use lineshaft_wire::message::End;
use lineshaft_wire::{ErrorRecord, Fence};

use super::profiled::{LookedAfter, Plan};
use crate::task::{Attempt as Known, Body, Context, Place, Profiled, Stop, Task};
use crate::worker::{Ending, Job, Newest};

/// A job that was leased, and what it takes to run it.
pub(super) struct Attempt {
    place: Arc<Place>,
    task: Task,
    job: Job,
    context: Context,
    /// While it may come to be profiled since it runs for long.
    looked_after: Option<LookedAfter>,
}

/// An attempt that is over.
pub(super) struct Over {
    pub(super) fence: Fence,
    /// The number of its task.
    pub(super) task: u32,
    /// How long its body ran.
    pub(super) took: Duration,
}

impl Attempt {
    pub(super) fn new(place: &Arc<Place>, task: Task, job: Job) -> Self {
        let context = context(place, &task, &job);
        Self { place: Arc::clone(place), task, job, context, looked_after: None }
    }

    /// What the body knows; by it the attempt is asked to stop.
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// Its body runs from here on, and is profiled as planned.
    pub(super) fn begin(mut self, plan: Option<Plan>) -> Begun {
        self.place.attempts.begin(&self.job);
        self.looked_after = plan.and_then(|plan| plan.begin(&self.context, &self.job, self.task.version()));
        let body = self.task.run(self.context.clone(), self.job.arguments.clone());
        Begun { attempt: self, body }
    }

    /// Reports its end.
    fn finish(&self, ending: Ending) -> Over {
        let took = self.place.attempts.finish(&self.job, ending);
        Over { fence: self.job.fence, task: self.job.task, took }
    }
}

/// Nothing of it is looked at any more, whatever became of it: its worker may have been dropped.
impl Drop for Attempt {
    fn drop(&mut self) {
        drop(self.context.profiled().end());
    }
}

/// An attempt whose body runs.
pub(super) struct Begun {
    attempt: Attempt,
    body: Body,
}

impl Begun {
    /// What the body knows.
    pub(super) fn context(&self) -> &Context {
        &self.attempt.context
    }

    /// Runs the body up to where it waits for something, here and now; the end of the attempt if that was all. Its
    /// request to stop is not looked at: there is no `.await` at which it could be dropped.
    pub(super) fn at_once(&mut self) -> Option<Over> {
        let mut nobody = task::Context::from_waker(Waker::noop());
        match Pin::new(&mut self.body).poll(&mut nobody) {
            Poll::Ready(ending) => Some(self.attempt.finish(ending)),
            Poll::Pending => None,
        }
    }

    /// Runs it to its end and reports that.
    pub(super) async fn run(self) -> Over {
        let Self { attempt, body } = self;
        let ending = ending(&attempt, body).await;
        if let Some(profiling) = attempt.context.profiled().end() {
            // Whoever learns of the end finds the profile.
            profiling.end().await;
        }
        if !attempt.task.is_at_most_once() {
            return attempt.finish(ending);
        }
        // Waits until the server has confirmed it, which must not hold up other bodies.
        let (fence, task) = (attempt.job.fence, attempt.job.task);
        let finished = tokio::task::spawn_blocking(move || attempt.finish(ending)).await;
        debug_assert!(finished.is_ok(), "an end is reported without a panic");
        finished.unwrap_or(Over { fence, task, took: Duration::MAX })
    }
}

async fn ending(attempt: &Attempt, body: Body) -> Ending {
    if attempt.task.is_blocking() {
        return body.await;
    }
    let (mut body, stopped) = (pin!(body), pin!(attempt.context.stop().may_be_dropped()));
    tokio::select! {
        biased;
        ending = body.as_mut() => ending,
        () = stopped => dropped(),
    }
}

fn context(place: &Arc<Place>, task: &Task, job: &Job) -> Context {
    let Job { id, attempt, is_last, keep_result, .. } = *job;
    Context::new(Known {
        job: id,
        task: task.name(),
        number: attempt,
        is_last,
        keep_result,
        place: Some((Arc::clone(place), job.ticket())),
        stop: Stop::default(),
        newest: Newest::new(job.checkpoint.clone()),
        profiled: Profiled::default(),
        context: job.context.clone(),
        #[cfg(feature = "log")]
        logged: std::sync::OnceLock::new(),
    })
}

/// The end of a body that was dropped half-way; why decides what becomes of it.
fn dropped() -> Ending {
    let error = ErrorRecord { message: "it was stopped at an await".into(), ..ErrorRecord::default() };
    Ending::Other(End::Errored { error, retry_after_ms: None })
}
