//! Names of queues and tasks that nobody knows, and which known one was meant.

use lineshaft::client::Client;
use lineshaft::config::did_you_mean;
use lineshaft_wire::message::{List, StatusReport};
use lineshaft_wire::task;

use crate::context::Context;

/// Jobs that are looked at for names.
const JOBS: u32 = 200;

/// Says which queue was probably meant if none is called `queue`.
pub(crate) fn question_queue(queue: &str, report: &StatusReport, context: &mut Context) {
    let known = || report.queues.iter().map(|queue| &*queue.name);
    if known().all(|name| name != queue) {
        let guess = did_you_mean(queue, known()).map(|near| format!(": did you mean {near}?"));
        context.output.warn(&format!("no queue {queue} has jobs{}", guess.unwrap_or_default()));
    }
}

/// Says which task was probably meant if workers are connected and none of them knows `task`, but one like it.
pub(crate) fn question_task(task: &str, client: &Client, context: &mut Context) {
    let Ok(report) = client.status(None).wait() else { return };
    let known = || report.workers.iter().flat_map(|worker| &worker.tasks).map(|task| task::name_of(task));
    if known().all(|name| name != task)
        && let Some(near) = did_you_mean(task, known())
    {
        context.output.warn(&format!("no worker knows {task}: did you mean {near}?"));
    }
}

/// What was probably meant by the queue and the task of a list that is empty.
pub(crate) fn question_filter(
    queue: Option<&str>,
    task: Option<&str>,
    client: &Client,
    context: &mut Context,
) {
    let report = client.status(None).wait().unwrap_or_default();
    let jobs = client.list(List { limit: JOBS, ..List::default() }, None).wait();
    let jobs = jobs.map(|page| page.jobs).unwrap_or_default();
    let queues = report.queues.iter().map(|queue| &*queue.name).chain(jobs.iter().map(|job| &*job.queue));
    let known = report.workers.iter().flat_map(|worker| &worker.tasks);
    let tasks = known.chain(jobs.iter().map(|job| &job.task)).map(|task| task::name_of(task));
    if let Some(queue) = queue {
        question("queue", queue, queues.collect(), context);
    }
    if let Some(task) = task {
        question("task", task, tasks.collect(), context);
    }
}

fn question(kind: &str, name: &str, known: Vec<&str>, context: &mut Context) {
    if !known.contains(&name)
        && let Some(near) = did_you_mean(name, known)
    {
        context.output.warn(&format!("no job is of {kind} {name}: did you mean {near}?"));
    }
}
