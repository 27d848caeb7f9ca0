//! `lineshaft profile` and `lineshaft job profile`: where the time of attempts went.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use lineshaft::client::Client;
use lineshaft_insight::Habits;
use lineshaft_insight::profile::{Kind, Profile, Unreadable, diff, flame_graph_svg, html};
use lineshaft_wire::message::{ListLogs, PROFILE_LOGGER, TaskStatistics};
use lineshaft_wire::{JobId, LogFilter, Looks, task};
use serde_json::json;

use crate::args::{self, Files, JobProfile, Kept, ProfileVerb};
use crate::context::{Context, answer};
use crate::exit::{FAILED, Failure, NOT_FOUND};
use crate::times::now_ms;
use crate::{profiled, show};

/// Profiles of one answer, each of which may have 128 KiB.
const PAGE: u32 = 100;

pub(crate) fn run(wanted: &args::Profile, context: &mut Context) -> Result<(), Failure> {
    let client = context.client_of_existing()?;
    if let Some(ProfileVerb::Diff { task, before, after, kept }) = &wanted.verb {
        return show_diff(&client, context, (task, *before, *after), kept);
    }
    let task = wanted.task.as_deref().unwrap_or_default();
    if let Some(count) = wanted.next {
        return want_next(&client, context, task, (count, looks(wanted)));
    }
    let found = find(&client, context, &of_task(task, wanted.version, &wanted.kept), wanted.kept.limit)?;
    let awaits = found.as_ref().is_some_and(|found| found.profile.total(Kind::Awaiting).wall_ns > 0);
    let advice = advice_on(&client, task, wanted.version, awaits)?;
    let Some(found) = found else {
        // What is counted of all attempts may help without one that was profiled.
        if context.output.is_json() && !advice.is_empty() {
            let nothing = Found { profile: Profile::new(), attempts: 0 };
            context.output.json(&profiled::as_json(&nothing, task, &advice))?;
        } else {
            advice.iter().try_for_each(|line| context.output.line(line))?;
        }
        return Err(none_of(task, wanted.version));
    };
    show_found(context, &found, task, &wanted.files, &advice)
}

/// What the figures of a task's attempts say, of one version or of the one that ran last.
fn advice_on(
    client: &Client,
    name: &str,
    version: Option<u32>,
    awaits: bool,
) -> Result<Vec<String>, Failure> {
    let all = answer(client.tasks(Some(name), None))?;
    let wanted = all.iter().filter(|one| version.is_none_or(|version| task::split(&one.task).1 == version));
    Ok(wanted.max_by_key(|one| one.until).map(|one| habits_of(one, awaits).advice()).unwrap_or_default())
}

/// `awaits` if profiles of attempts have what they await.
fn habits_of(task: &TaskStatistics, awaits: bool) -> Habits {
    let time = Duration::from_micros;
    let TaskStatistics { ran, waited, cpu, calls, repeated, .. } = *task;
    // Of coroutines it is known how long they ran, and no CPU time.
    let cpu = (cpu.count > 0 && cpu.count == ran.count)
        .then(|| (time(ran.total_us), time(cpu.total_us + task.children_cpu_us)));
    Habits {
        calls,
        repeated,
        attempts: ran.count,
        ran: time(ran.total_us),
        ran_half: time(ran.p50_us),
        waited_half: time(waited.p50_us),
        cpu,
        collected: time(task.collected_us),
        bytes: task.bytes_in + task.bytes_out,
        awaits,
    }
}

/// How the next attempts are to be looked at, besides plainly.
fn looks(wanted: &args::Profile) -> Looks {
    let of = |is_wanted, looks| if is_wanted { looks } else { Looks::NONE };
    of(wanted.memory, Looks::MEMORY) | of(wanted.native, Looks::NATIVE)
}

fn want_next(
    client: &Client,
    context: &mut Context,
    task: &str,
    (count, looks): (u32, Looks),
) -> Result<(), Failure> {
    answer(client.profile_next(task, count, looks, None))?;
    if context.output.is_json() {
        context.output.json(&json!({ "task": task, "next": count }))?;
    }
    if count == 0 {
        context.output.say(format!("attempts of {task} are profiled as it says itself"));
        return Ok(());
    }
    let attempts = show::count_of(u64::from(count), "attempt");
    context.output.say(format!(
        "the next {attempts} of {task} are profiled, of those that begin within an hour; `lineshaft profile {task}` shows them"
    ));
    let workers = answer(client.status(None))?.workers;
    let is_run = workers.iter().flat_map(|worker| &worker.tasks).any(|one| task::name_of(one) == task);
    if !is_run {
        context.output.warn(&format!("no worker runs {task} now"));
    }
    Ok(())
}

/// The newest profile of a job.
pub(crate) fn of_job(client: &Client, context: &mut Context, wanted: &JobProfile) -> Result<(), Failure> {
    let JobProfile { id, attempt, files } = wanted;
    let record = answer(client.show(*id, None))?;
    let filter = LogFilter { job: Some(*id), attempt: *attempt, ..profiles() };
    let Some(found) = find(client, context, &filter, 1)? else {
        return Err(Failure::new(NOT_FOUND, format!("job {id} has no profile"))
            .hint("attempts are profiled by using(profile=True), @app.task(profile=0.01) or `lineshaft profile TASK --next 20`"));
    };
    show_found(context, &found, &record.record.task, files, &[])
}

