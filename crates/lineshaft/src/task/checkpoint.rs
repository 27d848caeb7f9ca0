//! A checkpoint of a body on its way to the disk of the server.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use lineshaft_wire::value::typed;

use super::Error;
use super::context::Attempt;
use crate::Reply;
use crate::worker::child::CHECKPOINT_BYTES_MAX;

/// How often a body that blocks looks whether it was asked to stop.
const LOOK: Duration = Duration::from_millis(50);

/// A checkpoint that is not durable before this is ready; what [`Context::checkpoint`](super::Context::checkpoint) gives.
/// It is on its way whether or not somebody waits.
#[must_use = "the checkpoint is durable when this was awaited"]
pub struct Checkpointing {
    attempt: Arc<Attempt>,
    number: u64,
    value: Bytes,
    reply: Result<Reply<bool>, Option<Error>>,
}

impl Checkpointing {
    pub(super) fn new(attempt: Arc<Attempt>, value: Result<Vec<u8>, typed::Error>) -> Self {
        let value = value.map_err(Error::from).and_then(limited);
        let (number, value, reply) = match value {
            Ok(value) => {
                let kept = Bytes::from(value.clone());
                let (number, reply) = attempt.newest.leave(|| attempt.leave(value));
                (number, kept, Ok(reply))
            }
            Err(error) => (0, Bytes::new(), Err(Some(error))),
        };
        Self { attempt, number, value, reply }
    }

    /// Blocks until the checkpoint is durable; for a body that is a plain `fn`. Fails as the future does, and if the
    /// attempt is asked to stop meanwhile.
    pub fn wait(mut self) -> Result<(), Error> {
        loop {
            let reply = match &mut self.reply {
                Ok(reply) => reply.wait_timeout(LOOK),
                Err(error) => return Err(refused(error)),
            };
            match reply {
                Some(answer) => return self.finish(answer),
                None if self.attempt.is_stopping() => {
                    return Err(Error::new(
                        "the attempt was asked to stop before its checkpoint was durable",
                    ));
                }
                None => {}
            }
        }
    }

    fn finish(&self, answer: Result<bool, crate::Error>) -> Result<(), Error> {
        if !answer? {
            return Err(Error::new("the attempt is over, or belongs to another worker by now"));
        }
        self.attempt.newest.keep(self.number, &self.value);
        Ok(())
    }
}

impl Future for Checkpointing {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.reply {
            Ok(reply) => ready!(Pin::new(reply).poll(context)),
            Err(error) => return Poll::Ready(Err(refused(error))),
        };
        Poll::Ready(self.finish(answer))
    }
}

fn refused(error: &mut Option<Error>) -> Error {
    error.take().unwrap_or_else(|| Error::new("the checkpoint was refused before"))
}

fn limited(value: Vec<u8>) -> Result<Vec<u8>, Error> {
    let bytes = value.len();
    if bytes <= CHECKPOINT_BYTES_MAX {
        return Ok(value);
    }
    Err(Error::new(format_args!(
        "a checkpoint of {bytes} bytes is above the limit of {CHECKPOINT_BYTES_MAX}"
    )))
}
