//! `lineshaft enqueue --jsonl`: an object per line of standard input, an object per line of standard output.
//!
//! Whatever arrived while the last batch was made durable is the next one: a slow producer waits for nobody, a fast one
//! gets large batches.

use std::collections::HashSet;
use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_wire::message::{BATCH_JOBS_MAX, JobGroup};
use lineshaft_wire::value::Call;
use serde_json::{Map, Value as Json};

use super::declarations::Declarations;
use super::{encoded, say_new};
use crate::args::{Delivery, Handler, JobOptions, Timeout, When, While, read};
use crate::context::{Context, answer};
use crate::exit::{Failure, USAGE};
use crate::json::to_value;

/// What a line may hold.
const KEYS: [&str; 21] = [
    "task",
    "args",
    "kwargs",
    "queue",
    "priority",
    "retries",
    "retry_first",
    "retry_cap",
    "timeout",
    "run_after",
    "expires",
    "deadline",
    "delivery",
    "result",
    "on_failure",
    "unique",
    "unique_while",
    "unique_period",
    "idempotency_key",
    "metadata",
    TAGS,
];
const TAGS: &str = "tags";

type Line = io::Result<String>;
/// A job and its arguments.
type NewJob = (JobGroup, Bytes);

/// What a line says.
struct Said {
    task: String,
    options: JobOptions,
    payload: Bytes,
}

/// Enqueues what standard input holds; `defaults` is what the command line says for lines that say nothing.
pub(super) fn run(defaults: &JobOptions, context: &mut Context) -> Result<(), Failure> {
    let lines = read_ahead();
    let mut number = 0;
    let mut declarations = None;
    loop {
        let batch = next_batch(&lines);
        if batch.is_empty() {
            return Ok(());
        }
        let (said, wrong) = read_lines(batch, &mut number, defaults);
        let jobs = match &mut declarations {
            _ if said.is_empty() => Vec::new(),
            Some(declarations) => jobs_of(said, declarations, context)?,
            None => jobs_of(said, declarations.insert(Declarations::new(context.client()?)), context)?,
        };
        for jobs in without_repetitions(jobs) {
            let Some(Declarations { client, .. }) = &declarations else { break };
            let (groups, payloads) = jobs.into_iter().unzip();
            let new = answer(client.enqueue(groups, payloads, None))?;
            for (place, id) in new.ids.iter().enumerate() {
                say_new(context, *id, !new.existing.contains(&(place as u32)))?;
            }
            context.output.flush()?;
        }
        if let Some(failure) = wrong {
            return Err(failure);
        }
    }
}

