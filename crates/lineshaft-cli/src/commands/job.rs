//! `lineshaft job`: list, show, result, output, cancel, retry, delete.

use std::fmt::Write;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lineshaft::JobEnd;
use lineshaft::client::Client;
use lineshaft_wire::code;
use lineshaft_wire::message::{EndedJob, Filter, List, PayloadKind};
use lineshaft_wire::value::{self, Value};
use lineshaft_wire::{JobId, JobRecord, JobState};
use serde_json::{Value as Json, json};

use crate::args::{Job, JobList};
use crate::context::{Context, answer};
use crate::exit::{FAILED, Failure, NOT_FOUND, TASK_FAILED, TIMEOUT};
use crate::times::now_ms;
use crate::{json, show};

/// Jobs asked for at once.
const PAGE_JOBS: u32 = 500;
/// After so long a wait says what the job waits for.
const SAY_AFTER: Duration = Duration::from_secs(2);

pub(crate) fn run(job: Job, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    match job {
        Job::List(wanted) => list(&client, context, wanted),
        Job::Show { id } => show_job(&client, context, id),
        Job::Result { id, wait } => result(&client, context, id, wait),
        Job::Output { id, attempt } => output(&client, context, id, attempt),
        Job::Cancel(jobs) => each(context, &jobs.ids, |id| cancel(&client, id)),
        Job::Retry(jobs) => each(context, &jobs.ids, |id| retry(&client, id)),
        Job::Delete(jobs) => each(context, &jobs.ids, |id| delete(&client, id)),
    }
}

fn list(client: &Client, context: &mut Context, wanted: JobList) -> Result<(), Failure> {
    let (jobs, cursor) = pages(client, wanted)?;
    if context.output.json {
        let jobs: Vec<Json> = jobs.iter().map(json::of_job).collect();
        return Ok(context.output.json(&json!({ "jobs": jobs, "cursor": cursor }))?);
    }
    for line in show::job_table(&jobs, now_ms()) {
        context.output.line(line)?;
    }
    if let Some(cursor) = cursor {
        context.output.say(format!("more follow: --cursor {cursor}"));
    }
    Ok(())
}

/// Pages may be short; asks until there are as many jobs as wanted.
fn pages(client: &Client, wanted: JobList) -> Result<(Vec<JobRecord>, Option<String>), Failure> {
    let JobList { states, queue, task, tags, limit, mut cursor } = wanted;
    let tags = tags.into_iter().map(Arc::from).collect();
    let filter =
        Filter { states, queue: queue.map(Arc::from), task: task.map(Arc::from), tags, ..Filter::default() };
    let mut jobs = Vec::new();
    loop {
        let left = limit - jobs.len() as u32;
        let list = List { filter: filter.clone(), cursor, limit: left.min(PAGE_JOBS) };
        let page = answer(client.list(list, None))?;
        jobs.extend(page.jobs);
        cursor = page.cursor;
        if cursor.is_none() || jobs.len() >= limit as usize {
            return Ok((jobs, cursor));
        }
    }
}

fn show_job(client: &Client, context: &mut Context, id: JobId) -> Result<(), Failure> {
    let shown = answer(client.show(id, None))?;
    let arguments = call_text(client, id);
    let progress = shown.progress.and_then(|progress| value::decode(&progress).ok());
    if context.output.json {
        let mut document = json::of_job(&shown.record);
        document["arguments"] = arguments.into();
        document["progress"] = progress.as_ref().map(json::of_value).into();
        return Ok(context.output.json(&document)?);
    }
    for line in show::job(&shown.record, arguments, progress.as_ref(), now_ms()) {
        context.output.line(line)?;
    }
    Ok(())
}

/// What the job is called with; `None` where that is not kept or does not read.
fn call_text(client: &Client, id: JobId) -> Option<String> {
    let payload = client.fetch(id, PayloadKind::Arguments, None).wait().ok()?;
    Some(value::decode_call(&payload).ok()?.summary(1_000))
}

