//! `lineshaft job list`, and the pages of jobs that other commands go through.

use std::sync::Arc;

use lineshaft::client::Client;
use lineshaft_wire::JobRecord;
use lineshaft_wire::message::{Filter, List};
use serde_json::{Value as Json, json};

use crate::args::{JobFilter, JobList};
use crate::context::{Context, answer};
use crate::exit::Failure;
use crate::output::Form;
use crate::times::now_ms;
use crate::{json, names, show};

/// Jobs asked for at once.
const PAGE_JOBS: u32 = 500;

pub(super) fn run(client: &Client, context: &mut Context, wanted: JobList) -> Result<(), Failure> {
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
                context.output.say(format!("there are no jobs{}", described(&filter)));
                names::question_filter(filter.queue.as_deref(), filter.task.as_deref(), client, context);
                return Ok(());
            }
            for line in show::job_table(&jobs, now_ms(), context.output.columns()) {
                context.output.line(line)?;
            }
        }
        Form::Lines => {}
    }
    if let Some(cursor) = cursor {
        // The talk belongs below the table, also where both go to the same place.
        context.output.flush()?;
        context.output.say(format!("more follow: --cursor {cursor}"));
    }
    Ok(())
}

/// Passes on pages, which may be short, until there were as many jobs as wanted; gives the cursor to go on at.
pub(super) fn pages(
    client: &Client,
    filter: &JobFilter,
    mut cursor: Option<String>,
    limit: u32,
    take: &mut dyn FnMut(Vec<JobRecord>) -> Result<(), Failure>,
) -> Result<Option<String>, Failure> {
    let filter = message(filter);
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

pub(crate) fn message(filter: &JobFilter) -> Filter {
    let now = now_ms();
    Filter {
        states: filter.states.clone(),
        queue: filter.queue.as_deref().map(Arc::from),
        task: filter.task.as_deref().map(Arc::from),
        tags: filter.tags.iter().map(|tag| Arc::from(tag.as_str())).collect(),
        created_from: filter.since.map(|when| when.before(now)),
        created_before: filter.until.map(|when| when.before(now)),
    }
}

/// Which jobs a filter lets through, to go on a sentence with.
pub(super) fn described(filter: &JobFilter) -> String {
    let mut words = String::new();
    let mut add = |more: String| words.push_str(&more);
    if let Some(queue) = &filter.queue {
        add(format!(" in queue {queue}"));
    }
    if let Some(task) = &filter.task {
        add(format!(" of task {task}"));
    }
    if !filter.tags.is_empty() {
        add(format!(" with tag {}", filter.tags.join(", ")));
    }
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        add(format!(" that are {}", states.join(" or ")));
    }
    if let Some(since) = filter.since {
        add(format!(" created since {}", show::time(since.before(now_ms()), now_ms())));
    }
    if let Some(until) = filter.until {
        add(format!(" created before {}", show::time(until.before(now_ms()), now_ms())));
    }
    words
}