fn read_ahead() -> Receiver<Line> {
    let (send, lines) = sync_channel(BATCH_JOBS_MAX);
    thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn next_batch(lines: &Receiver<Line>) -> Vec<Line> {
    let first = lines.recv().ok();
    first.into_iter().chain(std::iter::from_fn(|| lines.try_recv().ok())).take(BATCH_JOBS_MAX).collect()
}

/// The jobs in as few requests as may be: none may have a key twice, though a file of jobs may.
fn without_repetitions(jobs: Vec<NewJob>) -> Vec<Vec<NewJob>> {
    let (mut requests, mut seen) = (Vec::new(), HashSet::new());
    for job in jobs {
        let unique = job.0.unique.as_ref().map(|unique| (true, unique.key.clone()));
        let keys = [unique, job.0.idempotency_key.clone().map(|key| (false, key))];
        if requests.is_empty() || keys.iter().flatten().any(|key| seen.contains(key)) {
            seen.clear();
            requests.push(Vec::new());
        }
        seen.extend(keys.into_iter().flatten());
        if let Some(request) = requests.last_mut() {
            request.push(job);
        }
    }
    requests
}

fn jobs_of(
    said: Vec<Said>,
    declarations: &mut Declarations,
    context: &mut Context,
) -> Result<Vec<NewJob>, Failure> {
    let job = |Said { task, options, payload }| {
        Ok((declarations.group(&options, &task, payload.len(), context)?, payload))
    };
    said.into_iter().map(job).collect()
}

/// The lines before the first one that is wrong, and what is wrong with that.
fn read_lines(batch: Vec<Line>, number: &mut u64, defaults: &JobOptions) -> (Vec<Said>, Option<Failure>) {
    let mut jobs = Vec::new();
    for line in batch {
        *number += 1;
        let job = line.map_err(|error| wrong(&format!("cannot be read: {error}"))).and_then(|line| {
            if line.trim().is_empty() { Ok(None) } else { job_of(&line, defaults).map(Some) }
        });
        match job {
            Ok(job) => jobs.extend(job),
            Err(failure) => {
                let message = format!("line {number} {}; the lines before it are jobs", failure.message);
                return (jobs, Some(Failure { message, ..failure }));
            }
        }
    }
    (jobs, None)
}

fn job_of(line: &str, defaults: &JobOptions) -> Result<Said, Failure> {
    let document: Json =
        serde_json::from_str(line).map_err(|error| wrong(&format!("is not JSON: {error}")))?;
    let Json::Object(mut object) = document else { return Err(wrong("is not a JSON object")) };
    let task = text(&mut object, "task")?.ok_or_else(|| wrong("has no `task`"))?;
    let call = call_of(&mut object)?;
    let options = options_of(&mut object, defaults)?;
    if let Some(key) = object.keys().next() {
        return Err(unknown(key));
    }
    Ok(Said { task, options, payload: encoded(&call)? })
}

fn call_of(object: &mut Map<String, Json>) -> Result<Call, Failure> {
    let positional = match object.remove("args") {
        None => Vec::new(),
        Some(Json::Array(items)) => items.into_iter().map(to_value).collect(),
        Some(_) => return Err(wrong("has `args` that are not an array")),
    };
    let keywords = match object.remove("kwargs") {
        None => Vec::new(),
        Some(Json::Object(entries)) => {
            entries.into_iter().map(|(name, value)| (name.into(), to_value(value))).collect()
        }
        Some(_) => return Err(wrong("has `kwargs` that are not an object")),
    };
    Ok(Call { positional, keywords })
}

fn options_of(object: &mut Map<String, Json>, defaults: &JobOptions) -> Result<JobOptions, Failure> {
    let retries = match object.remove("retries") {
        None => defaults.retries,
        Some(count) => {
            let count = count.as_u64().and_then(|count| u32::try_from(count).ok());
            let count = count.filter(|count| *count < 10_000);
            Some(count.ok_or_else(|| wrong("has `retries` that are not a number below 10,000"))?)
        }
    };
    let tags = match object.remove(TAGS) {
        None => defaults.tags.clone(),
        Some(tags) => serde_json::from_value(tags).map_err(|_| wrong("has `tags` that are not texts"))?,
    };
    Ok(JobOptions {
        queue: text(object, "queue")?.or_else(|| defaults.queue.clone()),
        priority: priority_of(object)?.or(defaults.priority),
        retries,
        retry_first: duration(object, "retry_first")?.or(defaults.retry_first),
        retry_cap: duration(object, "retry_cap")?.or(defaults.retry_cap),
        timeout: timeout(object)?.or(defaults.timeout),
        run_after: when(object, "run_after")?.or(defaults.run_after),
        expires: when(object, "expires")?.or(defaults.expires),
        deadline: when(object, "deadline")?.or(defaults.deadline),
        delivery: delivery(object)?.or(defaults.delivery),
        result: keep_result(object)?.or(defaults.result),
        on_failure: on_failure(object, defaults)?,
        unique: text(object, "unique")?,
        unique_while: while_(object)?.unwrap_or(defaults.unique_while),
        unique_period: duration(object, "unique_period")?.or(defaults.unique_period),
        idempotency_key: text(object, "idempotency_key")?,
        tags,
        metadata: text(object, "metadata")?.or_else(|| defaults.metadata.clone()),
    })
}

fn priority_of(object: &mut Map<String, Json>) -> Result<Option<u8>, Failure> {
    let Some(given) = object.remove("priority") else { return Ok(None) };
    let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
    read::priority(&text).map(Some).map_err(|accepted| wrong(&format!("has `priority` {given}; {accepted}")))
}

fn text(object: &mut Map<String, Json>, key: &str) -> Result<Option<String>, Failure> {
    match object.remove(key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(&format!("has `{key}` {other}, which is not a text"))),
    }
}

