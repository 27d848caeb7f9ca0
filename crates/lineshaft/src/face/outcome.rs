//! From the end of a job to its result, or the error that tells what happened.

use std::fmt::{self, Display, Formatter};

use lineshaft_wire::message::EndedJob;
use lineshaft_wire::{JobState, Outcome};
use serde::de::DeserializeOwned;

use super::Client;
use crate::{Error, JobEnd};

/// What the task returned, or what stands for any other end.
pub(super) fn result_of<R: DeserializeOwned>(client: &Client, end: JobEnd) -> Result<R, Error> {
    match end {
        JobEnd::Completed { id, result: Some(payload) } => {
            client.decode(&payload).map_err(|source| Error::Undecodable { job: id, source })
        }
        JobEnd::Completed { id, result: None } => Err(Error::ResultExpired { job: id }),
        JobEnd::Missing { id } => Err(Error::JobNotFound { job: id }),
        JobEnd::Failed(ended) => Err(error_of(ended)),
    }
}

fn error_of(ended: Box<EndedJob>) -> Error {
    match ended.outcome {
        _ if ended.state == JobState::Cancelled => Error::TaskCancelled(ended),
        Some(Outcome::Crashed) => Error::TaskCrashed(ended),
        Some(Outcome::TimedOut) => Error::TaskTimeout(ended),
        _ => Error::TaskFailed(ended),
    }
}

/// A job that ended without a result, in words.
pub(crate) struct Told<'a>(pub(crate) &'a EndedJob);

impl Display for Told<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ended = self.0;
        write!(f, "{} ({}) ", ended.task, ended.id)?;
        match ended.outcome {
            _ if ended.state == JobState::Cancelled => return cancelled(ended, f),
            Some(Outcome::Crashed) => crashed(ended, f)?,
            Some(Outcome::TimedOut) => f.write_str("ran longer than its timeout")?,
            _ => failed(ended, f)?,
        }
        if ended.attempt > 1 {
            write!(f, " (attempt {})", ended.attempt)?;
        }
        Ok(())
    }
}

fn cancelled(ended: &EndedJob, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("was cancelled")?;
    match ended.reason.as_deref() {
        None | Some("cancelled") => Ok(()),
        Some(reason) => write!(f, ": {}", explained(reason).unwrap_or(reason)),
    }
}

fn crashed(ended: &EndedJob, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("crashed")?;
    match &ended.error {
        Some(error) if !error.message.is_empty() => write!(f, ": {}", error.message),
        _ => Ok(()),
    }
}

fn failed(ended: &EndedJob, f: &mut Formatter<'_>) -> fmt::Result {
    let reason = ended.reason.as_deref().unwrap_or("nobody knows why");
    let Some(error) = &ended.error else {
        return write!(f, "was discarded: {}", explained(reason).unwrap_or(reason));
    };
    match explained(reason) {
        Some(why) => write!(f, "was discarded because {why}: ")?,
        None => f.write_str("failed: ")?,
    }
    if let Some(kind) = error.types.first() {
        write!(f, "{}: ", kind.strip_prefix("builtins.").unwrap_or(kind))?;
    }
    f.write_str(&error.message)
}

fn explained(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "maybe_ran" => "it was lost with its worker and may have run; at_most_once forbids another attempt",
        "result_unencodable" => "its result cannot be sent",
        "arguments_undecodable" => "its arguments do not fit the task as the worker knows it",
        "checkpoint_undecodable" => "its checkpoint does not read",
        "purged" => "its queue was purged",
        _ => return None,
    })
}
