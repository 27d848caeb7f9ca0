//! What a body knows of the attempt that it is.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::Finished;
use lineshaft_wire::value::typed;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{Checkpointing, Error};
use crate::Reply;
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
    pub(crate) leave: Box<dyn Fn(Vec<u8>) -> Reply<bool> + Send + Sync>,
    /// The last checkpoint; empty if there is none.
    pub(crate) resume: Mutex<Bytes>,
}

impl Context {
    pub(crate) fn new(attempt: Attempt) -> Self {
        Self { attempt: Arc::new(attempt) }
    }

    /// A context outside of any worker, to call the body of a task in a test: a job of the id 0, which nobody stops, and
    /// whose progress goes nowhere. Its checkpoints are kept in it alone.
    pub fn detached() -> Self {
        let (_, stop) = watch::channel(false);
        let job = JobId::direct(0, 0, 0, 0);
        let leave =
            Box::new(|_| Reply::ready(Ok((Finished::default().into(), Bytes::new()))).map(|_, _| Ok(true)));
        let (report, resume) = (Box::new(|_| {}), Mutex::default());
        Self::new(Attempt { job, number: 1, keep_result: true, stop, report, leave, resume })
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

    /// Leaves word from where the next attempt of the job goes on, instead of what was left before: at most 64 KiB,
    /// encoded. Durable when the returned future is ready, or [`Checkpointing::wait`] returns, which a plain `fn` calls.
    ///
    /// Fails if it is no value or has too many bytes. It fails too if the attempt belongs to another worker by now: what it
    /// returns is not heard any more then.
    pub fn checkpoint<T: Serialize + ?Sized>(&self, value: &T) -> Checkpointing {
        Checkpointing::new(Arc::clone(&self.attempt), typed::to_payload(value))
    }

    /// The last checkpoint of an earlier attempt of this job, or of this one; `None` if there is none. A job that
    /// [`Job::retry`](crate::Job::retry) made of one that gave up begins with the checkpoint of that one.
    ///
    /// Fails if it is no `T`; passed on by `?`, that ends the job `discarded`, as arguments do that do not decode.
    pub fn resume_from<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let payload = self.attempt.resume().clone();
        if payload.is_empty() {
            return Ok(None);
        }
        let value = typed::from_payload(&payload);
        value
            .map(Some)
            .map_err(|error| Error::discard(format_args!("the checkpoint does not decode: {error}")))
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

impl Attempt {
    pub(super) fn resume(&self) -> MutexGuard<'_, Bytes> {
        self.resume.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { job, number, .. } = &*self.attempt;
        f.debug_struct("Context").field("job", job).field("attempt", number).finish_non_exhaustive()
    }
}
