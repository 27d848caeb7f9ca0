//! `lineshaft queue`: list, pause, resume, purge.

use lineshaft::client::Client;
use lineshaft_wire::message::{QueueReport, QueueVerb};
use serde_json::{Value as Json, json};

use crate::args::Queue;
use crate::confirm::confirm;
use crate::context::{Context, answer};
use crate::exit::Failure;
use crate::output::Form;
use crate::{json, names, show};

pub(crate) fn run(queue: Queue, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    match queue {
        Queue::List => list(&client, context),
        Queue::Pause { queue } => {
            names::question_queue(&queue, &answer(client.status(None))?, context);
            change(&client, context, &queue, QueueVerb::Pause)
        }
        Queue::Resume { queue } => {
            names::question_queue(&queue, &answer(client.status(None))?, context);
            change(&client, context, &queue, QueueVerb::Resume)
        }
        Queue::Purge { queue, yes } => purge(&client, context, &queue, yes),
    }
}

fn list(client: &Client, context: &mut Context) -> Result<(), Failure> {
    let report = answer(client.status(None))?;
    if context.output.form == Form::Lines {
        return Ok(report.queues.iter().try_for_each(|queue| context.output.json(&json::of_queue(queue)))?);
    }
    if context.output.is_json() {
        let queues: Vec<Json> = report.queues.iter().map(json::of_queue).collect();
        return Ok(context.output.json(&json!({ "queues": queues }))?);
    }
    for line in show::queues(&report.queues, context.output.columns()) {
        context.output.line(line)?;
    }
    Ok(())
}

fn change(client: &Client, context: &mut Context, queue: &str, verb: QueueVerb) -> Result<(), Failure> {
    let changed = answer(client.change_queue(queue, verb, None))?;
    let (word, effect) = match verb {
        QueueVerb::Pause => ("pause", format!("paused queue {queue}")),
        QueueVerb::Resume => ("resume", format!("resumed queue {queue}")),
        QueueVerb::Purge => ("purge", format!("purging {} of queue {queue}", show::jobs(changed.jobs))),
    };
    if context.output.is_json() {
        context.output.json(&json!({ "queue": queue, "verb": word, "jobs": changed.jobs }))?;
    }
    context.output.say(effect);
    Ok(())
}

fn purge(client: &Client, context: &mut Context, queue: &str, yes: bool) -> Result<(), Failure> {
    let report = answer(client.status(None))?;
    names::question_queue(queue, &report, context);
    let waiting = report.queues.iter().find(|found| *found.name == *queue).map_or(0, waiting);
    if waiting == 0 && !yes {
        context.output.say(format!("queue {queue} has no jobs that wait"));
        return Ok(());
    }
    let question = format!("cancel {} in queue {queue}", show::jobs(waiting));
    confirm(context, yes, &question, &format!("queue {queue} was left as it is"))?;
    change(client, context, queue, QueueVerb::Purge)
}

fn waiting(queue: &QueueReport) -> u64 {
    queue.scheduled + queue.available + queue.retryable
}