fn duration(object: &mut Map<String, Json>, key: &str) -> Result<Option<Duration>, Failure> {
    let Some(given) = object.remove(key) else { return Ok(None) };
    let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
    let read = lineshaft::duration::parse_duration(key, &text);
    read.map(Some).map_err(|_| wrong(&format!("has `{key}` {given}, which is not a duration")))
}

/// `null` is no timeout.
fn timeout(object: &mut Map<String, Json>) -> Result<Option<Timeout>, Failure> {
    if let Some(Json::Null) = object.get("timeout") {
        object.remove("timeout");
        return Ok(Some(Timeout(None)));
    }
    Ok(duration(object, "timeout")?.map(|timeout| Timeout(Some(timeout))))
}

/// `null` is no handler.
fn on_failure(object: &mut Map<String, Json>, defaults: &JobOptions) -> Result<Option<Handler>, Failure> {
    if let Some(Json::Null) = object.get("on_failure") {
        object.remove("on_failure");
        return Ok(Some(Handler(None)));
    }
    let Some(task) = text(object, "on_failure")? else { return Ok(defaults.on_failure.clone()) };
    let handler = read::handler(&task);
    handler.map(Some).map_err(|accepted| wrong(&format!("has `on_failure` {task:?}; {accepted}")))
}

fn delivery(object: &mut Map<String, Json>) -> Result<Option<Delivery>, Failure> {
    match text(object, "delivery")?.as_deref() {
        None => Ok(None),
        Some("at_least_once") => Ok(Some(Delivery::AtLeastOnce)),
        Some("at_most_once") => Ok(Some(Delivery::AtMostOnce)),
        Some(other) => {
            Err(wrong(&format!("has `delivery` {other:?}; accepted: at_least_once, at_most_once")))
        }
    }
}

fn keep_result(object: &mut Map<String, Json>) -> Result<Option<bool>, Failure> {
    match object.remove("result") {
        None => Ok(None),
        Some(Json::Bool(keep)) => Ok(Some(keep)),
        Some(other) => Err(wrong(&format!("has `result` {other}, which is not true or false"))),
    }
}

fn when(object: &mut Map<String, Json>, key: &str) -> Result<Option<When>, Failure> {
    let Some(given) = object.remove(key) else { return Ok(None) };
    let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
    read::when(&text).map(Some).map_err(|accepted| wrong(&format!("has `{key}` {given}; {accepted}")))
}

fn while_(object: &mut Map<String, Json>) -> Result<Option<While>, Failure> {
    match text(object, "unique_while")?.as_deref() {
        None => Ok(None),
        Some("unfinished") => Ok(Some(While::Unfinished)),
        Some("queued") => Ok(Some(While::Queued)),
        Some(other) => Err(wrong(&format!("has `unique_while` {other:?}; accepted: unfinished, queued"))),
    }
}

fn unknown(key: &str) -> Failure {
    let near = lineshaft::config::did_you_mean(key, KEYS);
    let guess = near.map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
    wrong(&format!("has an unknown key `{key}`{guess}"))
}

fn wrong(message: &str) -> Failure {
    let form =
        r#"a line is an object: {"task": "mail.send", "args": ["a@b"], "kwargs": {}, "queue": "mail"}"#;
    Failure::new(USAGE, message).hint(form)
}
