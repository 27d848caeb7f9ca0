//! What a body knows of the attempt that it is.

use std::fmt;
use std::sync::Arc;

use lineshaft_wire::JobId;
use lineshaft_wire::value::typed;
use serde::Serialize;
use tokio::sync::watch;

use super::Error;
use crate::worker::child::PROGRESS_BYTES_MAX;

/// The attempt that a body is: its job, how far it is, and whether it was asked to stop. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    attempt: Arc<Attempt>,
}

/// What a worker tells a body, and how the body answers.
pub(crate) struct Attempt {
    pub(crate) job: JobId,
    pub(crate) number: u32,
    pub(crate) keep_result: bool,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) report: Box<dyn Fn(Vec<u8>) + Send + Sync>,
}

impl Context {
    pub(crate) fn new(attempt: Attempt) -> Self {
        Self { attempt: Arc::new(attempt) }
    }

    /// A context outside of any worker, to call the body of a task in a test: a job of the id 0, which nobody stops, and
    /// whose progress goes nowhere.
    pub fn detached() -> Self {
        let (_, stop) = watch::channel(false);
        let job = JobId::direct(0, 0, 0, 0);
        Self::new(Attempt { job, number: 1, keep_result: true, stop, report: Box::new(|_| {}) })
    }

    /// The job.
    pub fn job(&self) -> JobId {
        self.attempt.job
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// Leaves word how far the attempt is, for [`Job::progress`](crate::Job::progress) and the command line; a newer word
    /// replaces an older one. It is sent in the background. Fails if it is no value, or has more than 4 KiB.
    pub fn progress<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Error> {
        let payload = typed::to_payload(value)?;
        if payload.len() > PROGRESS_BYTES_MAX {
            let bytes = payload.len();
            return Err(Error::new(format_args!(
                "a progress of {bytes} bytes is above the limit of {PROGRESS_BYTES_MAX}"
            )));
        }
        (self.attempt.report)(payload);
        Ok(())
    }

    /// Whether the attempt was asked to stop: its job was cancelled, its time is over, or the worker stops. For a task
    /// that is a plain `fn`, which should look from time to time and return; an `async fn` is dropped instead.
    pub fn is_cancelled(&self) -> bool {
        *self.attempt.stop.borrow()
    }

    /// Waits until the attempt is asked to stop, for what an `async fn` has started elsewhere.
    pub async fn cancelled(&self) {
        let mut stop = self.attempt.stop.clone();
        if stop.wait_for(|stop| *stop).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn keeps_result(&self) -> bool {
        self.attempt.keep_result
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { job, number, .. } = &*self.attempt;
        f.debug_struct("Context").field("job", job).field("attempt", number).finish_non_exhaustive()
    }
}
