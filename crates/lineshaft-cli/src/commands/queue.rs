//! `lineshaft queue`: list, pause, resume, purge.

use std::io::{self, BufRead, IsTerminal};

use lineshaft::client::Client;
use lineshaft_wire::message::{QueueReport, QueueVerb};
use serde_json::{Value as Json, json};

use crate::args::Queue;
use crate::context::{Context, answer};
use crate::exit::{DECLINED, Failure};
use crate::{json, show};

pub(crate) fn run(queue: Queue, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    match queue {
        Queue::List => list(&client, context),
        Queue::Pause { queue } => change(&client, context, &queue, QueueVerb::Pause),
        Queue::Resume { queue } => change(&client, context, &queue, QueueVerb::Resume),
        Queue::Purge { queue, yes } => {
            if !yes {
                confirm_purge(&client, context, &queue)?;
            }
            change(&client, context, &queue, QueueVerb::Purge)
        }
    }
}

fn list(client: &Client, context: &mut Context) -> Result<(), Failure> {
    let report = answer(client.status(None))?;
    if context.output.json {
        let queues: Vec<Json> = report.queues.iter().map(json::of_queue).collect();
        return Ok(context.output.json(&json!({ "queues": queues }))?);
    }
    for line in show::queues(&report.queues) {
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
    if context.output.json {
        context.output.json(&json!({ "queue": queue, "verb": word, "jobs": changed.jobs }))?;
    }
    context.output.say(effect);
    Ok(())
}

fn confirm_purge(client: &Client, context: &mut Context, queue: &str) -> Result<(), Failure> {
    let report = answer(client.status(None))?;
    let waiting = report.queues.iter().find(|found| *found.name == *queue).map_or(0, waiting);
    let question = format!("cancel {} of queue {queue}", show::jobs(waiting));
    if !io::stdin().is_terminal() {
        return Err(Failure::new(DECLINED, format!("nobody was asked whether to {question}"))
            .hint("--yes says so where there is no terminal"));
    }
    context.output.ask(&format!("{question}? [y/N] "));
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    if matches!(line.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(DECLINED, format!("queue {queue} was left as it is")))
}

fn waiting(queue: &QueueReport) -> u64 {
    queue.scheduled + queue.available + queue.retryable
}
