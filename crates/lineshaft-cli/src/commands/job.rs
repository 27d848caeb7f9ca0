//! `lineshaft job`: list, show, result, wait, output, cancel, retry, delete.

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

use crate::args::{Job, JobFilter, JobList, Jobs};
use crate::confirm::confirm;
use crate::context::{Context, answer};
use crate::exit::{FAILED, Failure, NOT_FOUND, TASK_FAILED, TIMEOUT};
use crate::output::Form;
use crate::times::now_ms;
use crate::{json, names, show};

/// Jobs asked for at once.
const PAGE_JOBS: u32 = 500;
/// Jobs that one command changes at most.
const CHANGED_JOBS_MAX: u32 = 1_000_000;
/// Changes sent before the answer to the first one is awaited.
const IN_FLIGHT: usize = 256;
/// After so long a wait says what the job waits for.
const SAY_AFTER: Duration = Duration::from_secs(2);

pub(crate) fn run(job: Job, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    match job {
        Job::List(wanted) => list(&client, context, wanted),
        Job::Show { id } => show_job(&client, context, id),
        Job::Result { id, wait } => result(&client, context, id, wait),
        Job::Output { id, attempt } => output(&client, context, id, attempt),
        Job::Wait { ids, timeout } => wait(&client, context, &ids, timeout),
        Job::Cancel(jobs) => change(&client, context, jobs, &CANCEL),
        Job::Retry(jobs) => change(&client, context, jobs, &RETRY),
        Job::Delete(jobs) => change(&client, context, jobs, &DELETE),
    }
}

fn list(client: &Client, context: &mut Context, wanted: JobList) -> Result<(), Failure> {
    let JobList { filter, limit, cursor } = wanted;
    let mut jobs = Vec::new();
    let cursor = pages(client, &filter, cursor, limit, &mut |page| match context.output.form {
        Form::Lines => {
            page.iter().try_for_each(|job| context.output.json(&json::of_job(job)))?;
            Ok(context.output.flush()?)
        }
        _ => {
            jobs.extend(page);
            Ok(())
        }
    })?;
    match context.output.form {
        Form::Json => {
            let jobs: Vec<Json> = jobs.iter().map(json::of_job).collect();
            return Ok(context.output.json(&json!({ "jobs": jobs, "cursor": cursor }))?);
        }
        Form::Text => {
            if jobs.is_empty() {
                names::question_filter(filter.queue.as_deref(), filter.task.as_deref(), client, context);
            }
            for line in show::job_table(&jobs, now_ms()) {
                context.output.line(line)?;
            }
        }
        Form::Lines => {}
    }
    if let Some(cursor) = cursor {
        context.output.say(format!("more follow: --cursor {cursor}"));
    }
    Ok(())
}

/// Passes on pages, which may be short, until there were as many jobs as wanted; gives the cursor to go on at.
fn pages(
    client: &Client,
    filter: &JobFilter,
    mut cursor: Option<String>,
    limit: u32,
    take: &mut dyn FnMut(Vec<JobRecord>) -> Result<(), Failure>,
) -> Result<Option<String>, Failure> {
    let JobFilter { states, queue, task, tags } = filter.clone();
    let tags = tags.into_iter().map(Arc::from).collect();
    let filter =
        Filter { states, queue: queue.map(Arc::from), task: task.map(Arc::from), tags, ..Filter::default() };
    let mut left = limit;
    loop {
        let list = List { filter: filter.clone(), cursor, limit: left.min(PAGE_JOBS) };
        let page = answer(client.list(list, None))?;
        left = left.saturating_sub(page.jobs.len() as u32);
        take(page.jobs)?;
        cursor = page.cursor;
        if cursor.is_none() || left == 0 {
            return Ok(cursor);
        }
    }
}

