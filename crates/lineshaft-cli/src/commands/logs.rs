//! `lineshaft logs` and `lineshaft job logs`: what attempts logged, and what they go on to log.

use std::path::Path;
use std::thread;
use std::time::Duration;

use lineshaft::Error;
use lineshaft::client::Client;
use lineshaft_wire::message::{LOG_PAGE_MAX, ListLogs, Logs, RefusalCode};
use lineshaft_wire::{JobId, LogFilter, LogRecord};

use crate::args::Logs as Wanted;
use crate::context::{Context, answer};
use crate::exit::{Failure, UNREACHABLE, USAGE};
use crate::output::Form;
use crate::{json, show};

/// Pause between two looks for what is new.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A server that has not answered for so long is away.
const AWAY_AFTER: Duration = Duration::from_secs(1);
/// Then it is asked anew.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn run(logs: &Wanted, context: &mut Context) -> Result<(), Failure> {
    let filter = logs.filter().map_err(|message| Failure::new(USAGE, message))?;
    let client = context.client_of_existing()?;
    show_all(&client, context, &filter, logs.limit, logs.follow)
}

/// The records of one job.
pub(crate) fn of_job(
    client: &Client,
    context: &mut Context,
    job: JobId,
    attempt: Option<u32>,
    follow: bool,
) -> Result<(), Failure> {
    // One that is not known has no logs, but that is not what is wrong.
    answer(client.show(job, None))?;
    let filter = LogFilter { job: Some(job), attempt, ..LogFilter::default() };
    show_all(client, context, &filter, u32::MAX, follow)
}

fn show_all(
    client: &Client,
    context: &mut Context,
    filter: &LogFilter,
    limit: u32,
    follow: bool,
) -> Result<(), Failure> {
    // First where the end is, so that nothing is missed between what is there and what comes.
    let end = if follow { end_of(client)? } else { None };
    let found = newest(client, filter, limit, end.map(|end| end.saturating_add(1)))?;
    if context.output.form == Form::Json && !follow {
        let records: Vec<_> = found.iter().map(json::of_log_record).collect();
        return Ok(context.output.json(&serde_json::json!({ "records": records }))?);
    }
    if found.is_empty() && !follow {
        context.output.say("nothing that was logged is like that");
    }
    print(context, &found)?;
    if follow { go_on(client, context, filter, end) } else { Ok(()) }
}

/// Shows what comes, until a signal ends the process, or the home is removed.
fn go_on(
    client: &Client,
    context: &mut Context,
    filter: &LogFilter,
    mut after: Option<u64>,
) -> Result<(), Failure> {
    loop {
        context.output.flush()?;
        let page = patiently(client, context, &list(filter, after, LOG_PAGE_MAX, false))?;
        after = page.next.or(after);
        print(context, &page.records)?;
        if page.is_end {
            context.output.flush()?;
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// A page, whenever there is a server that gives it: of one that is away it is said once. The place in `list` stays right
/// meanwhile, so nothing is missed or repeated.
fn patiently(client: &Client, context: &mut Context, list: &ListLogs) -> Result<Logs, Failure> {
    let home = context.home()?.path().to_owned();
    let mut is_said = false;
    loop {
        let mut reply = client.logs_aside(list.clone(), DEADLINE);
        let answer = loop {
            if let Some(answer) = reply.wait_timeout(AWAY_AFTER) {
                break answer;
            }
            say_away(context, &home, &mut is_said)?;
        };
        match answer {
            Ok(page) => {
                if is_said {
                    context.output.say("the server is back");
                }
                return Ok(page);
            }
            Err(error) if is_of_absence(&error) => say_away(context, &home, &mut is_said)?,
            Err(error) => return Err(error.into()),
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn say_away(context: &mut Context, home: &Path, is_said: &mut bool) -> Result<(), Failure> {
    let place = home.display();
    if !home.exists() {
        return Err(Failure::new(UNREACHABLE, format!("the home {place} was removed")));
    }
    if !std::mem::replace(is_said, true) {
        context.output.say(format!("the server of {place} is away: waiting for it"));
    }
    Ok(())
}

fn is_of_absence(error: &Error) -> bool {
    matches!(
        error,
        Error::NoServer { .. }
            | Error::Timeout { .. }
            | Error::Refused { code: RefusalCode::ShuttingDown, .. }
    )
}

/// The place behind the newest record: what is logged from now on comes after it.
fn end_of(client: &Client) -> Result<Option<u64>, Failure> {
    Ok(answer(client.logs(list(&LogFilter::default(), Some(u64::MAX), 1, false), None))?.next)
}

/// The newest ones before a position, the oldest of them first.
fn newest(
    client: &Client,
    filter: &LogFilter,
    limit: u32,
    mut before: Option<u64>,
) -> Result<Vec<LogRecord>, Failure> {
    let mut found = Vec::new();
    loop {
        let left = limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        let page = answer(client.logs(list(filter, before, left.min(LOG_PAGE_MAX), true), None))?;
        found.extend(page.records);
        before = page.next;
        if before.is_none() || found.len() as u64 >= u64::from(limit) {
            found.reverse();
            return Ok(found);
        }
    }
}

fn list(filter: &LogFilter, after: Option<u64>, count: u32, newest_first: bool) -> ListLogs {
    ListLogs { filter: filter.clone(), after, count, newest_first }
}

fn print(context: &mut Context, records: &[LogRecord]) -> Result<(), Failure> {
    for record in records {
        match context.output.form {
            Form::Text => {
                for line in show::log_record(record) {
                    context.output.line(line)?;
                }
            }
            _ => context.output.json(&json::of_log_record(record))?,
        }
    }
    Ok(())
}
