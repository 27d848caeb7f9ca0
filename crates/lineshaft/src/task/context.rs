//! What a body knows of the attempt that it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use bytes::Bytes;
use lineshaft_wire::JobId;
use lineshaft_wire::message::Finished;
use lineshaft_wire::value::typed;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::output::Output;
use super::stop::Stop;
use super::{Checkpointing, Error, Profiled, Result};
use crate::worker::child::PROGRESS_BYTES_MAX;
use crate::worker::{Attempts, Newest, Ticket};
use crate::{Client, Reply};

/// The attempt that a body is: its job, how far it is, and whether it was asked to stop. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    attempt: Arc<Attempt>,
}

/// What a worker tells a body, and how the body answers.
pub(crate) struct Attempt {
    pub(crate) job: JobId,
    pub(crate) task: &'static str,
    pub(crate) number: u32,
    /// No other attempt follows if this one errors.
    pub(crate) is_last: bool,
    pub(crate) keep_result: bool,
    /// Where it runs, and as which of the attempts there; none outside of a worker.
    pub(crate) place: Option<(Arc<Place>, Ticket)>,
    pub(crate) stop: Stop,
    /// The last checkpoint.
    pub(crate) newest: Newest,
    /// Where its body runs, and its profile.
    pub(crate) profiled: Profiled,
    /// Fields of all that it logs and of the jobs that it makes, a JSON object.
    pub(crate) context: Option<Arc<str>>,
    /// What it has logged.
    #[cfg(feature = "log")]
    pub(crate) logged: std::sync::OnceLock<crate::log::Logged>,
}

/// A worker as the bodies in it know it.
pub(crate) struct Place {
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) client: Client,
}

impl Attempt {
    pub(super) fn is_stopping(&self) -> bool {
        // Whoever passes requests on may be busy with a body.
        let is_asked =
            |(place, ticket): &(Arc<Place>, Ticket)| place.attempts.stop_requested(*ticket).is_some();
        self.stop.is_asked() || self.place.as_ref().is_some_and(is_asked)
    }

    /// Leaves an encoded checkpoint; durable at once outside of a worker.
    pub(super) fn leave(&self, value: Vec<u8>) -> Reply<bool> {
        match &self.place {
            Some((place, ticket)) => place.attempts.checkpoint(*ticket, value),
            None => Reply::ready(Ok((Finished::default().into(), Bytes::new()))).map(|_, _| Ok(true)),
        }
    }
}

tokio::task_local! {
    static CURRENT: Context;
}

impl Context {
    pub(crate) fn new(attempt: Attempt) -> Self {
        Self { attempt: Arc::new(attempt) }
    }

    /// A context outside of any worker, to call the body of a task in a test: a job of the id 0, which nobody stops,
    /// whose progress goes nowhere and whose output to standard error. Its checkpoints are kept in it alone.
    pub fn detached() -> Self {
        Self::alone("detached", false)
    }

    /// A context of a process of a pool, which is as one outside of any worker.
    pub(crate) fn of_pool(task: &'static str) -> Self {
        Self::alone(task, true)
    }

    fn alone(task: &'static str, is_last: bool) -> Self {
        Self::new(Attempt {
            job: JobId::direct(0, 0, 0, 0),
            task,
            number: 1,
            is_last,
            keep_result: true,
            place: None,
            stop: Stop::default(),
            newest: Newest::default(),
            profiled: Profiled::default(),
            context: None,
            #[cfg(feature = "log")]
            logged: std::sync::OnceLock::new(),
        })
    }

    /// The attempt whose body runs here: what is called by a body need not be handed its context. `None` outside of one,
    /// and in what a body has spawned.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// The job.
    pub fn job(&self) -> JobId {
        self.attempt.job
    }

