//! A call that was given to a pool by itself.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Error;
use super::crew::Crew;
use super::sink::Sink;

/// A call under way, made by [`Pool::submit`](super::Pool::submit). Dropped, the call goes on.
pub struct Submitted<R> {
    crew: Arc<Crew>,
    call: u64,
    sink: Arc<Sink>,
    result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Submitted<R> {
    pub(super) fn new(crew: Arc<Crew>, call: u64, sink: Arc<Sink>) -> Self {
        Self { crew, call, sink, result: PhantomData }
    }

    /// Waits for the result. Fails with what the function failed with, [`Error::WorkerDied`], [`Error::Cancelled`], or
    /// [`Error::Ended`] if the pool was dropped before.
    pub fn wait(self) -> Result<R, Error> {
        self.sink.wait(None);
        self.outcome().unwrap_or(Err(Error::Ended))
    }

    /// Waits for so long at most; the handle itself if there is no result by then.
    pub fn wait_timeout(self, timeout: Duration) -> Result<Result<R, Error>, Self> {
        if !self.sink.wait(Some(timeout)) {
            return Err(self);
        }
        Ok(self.outcome().unwrap_or(Err(Error::Ended)))
    }

    /// Whether there is a result, or will be none.
    pub fn is_finished(&self) -> bool {
        !self.sink.is_empty()
    }

    /// Takes the call back if no worker has begun it; whether that was so. It then fails with [`Error::Cancelled`].
    pub fn cancel(&self) -> bool {
        self.crew.cancel(self.call) > 0
    }

    /// Cancels the call though a worker has begun it: that one is killed, with what it had started, and replaced. False if the
    /// call has ended already. A call that the worker begins at this very instant fails with [`Error::WorkerDied`].
    pub fn abort(&self) -> bool {
        self.crew.abort(self.call)
    }

    fn outcome(&self) -> Option<Result<R, Error>> {
        let mut outcome = self.sink.take().pop_front()?;
        match outcome.as_end() {
            Some(error) => Some(Err(error.clone())),
            None => outcome.next().map(|(_, result)| result),
        }
    }
}

impl<R> fmt::Debug for Submitted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitted").field("call", &self.call).finish_non_exhaustive()
    }
}