fn result(client: &Client, context: &mut Context, id: JobId, wait: Option<Duration>) -> Result<(), Failure> {
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
        match waiting.next_timeout(slice) {
            Poll::Ready(Some(ends)) => return ends?.pop().map_or(Ok(()), |end| print_end(context, end)),
            Poll::Ready(None) => return Ok(()),
            Poll::Pending if Instant::now() >= until => {
                let message =
                    format!("job {id} did not end within {}", lineshaft::duration::format_duration(patience));
                return Err(Failure::new(TIMEOUT, message)
                    .hint("it goes on; `lineshaft job show` says how far it is"));
            }
            Poll::Pending => say_what_is_missing(client, context, id),
        }
        slice = until.saturating_duration_since(Instant::now());
    }
}

fn say_what_is_missing(client: &Client, context: &mut Context, id: JobId) {
    if let Ok(shown) = client.show(id, None).wait()
        && let Some(missing) = shown.record.waits_for
    {
        context.output.say(format!("waiting: {missing}"));
    }
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
    if context.output.json {
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

fn output(client: &Client, context: &mut Context, id: JobId, attempt: Option<u32>) -> Result<(), Failure> {
    let record = answer(client.show(id, None))?.record;
    let wanted = |number: u32| attempt.is_none_or(|attempt| attempt == number);
    let attempts: Vec<_> = record.attempts.iter().filter(|attempt| wanted(attempt.number)).collect();
    if let (Some(number), []) = (attempt, &*attempts) {
        return Err(Failure::new(NOT_FOUND, format!("job {id} has no attempt {number}")));
    }
    if context.output.json {
        let outputs = attempts.iter().map(
            |attempt| json!({ "number": attempt.number, "output": String::from_utf8_lossy(&attempt.output) }),
        );
        let outputs: Vec<Json> = outputs.collect();
        return Ok(context.output.json(&json!({ "id": id.to_string(), "attempts": outputs }))?);
    }
    for attempt in &attempts {
        context.output.bytes(&attempt.output)?;
    }
    Ok(())
}

/// What became of one job: a line, and the same as JSON.
struct Effect {
    words: String,
    document: Json,
}

/// Does the same to each job; goes on after a failure and fails with the first one.
fn each(
    context: &mut Context,
    ids: &[JobId],
    change: impl Fn(JobId) -> Result<Effect, Failure>,
) -> Result<(), Failure> {
    let mut failed = None;
    for id in ids {
        match change(*id) {
            Ok(Effect { document, .. }) if context.output.json => context.output.json(&document)?,
            Ok(Effect { words, .. }) => context.output.line(words)?,
            Err(failure) if ids.len() == 1 => return Err(failure),
            Err(failure) => {
                context.output.say(format!("{id}: {}", failure.message));
                failed.get_or_insert(failure);
            }
        }
    }
    failed.map_or(Ok(()), |Failure { code, .. }| Err(Failure::new(code, "not all jobs could be changed")))
}

fn cancel(client: &Client, id: JobId) -> Result<Effect, Failure> {
    let changed = answer(client.cancel(id, None))?;
    let words =
        if changed.cancelling { format!("{id} is being stopped") } else { format!("{id} is cancelled") };
    let state = changed.state.map(JobState::as_str);
    Ok(Effect {
        words,
        document: json!({ "id": id.to_string(), "state": state, "cancelling": changed.cancelling }),
    })
}

fn retry(client: &Client, id: JobId) -> Result<Effect, Failure> {
    let jobs = answer(client.retry(id, None))?;
    let new = jobs.ids.first().copied().unwrap_or(id);
    let words = if new == id { format!("{id} runs now") } else { format!("{new} repeats {id}") };
    Ok(Effect {
        words,
        document: json!({ "id": new.to_string(), "retry_of": (new != id).then(|| id.to_string()) }),
    })
}

fn delete(client: &Client, id: JobId) -> Result<Effect, Failure> {
    answer(client.delete(id, None))?;
    Ok(Effect {
        words: format!("{id} is deleted"),
        document: json!({ "id": id.to_string(), "deleted": true }),
    })
}