fn show_job(client: &Client, context: &mut Context, id: JobId) -> Result<(), Failure> {
    let shown = answer(client.show(id, None))?;
    let arguments = call_text(client, id);
    let progress = shown.progress.and_then(|progress| value::decode(&progress).ok());
    if context.output.is_json() {
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

fn output(client: &Client, context: &mut Context, id: JobId, attempt: Option<u32>) -> Result<(), Failure> {
    let record = answer(client.show(id, None))?.record;
    let wanted = |number: u32| attempt.is_none_or(|attempt| attempt == number);
    let attempts: Vec<_> = record.attempts.iter().filter(|attempt| wanted(attempt.number)).collect();
    if let (Some(number), []) = (attempt, &*attempts) {
        return Err(Failure::new(NOT_FOUND, format!("job {id} has no attempt {number}")));
    }
    if context.output.is_json() {
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

/// Waits for the ends of all jobs and says each as it comes.
fn wait(
    client: &Client,
    context: &mut Context,
    ids: &[JobId],
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let mut waiting = client.wait(ids, false);
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let mut states = Vec::new();
    loop {
        let slice = until.map_or(SAY_AFTER, |until| until.saturating_duration_since(Instant::now()));
        match waiting.next_timeout(slice) {
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
                    lineshaft::duration::format_duration(timeout.unwrap_or_default())
                );
                return Err(Failure::new(TIMEOUT, message));
            }
            Poll::Pending => {}
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

const MISSING: &str = "missing";

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

/// What became of one job: a line, and the same as JSON.
struct Effect {
    words: String,
    document: Json,
}

/// A request that was sent: waits for the answer.
type Begun = Box<dyn FnOnce() -> Result<Effect, Failure>>;

/// What can be done to many jobs.
struct Change {
    /// What is asked before it is done to jobs that nobody named; `None` where nothing is lost.
    asks: Option<&'static str>,
    /// Sends the request.
    begin: fn(&Client, JobId) -> Begun,
}

const CANCEL: Change = Change { asks: Some("cancel"), begin: cancel };
const RETRY: Change = Change { asks: None, begin: retry };
const DELETE: Change = Change { asks: Some("delete"), begin: delete };

fn change(client: &Client, context: &mut Context, jobs: Jobs, change: &Change) -> Result<(), Failure> {
    let Jobs { mut ids, filter, yes } = jobs;
    let is_filtered = ids.is_empty();
    if is_filtered {
        ids = found(client, &filter, change)?;
        if let (Some(verb), false) = (change.asks, ids.is_empty()) {
            let question = format!("{verb} {}{}", show::jobs(ids.len() as u64), described(&filter));
            confirm(context, yes, &question, "the jobs were left as they are")?;
        }
        if ids.is_empty() {
            context.output.say(format!("there are no such jobs{}", described(&filter)));
            names::question_filter(filter.queue.as_deref(), filter.task.as_deref(), client, context);
        }
    }
    each(client, context, &ids, is_filtered, change)
}

/// The jobs that a filter lets through, without those that the change cannot concern.
fn found(client: &Client, filter: &JobFilter, change: &Change) -> Result<Vec<JobId>, Failure> {
    let mut filter = filter.clone();
    if filter.states.is_empty() {
        let finished = change.asks == DELETE.asks;
        let unfinished = change.asks == CANCEL.asks;
        filter.states.extend(
            JobState::ALL.into_iter().filter(
                |state| {
                    if state.is_finished() { !unfinished } else { !finished }
                },
            ),
        );
    }
    let mut ids = Vec::new();
    let rest = pages(client, &filter, None, CHANGED_JOBS_MAX, &mut |page| {
        ids.extend(page.iter().map(|job| job.id));
        Ok(())
    })?;
    match rest {
        None => Ok(ids),
        Some(_) => {
            Err(Failure::new(FAILED, format!("more than {}", show::jobs(u64::from(CHANGED_JOBS_MAX))))
                .hint("say more narrowly which; `lineshaft queue purge` empties a queue of any size"))
        }
    }
}

fn described(filter: &JobFilter) -> String {
    let mut words = String::new();
    if let Some(queue) = &filter.queue {
        let _ = write!(words, " in queue {queue}");
    }
    if let Some(task) = &filter.task {
        let _ = write!(words, " of task {task}");
    }
    if !filter.tags.is_empty() {
        let _ = write!(words, " with tag {}", filter.tags.join(", "));
    }
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        let _ = write!(words, " that are {}", states.join(" or "));
    }
    words
}

/// Does the same to each job, many at a time; goes on after a failure and fails with the first one.
fn each(
    client: &Client,
    context: &mut Context,
    ids: &[JobId],
    is_filtered: bool,
    change: &Change,
) -> Result<(), Failure> {
    let mut failed = None;
    let mut documents = Vec::new();
    for some in ids.chunks(IN_FLIGHT) {
        let begun: Vec<_> = some.iter().map(|id| (*id, (change.begin)(client, *id))).collect();
        for (id, end) in begun {
            match (end(), context.output.form) {
                (Ok(effect), Form::Text) => context.output.line(effect.words)?,
                (Ok(effect), Form::Lines) => context.output.json(&effect.document)?,
                (Ok(effect), Form::Json) => documents.push(effect.document),
                // Between the look and the change it ended or went: that is what was wanted, or not to be helped.
                (Err(failure), _) if is_filtered => {
                    context.output.say(format!("{id} is left as it is: {}", failure.message));
                }
                (Err(failure), _) => {
                    if ids.len() > 1 {
                        context.output.say(format!("{id}: {}", failure.message));
                    }
                    failed.get_or_insert(failure);
                }
            }
        }
    }
    if context.output.form == Form::Json {
        context.output.json(&json!({ "jobs": documents }))?;
    }
    match failed {
        None => Ok(()),
        Some(failure) if ids.len() == 1 => Err(failure),
        Some(Failure { code, .. }) => Err(Failure::new(code, "not all jobs could be changed")),
    }
}

fn cancel(client: &Client, id: JobId) -> Begun {
    let reply = client.cancel(id, None);
    Box::new(move || {
        let changed = answer(reply)?;
        let effect = match changed.state {
            _ if changed.cancelling => "is being stopped",
            Some(JobState::Completed) => "had completed before",
            Some(JobState::Discarded) => "had been discarded before",
            _ => "is cancelled",
        };
        let state = changed.state.map(JobState::as_str);
        Ok(Effect {
            words: format!("{id} {effect}"),
            document: json!({ "id": id.to_string(), "state": state, "cancelling": changed.cancelling }),
        })
    })
}

fn retry(client: &Client, id: JobId) -> Begun {
    let reply = client.retry(id, None);
    Box::new(move || {
        let new = answer(reply)?.ids.first().copied().unwrap_or(id);
        let words = if new == id { format!("{id} runs now") } else { format!("{new} repeats {id}") };
        Ok(Effect {
            words,
            document: json!({ "id": new.to_string(), "retry_of": (new != id).then(|| id.to_string()) }),
        })
    })
}

fn delete(client: &Client, id: JobId) -> Begun {
    let reply = client.delete(id, None);
    Box::new(move || {
        answer(reply)?;
        Ok(Effect {
            words: format!("{id} is deleted"),
            document: json!({ "id": id.to_string(), "deleted": true }),
        })
    })
}
