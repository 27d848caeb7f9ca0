//! `lineshaft job wait`: until all of some jobs have ended.

use std::task::Poll;
use std::time::{Duration, Instant};

use lineshaft::JobEnd;
use lineshaft::client::Client;
use lineshaft::duration::format_duration;
use lineshaft_wire::JobId;
use serde_json::{Value as Json, json};

use super::result::{SAY_AFTER, last_look, say_what_is_missing};
use crate::context::Context;
use crate::exit::{Failure, NOT_FOUND, TASK_FAILED, TIMEOUT};
use crate::output::Form;
use crate::show;

const MISSING: &str = "missing";

/// Waits for the ends of all jobs and says each as it comes.
pub(super) fn run(
    client: &Client,
    context: &mut Context,
    ids: &[JobId],
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let mut waiting = client.wait(ids, false);
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let mut states = Vec::new();
    let mut is_said = false;
    loop {
        let left = until.map_or(SAY_AFTER, |until| until.saturating_duration_since(Instant::now()));
        let slice = if is_said { left } else { left.min(SAY_AFTER) };
        let mut ended = waiting.next_timeout(slice);
        if ended.is_pending() && until.is_some_and(|until| Instant::now() >= until) {
            ended = last_look(client, &mut waiting, ids[0]);
        }
        match ended {
            Poll::Ready(Some(ends)) => {
                for end in ends? {
                    states.push(say_end(context, &end)?);
                }
            }
            Poll::Ready(None) => break,
            Poll::Pending if until.is_some_and(|until| Instant::now() >= until) => {
                let left = ids.len() - states.len();
                let message = format!(
                    "{} did not end within {}",
                    show::jobs(left as u64),
                    format_duration(timeout.unwrap_or_default())
                );
                return Err(Failure::new(TIMEOUT, message));
            }
            Poll::Pending => {
                let left = ids.iter().find(|id| states.iter().all(|(ended, _)| ended != *id));
                if let Some(id) = left.filter(|_| !std::mem::replace(&mut is_said, true)) {
                    say_what_is_missing(client, context, *id);
                }
            }
        }
    }
    if context.output.form == Form::Json {
        let jobs: Vec<Json> = states.iter().map(|(id, state)| end_json(*id, state)).collect();
        context.output.json(&json!({ "jobs": jobs }))?;
    }
    how_they_ended(&states)
}

fn how_they_ended(states: &[(JobId, &'static str)]) -> Result<(), Failure> {
    let missing = states.iter().filter(|(_, state)| *state == MISSING).count() as u64;
    let failed = states.iter().filter(|(_, state)| *state != "completed").count() as u64;
    match (missing, failed) {
        (_, 0) => Ok(()),
        (0, _) => Err(Failure::new(TASK_FAILED, format!("{} did not complete", show::jobs(failed)))),
        _ => Err(Failure::new(NOT_FOUND, format!("there are no such jobs: {missing}"))),
    }
}

fn say_end(context: &mut Context, end: &JobEnd) -> Result<(JobId, &'static str), Failure> {
    let (id, state) = match end {
        JobEnd::Completed { id, .. } => (*id, "completed"),
        JobEnd::Failed(ended) => (ended.id, ended.state.as_str()),
        JobEnd::Missing { id } => (*id, MISSING),
    };
    match context.output.form {
        Form::Text => context.output.line(format!("{id} {state}"))?,
        Form::Lines => context.output.json(&end_json(id, state))?,
        Form::Json => {}
    }
    context.output.flush()?;
    Ok((id, state))
}

fn end_json(id: JobId, state: &str) -> Json {
    json!({ "id": id.to_string(), "state": state })
}
