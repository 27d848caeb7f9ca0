//! `lineshaft job cancel`, `retry` and `delete`: the same change to many jobs.

use lineshaft::client::Client;
use lineshaft_wire::{JobId, JobState};
use serde_json::{Value as Json, json};

use super::list::{described, pages};
use crate::args::{JobFilter, Jobs};
use crate::confirm::confirm;
use crate::context::{Context, answer};
use crate::exit::{FAILED, Failure};
use crate::output::Form;
use crate::{names, show};

/// Jobs that one command changes at most.
const CHANGED_JOBS_MAX: u32 = 1_000_000;
/// Changes sent before the answer to the first one is awaited.
const IN_FLIGHT: usize = 256;

/// What became of one job: a line, and the same as JSON.
struct Effect {
    words: String,
    document: Json,
}

/// A request that was sent: waits for the answer.
type Begun = Box<dyn FnOnce() -> Result<Effect, Failure>>;

/// What can be done to many jobs.
pub(super) struct Change {
    /// What is asked before it is done to jobs that nobody named; `None` where nothing is lost.
    asks: Option<&'static str>,
    /// Sends the request.
    begin: fn(&Client, JobId) -> Begun,
}

pub(super) const CANCEL: Change = Change { asks: Some("cancel"), begin: cancel };
pub(super) const RETRY: Change = Change { asks: None, begin: retry };
pub(super) const DELETE: Change = Change { asks: Some("delete"), begin: delete };

pub(super) fn run(
    client: &Client,
    context: &mut Context,
    jobs: Jobs,
    change: &Change,
) -> Result<(), Failure> {
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
