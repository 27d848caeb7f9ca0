//! `lineshaft job result`, and the end of any job that is waited for.

use std::fmt::Write;
use std::task::Poll;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft::duration::format_duration;
use lineshaft::{Error, JobEnd, Waiting};
use lineshaft_wire::code;
use lineshaft_wire::message::EndedJob;
use lineshaft_wire::value::{self, Value};
use lineshaft_wire::{JobId, JobState};

use crate::context::{Context, answer};
use crate::exit::{FAILED, Failure, NOT_FOUND, TASK_FAILED, TIMEOUT};
use crate::{json, show};

/// After so long a wait says what the job waits for.
pub(super) const SAY_AFTER: Duration = Duration::from_secs(2);

/// How long the server may take to answer a question on the side of a wait.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// What the ends that the server sent before that answer need to be here.
const SETTLED_AFTER: Duration = Duration::from_millis(50);

pub(super) fn run(
    client: &Client,
    context: &mut Context,
    id: JobId,
    wait: Option<Duration>,
) -> Result<(), Failure> {
    if wait.is_none() {
        let record = answer(client.show(id, None))?.record;
        if !record.state.is_finished() {
            let message = format!("job {id} has not ended: it is {}", show::state(&record));
            return Err(Failure::new(FAILED, message).hint("--wait waits for the end"));
        }
    }
    follow(client, context, id, wait.unwrap_or(Duration::from_secs(30)))
}

/// Waits for a job's end and prints its result.
pub(crate) fn follow(
    client: &Client,
    context: &mut Context,
    id: JobId,
    patience: Duration,
) -> Result<(), Failure> {
    let mut waiting = client.wait(&[id], true);
    let until = Instant::now() + patience;
    let mut slice = patience.min(SAY_AFTER);
    loop {
        let mut ended = waiting.next_timeout(slice);
        if ended.is_pending() && Instant::now() >= until {
            ended = last_look(client, &mut waiting, id);
        }
        match ended {
            Poll::Ready(Some(ends)) => return ends?.pop().map_or(Ok(()), |end| print_end(context, end)),
            Poll::Ready(None) => return Ok(()),
            Poll::Pending if Instant::now() >= until => {
                let message = format!("job {id} did not end within {}", format_duration(patience));
                return Err(Failure::new(TIMEOUT, message)
                    .hint("it goes on; `lineshaft job show` says how far it is"));
            }
            Poll::Pending => say_what_is_missing(client, context, id),
        }
        slice = until.saturating_duration_since(Instant::now());
    }
}

/// What has ended by now though nobody has said so yet: who does not wait at all asks once. Any job of the wait will do,
/// since the server answers in order.
pub(super) fn last_look(
    client: &Client,
    waiting: &mut Waiting,
    job: JobId,
) -> Poll<Option<Result<Vec<JobEnd>, lineshaft::Error>>> {
    // A server that does not answer has nothing to say about the job either.
    let _ = client.show_aside(job, LOOK).wait();
    waiting.next_timeout(SETTLED_AFTER)
}

pub(super) fn say_what_is_missing(client: &Client, context: &mut Context, id: JobId) {
    match client.show_aside(id, LOOK).wait() {
        Ok(shown) => {
            if let Some(missing) = shown.record.waits_for {
                context.output.say(format!("waiting: {missing}"));
            }
        }
        Err(error) if is_away(&error) => context.output.say(AWAY),
        Err(_) => {} // the wait itself will say it
    }
}

pub(super) const AWAY: &str = "waiting: no server answers; the wait goes on with the next one";

/// Whether there is no server at the moment.
pub(super) fn is_away(error: &Error) -> bool {
    matches!(error, Error::NoServer { .. } | Error::Timeout { .. } | Error::Io { .. })
}

fn print_end(context: &mut Context, end: JobEnd) -> Result<(), Failure> {
    match end {
        JobEnd::Completed { result: Some(payload), .. } => {
            let value = value::decode(&payload);
            let value =
                value.map_err(|error| Failure::new(FAILED, format!("the result does not read: {error}")))?;
            print_value(context, &value)
        }
        JobEnd::Completed { id, result: None } => {
            Err(Failure::new(NOT_FOUND, format!("job {id} completed, but its result is not kept any more"))
                .error(Some(code::RESULT_EXPIRED)))
        }
        JobEnd::Failed(ended) => Err(task_failed(&ended)),
        JobEnd::Missing { id } => {
            Err(Failure::new(NOT_FOUND, format!("there is no job {id}")).error(Some(code::JOB_NOT_FOUND)))
        }
    }
}

fn print_value(context: &mut Context, value: &Value) -> Result<(), Failure> {
    if context.output.is_json() {
        return Ok(context.output.json(&json::of_value(value))?);
    }
    Ok(context.output.line(value.to_string())?)
}

fn task_failed(ended: &EndedJob) -> Failure {
    let verb = if ended.state == JobState::Cancelled { "was cancelled" } else { "was discarded" };
    let mut message = format!("job {} ({}) {verb}", ended.id, ended.task);
    if let Some(reason) = ended.reason.as_deref().filter(|reason| *reason != ended.state.as_str()) {
        let _ = write!(message, ": {reason}");
    }
    if let Some(error) = &ended.error {
        let _ = write!(message, "\n{}", show::error(error));
    }
    let failure = Failure::new(TASK_FAILED, message);
    if ended.attempt == 0 {
        return failure;
    }
    failure.hint(format!(
        "`lineshaft job show {0}` has the attempts, `lineshaft job retry {0}` tries again",
        ended.id
    ))
}