    /// The name of the task.
    pub fn task(&self) -> &'static str {
        self.attempt.task
    }

    /// The number of this attempt, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// Leaves word how far the attempt is, for [`Job::progress`](crate::Job::progress) and the command line; a newer word
    /// replaces an older one. It is sent in the background. Fails if it is no value, or has more than 4 KiB.
    pub fn progress<T: Serialize + ?Sized>(&self, value: &T) -> Result<()> {
        let payload = typed::to_payload(value)?;
        if payload.len() > PROGRESS_BYTES_MAX {
            let bytes = payload.len();
            return Err(Error::new(format_args!(
                "a progress of {bytes} bytes is above the limit of {PROGRESS_BYTES_MAX}"
            )));
        }
        if let Some((place, ticket)) = &self.attempt.place {
            place.attempts.report_progress(*ticket, payload);
        }
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
        let payload = self.attempt.newest.value();
        if payload.is_empty() {
            return Ok(None);
        }
        let value = typed::from_payload(&payload);
        value
            .map(Some)
            .map_err(|error| Error::discard(format_args!("the checkpoint does not decode: {error}")))
    }

    /// Where to write what shall be kept with the attempt: `writeln!(ctx.output(), "{count} rows")?`. It is read by
    /// [`Job::output`](crate::Job::output) and `lineshaft job output`.
    pub fn output(&self) -> Output {
        Output::of(self)
    }

    /// Whether the attempt was asked to stop: its job was cancelled, its time is over, or the worker stops. For a task
    /// that is a plain `fn`, which should look from time to time and return; an `async fn` is dropped instead.
    pub fn is_cancelled(&self) -> bool {
        self.attempt.is_stopping()
    }

    /// Waits until the attempt is asked to stop, for what an `async fn` has started elsewhere.
    pub async fn cancelled(&self) {
        self.attempt.stop.asked().await;
    }

    /// While what this gives is held, an `async fn` is not dropped: an attempt that was asked to stop goes on to where the
    /// shield is dropped, and ends at the next `.await`. For steps that must not be left half done; keep them shorter
    /// than the worker's grace.
    pub fn shield(&self) -> Shield {
        self.attempt.stop.shield();
        Shield { attempt: Arc::clone(&self.attempt) }
    }

    /// The client of the worker.
    pub(crate) fn client(&self) -> Option<&Client> {
        self.attempt.place.as_ref().map(|(place, _)| &place.client)
    }

    pub(super) fn print(&self, bytes: &[u8]) -> bool {
        self.attempt.place.as_ref().is_some_and(|(place, ticket)| place.attempts.print(*ticket, bytes))
    }

    /// The number of the attempt, if another one follows if it errors.
    pub(super) fn to_be_repeated(&self) -> Option<u32> {
        let Attempt { number, is_last, .. } = &*self.attempt;
        (!is_last).then_some(*number)
    }

    pub(super) fn keeps_result(&self) -> bool {
        self.attempt.keep_result
    }

    /// Whether its result goes to a server.
    pub(super) fn is_in_a_worker(&self) -> bool {
        self.attempt.place.is_some()
    }

    /// Whether it is as it was made, and nobody but those `owners` has it.
    pub(crate) fn is_as_made(&self, owners: usize) -> bool {
        let is_ours = Arc::strong_count(&self.attempt) == owners;
        fence(Ordering::Acquire); // whatever others did who had it
        is_ours && self.attempt.newest.is_as_made()
    }

    /// A step of this attempt's body that may be looked at while it runs.
    pub(super) fn in_its_spot<T>(&self, step: impl FnOnce() -> T) -> T {
        self.attempt.profiled.spot().around(step)
    }

    /// A step of this attempt's body, or several that have the same context, who then need not enter it one by one.
    pub(crate) fn around<T>(&self, step: impl FnOnce() -> T) -> T {
        if CURRENT.try_with(|current| Arc::ptr_eq(&current.attempt, &self.attempt)) == Ok(true) {
            return step();
        }
        CURRENT.sync_scope(self.clone(), step)
    }

    /// The worker where it runs, and as which of the attempts there.
    pub(crate) fn place(&self) -> Option<(&Arc<Place>, Ticket)> {
        self.attempt.place.as_ref().map(|(place, ticket)| (place, *ticket))
    }

    /// The context of its job.
    pub(crate) fn carried(&self) -> Option<&Arc<str>> {
        self.attempt.context.as_ref()
    }

    /// What it logs; `None` outside of a worker.
    #[cfg(feature = "log")]
    pub(crate) fn logged(&self) -> Option<&crate::log::Logged> {
        let (place, _) = self.place()?;
        Some(self.attempt.logged.get_or_init(|| {
            let attempts = Arc::clone(&place.attempts);
            let Attempt { job, number, task, context, .. } = &*self.attempt;
            let names = ((*task).into(), Arc::clone(attempts.worker_name()));
            crate::log::Logged::of(attempts, (*job, *number), names, context.clone())
        }))
    }

    pub(crate) fn profiled(&self) -> &Profiled {
        &self.attempt.profiled
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.attempt.stop
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Attempt { job, task, number, .. } = &*self.attempt;
        f.debug_struct("Context")
            .field("task", task)
            .field("job", job)
            .field("attempt", number)
            .finish_non_exhaustive()
    }
}

/// Keeps an attempt from being dropped. Made by [`Context::shield`].
#[must_use = "dropped, it shields nothing"]
pub struct Shield {
    attempt: Arc<Attempt>,
}

impl Drop for Shield {
    fn drop(&mut self) {
        self.attempt.stop.unshield();
    }
}

impl fmt::Debug for Shield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("job", &self.attempt.job).finish_non_exhaustive()
    }
}
