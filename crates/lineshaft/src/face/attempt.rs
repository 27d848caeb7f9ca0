//! One attempt: the body of a task on the arguments of a job, until it returns or is asked to stop.

use std::sync::{Arc, Mutex};

use lineshaft_wire::message::End;
use lineshaft_wire::{ErrorRecord, Fence};
use tokio::sync::watch;

use crate::task::{self, Context, Task};
use crate::worker::{Attempts, Ending, Job};

/// A job that was leased, and what it takes to run it.
pub(super) struct Attempt {
    pub(super) attempts: Arc<Attempts>,
    pub(super) task: Task,
    pub(super) job: Job,
    /// It was asked to stop.
    pub(super) stopped: watch::Receiver<bool>,
}

impl Attempt {
    /// Runs it and reports its end.
    pub(super) async fn run(self) -> Fence {
        self.attempts.begin(&self.job);
        let ending = self.ending().await;
        let Self { attempts, task, job, .. } = self;
        let fence = job.fence;
        if task.is_at_most_once() {
            // Waits until the server has confirmed it, which must not hold up other bodies.
            let finished = tokio::task::spawn_blocking(move || attempts.finish(&job, ending)).await;
            debug_assert!(finished.is_ok(), "an end is reported without a panic");
        } else {
            attempts.finish(&job, ending);
        }
        fence
    }

    async fn ending(&self) -> Ending {
        let body = self.task.run(self.context(), self.job.arguments.clone());
        if self.task.is_blocking() {
            return body.await;
        }
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            ending = body => ending,
            Ok(_) = stopped.wait_for(|stopped| *stopped) => dropped(),
        }
    }

    fn context(&self) -> Context {
        let Job { id, attempt, keep_result, .. } = self.job;
        let (attempts, ticket) = (Arc::clone(&self.attempts), self.job.ticket());
        let report = Box::new(move |value| attempts.report_progress(ticket, value));
        let attempts = Arc::clone(&self.attempts);
        let leave = Box::new(move |value| attempts.checkpoint(ticket, value));
        Context::new(task::Attempt {
            job: id,
            number: attempt,
            keep_result,
            stop: self.stopped.clone(),
            report,
            leave,
            resume: Mutex::new(self.job.checkpoint.clone()),
        })
    }
}

/// The end of a body that was dropped half-way; why decides what becomes of it.
fn dropped() -> Ending {
    let error = ErrorRecord { message: "it was stopped at an await".into(), ..ErrorRecord::default() };
    Ending::Other(End::Errored { error, retry_after_ms: None })
}
