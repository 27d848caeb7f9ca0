//! `lineshaft task`: what the attempts of tasks came to and took.

use lineshaft_wire::message::TaskStatistics;
use serde_json::Value as Json;

use crate::args::Task;
use crate::context::{Context, answer};
use crate::exit::{Failure, NOT_FOUND};
use crate::json;
use crate::statistics::{task_stats, task_table};
use crate::times::now_ms;

pub(crate) fn run(task: &Task, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    let wanted = if let Task::Stats { task } = task { task.as_deref() } else { None };
    let tasks = answer(client.tasks(wanted, None))?;
    if let (Some(wanted), true) = (wanted, tasks.is_empty()) {
        let message = format!("no attempt of a task {wanted} has ended in this home");
        return Err(Failure::new(NOT_FOUND, message));
    }
    if context.output.is_json() {
        let tasks = tasks.iter().map(json::of_statistics).collect();
        return Ok(context.output.json(&Json::Array(tasks))?);
    }
    for line in lines(task, &tasks, context.output.columns()) {
        context.output.line(line)?;
    }
    Ok(())
}

fn lines(task: &Task, tasks: &[TaskStatistics], columns: Option<usize>) -> Vec<String> {
    match task {
        _ if tasks.is_empty() => vec!["no attempt has ended in this home".to_owned()],
        Task::List => task_table(tasks, columns),
        Task::Stats { .. } => {
            let now = now_ms();
            let all: Vec<Vec<String>> = tasks.iter().map(|task| task_stats(task, now)).collect();
            all.join(&String::new())
        }
    }
}
