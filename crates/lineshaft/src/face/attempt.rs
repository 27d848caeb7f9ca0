//! One attempt: the body of a task on the arguments of a job, until it returns or is asked to stop.

use std::sync::Arc;

use lineshaft_wire::message::End;
use lineshaft_wire::{ErrorRecord, Fence};
use tokio::sync::watch;

use super::Client;
use crate::task::{self, Context, Task};
use crate::worker::{Attempts, Ending, Job, Newest, Ticket};

/// A job that was leased, and what it takes to run it.
pub(super) struct Attempt {
    pub(super) attempts: Arc<Attempts>,
    pub(super) client: Client,
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
        let (context, shields) = self.context();
        let body = self.task.run(context, self.job.arguments.clone());
        if self.task.is_blocking() {
            return body.await;
        }
        tokio::select! {
            biased;
            ending = body => ending,
            () = may_be_dropped(self.stopped.clone(), shields) => dropped(),
        }
    }

    /// What the body knows, and how many shields it holds.
    fn context(&self) -> (Context, watch::Receiver<u32>) {
        let Job { id, attempt, is_last, keep_result, .. } = self.job;
        let (attempts, ticket) = (Arc::clone(&self.attempts), self.job.ticket());
        let leave = Box::new(move |value| attempts.checkpoint(ticket, value));
        let (shields, held) = watch::channel(0);
        let attempt = task::Attempt {
            job: id,
            task: self.task.name(),
            client: Some(self.client.clone()),
            number: attempt,
            is_last,
            keep_result,
            stop: self.stopped.clone(),
            shields,
            words: Box::new(Words { attempts: Arc::clone(&self.attempts), ticket }),
            leave,
            newest: Newest::new(self.job.checkpoint.clone()),
        };
        (Context::new(attempt), held)
    }
}

/// What the body says goes to the worker's connection.
struct Words {
    attempts: Arc<Attempts>,
    ticket: Ticket,
}

impl task::Words for Words {
    fn progress(&self, value: Vec<u8>) {
        self.attempts.report_progress(self.ticket, value);
    }

    fn print(&self, bytes: &[u8]) -> bool {
        self.attempts.print(self.ticket, bytes)
    }
}

/// Ready when the attempt was asked to stop and holds no shield.
async fn may_be_dropped(mut stopped: watch::Receiver<bool>, mut shields: watch::Receiver<u32>) {
    let asked = stopped.wait_for(|stopped| *stopped).await.is_ok();
    // Both end with the attempt only.
    if !asked || shields.wait_for(|held| *held == 0).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The end of a body that was dropped half-way; why decides what becomes of it.
fn dropped() -> Ending {
    let error = ErrorRecord { message: "it was stopped at an await".into(), ..ErrorRecord::default() };
    Ending::Other(End::Errored { error, retry_after_ms: None })
}