/// Some profiles as one.
pub(crate) struct Found {
    pub(crate) profile: Profile,
    /// Attempts whose profiles they are.
    pub(crate) attempts: u64,
}

impl Found {
    fn add(&mut self, one: &Profile) {
        self.profile.merge(one);
        self.attempts += 1;
    }
}

fn profiles() -> LogFilter {
    LogFilter { logger: Some(PROFILE_LOGGER.into()), attached: true, ..LogFilter::default() }
}

fn of_task(task: &str, version: Option<u32>, kept: &Kept) -> LogFilter {
    let now = now_ms();
    let us = |when: args::When| when.before(now).saturating_mul(1_000);
    let version = version.map(|version| ("version".into(), version.to_string().into()));
    LogFilter {
        task: Some(task.into()),
        since_us: kept.since.map(us),
        until_us: kept.until.map(us),
        fields: version.into_iter().collect(),
        ..profiles()
    }
}

/// The newest ones merged, at most `limit`; `None` if there are none. Of an attempt the newest profile counts: that before
/// it was of how far it had come. What cannot be read is left out, and said; it fails if nothing else is there.
fn find(
    client: &Client,
    context: &mut Context,
    filter: &LogFilter,
    limit: u32,
) -> Result<Option<Found>, Failure> {
    let mut found = Found { profile: Profile::new(), attempts: 0 };
    let (mut seen, mut after, mut unread) = (BTreeSet::<(JobId, u32)>::new(), None, Vec::new());
    loop {
        let list = ListLogs { filter: filter.clone(), after, count: PAGE, newest_first: true };
        let page = answer(client.logs(list, None))?;
        for record in page.records {
            let Some(bytes) = &record.attachment else { continue };
            if found.attempts < u64::from(limit) && seen.insert((record.job, record.attempt)) {
                match Profile::from_bytes(bytes) {
                    Ok(one) => found.add(&one),
                    Err(error) => unread.push(error),
                }
            }
        }
        after = page.next;
        if after.is_none() || found.attempts >= u64::from(limit) {
            break;
        }
    }
    if let Some(error) = unread.first() {
        let left = left_out(unread.len() as u64, error);
        if found.attempts == 0 {
            return Err(Failure::new(FAILED, left));
        }
        context.output.warn(&left);
    }
    Ok((found.attempts > 0).then_some(found))
}

/// `1 profile was left out: this profile has version 9 of the format, and versions up to 2 are read`.
fn left_out(count: u64, error: &Unreadable) -> String {
    let were = if count == 1 { "was" } else { "were" };
    format!("{} {were} left out: {error}", show::count_of(count, "profile"))
}

fn none_of(task: &str, version: Option<u32>) -> Failure {
    let version = version.map(|version| format!(" v{version}")).unwrap_or_default();
    Failure::new(NOT_FOUND, format!("no attempt of {task}{version} was profiled")).hint(format!(
        "`lineshaft profile {task} --next 20` profiles the next ones, @app.task(profile=0.01) a share of all"
    ))
}

fn show_found(
    context: &mut Context,
    found: &Found,
    title: &str,
    files: &Files,
    advice: &[String],
) -> Result<(), Failure> {
    let profile = &found.profile;
    if let Some(path) = &files.flame {
        let is_page = path.extension().is_some_and(|suffix| suffix == "html");
        let graph = || flame_graph_svg(profile, title);
        let text = if is_page { html(profile, title, &profiled::source_line) } else { graph() };
        write(context, path, text.as_bytes())?;
    }
    if let Some(path) = &files.speedscope {
        write(context, path, profile.speedscope(title).as_bytes())?;
    }
    if let Some(path) = &files.pprof {
        write(context, path, &profile.pprof())?;
    }
    if context.output.is_json() {
        return Ok(context.output.json(&profiled::as_json(found, title, advice))?);
    }
    profiled::table(found, advice).into_iter().try_for_each(|line| context.output.line(line))?;
    Ok(())
}

fn write(context: &mut Context, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |error| Failure::new(FAILED, format!("cannot write {}: {error}", path.display()));
    std::fs::write(path, bytes).map_err(failed)?;
    context.output.say(format!("wrote {}", path.display()));
    Ok(())
}

fn show_diff(
    client: &Client,
    context: &mut Context,
    (task, before, after): (&str, u32, u32),
    kept: &Kept,
) -> Result<(), Failure> {
    let mut of = |version| {
        let found = find(client, context, &of_task(task, Some(version), kept), kept.limit)?;
        found.ok_or_else(|| none_of(task, Some(version)))
    };
    let (before, after) = ((before, of(before)?), (after, of(after)?));
    let changes = diff(&before.1.profile, &after.1.profile);
    if context.output.is_json() {
        return Ok(context.output.json(&profiled::changes_as_json(task, &before, &after, &changes))?);
    }
    profiled::changes(&before, &after, &changes)
        .into_iter()
        .try_for_each(|line| context.output.line(line))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_said_with_why() {
        let error = Profile::from_bytes(b"LSPR\x09").expect_err("a newer version");
        let why = "this profile has version 9 of the format, and versions up to 2 are read";
        assert_eq!(left_out(1, &error), format!("1 profile was left out: {why}"));
        assert_eq!(left_out(2, &error), format!("2 profiles were left out: {why}"));
    }
}
