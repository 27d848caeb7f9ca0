//! `lineshaft locks`: who holds which lock, and taking one away.

use lineshaft::client::Client;
use lineshaft_wire::message::{ListLocks, LockReport};
use serde_json::{Value as Json, json};

use crate::args::{Locks, LocksVerb};
use crate::confirm::confirm;
use crate::context::{Context, answer};
use crate::exit::{Failure, NOT_FOUND};
use crate::output::Form;
use crate::{json, show, times};

/// Locks asked for at a time.
const PAGE: u32 = 100;

pub(crate) fn run(locks: Locks, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    match locks.verb {
        None => list(&client, context),
        Some(LocksVerb::Break { key, yes }) => break_lock(&client, context, &key, yes),
    }
}

fn list(client: &Client, context: &mut Context) -> Result<(), Failure> {
    let locks = all(client, None)?;
    if context.output.form == Form::Lines {
        return Ok(locks.iter().try_for_each(|lock| context.output.json(&json::of_lock(lock)))?);
    }
    if context.output.is_json() {
        let locks: Vec<Json> = locks.iter().map(json::of_lock).collect();
        return Ok(context.output.json(&json!({ "locks": locks }))?);
    }
    for line in show::locks(&locks, times::now_ms(), context.output.columns()) {
        context.output.line(line)?;
    }
    Ok(())
}

/// Every lock, or those with this key.
fn all(client: &Client, key: Option<&str>) -> Result<Vec<LockReport>, Failure> {
    let (mut locks, mut after) = (Vec::new(), None);
    loop {
        let page = answer(client.locks(ListLocks { key: key.map(Into::into), after, limit: PAGE }, None))?;
        after = page.locks.last().map(|lock| (lock.kind, lock.key.clone()));
        locks.extend(page.locks);
        if !page.more || after.is_none() {
            return Ok(locks);
        }
    }
}

fn break_lock(client: &Client, context: &mut Context, key: &str, yes: bool) -> Result<(), Failure> {
    let locks = all(client, Some(key))?;
    let fences: Vec<u64> = locks.iter().flat_map(|lock| &lock.holders).map(|holder| holder.fence).collect();
    if fences.is_empty() {
        return Err(Failure::new(NOT_FOUND, format!("nobody holds a lock or semaphore {key}"))
            .hint("`lineshaft locks` lists those that are held"));
    }
    let holders = show::count_of(fences.len() as u64, "holder");
    confirm(context, yes, &format!("take {key} away from {holders}"), &format!("{key} was left as it is"))?;
    let broken = answer(client.break_locks(fences, None))?;
    if context.output.is_json() {
        context.output.json(&json!({ "key": key, "fences": broken }))?;
    }
    let holders = show::count_of(broken.len() as u64, "holder");
    context.output.say(format!("took {key} away from {holders}"));
    Ok(())
}
