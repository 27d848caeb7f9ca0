//! `lineshaft store doctor`: a home that does not start.

use std::path::Path;

use lineshaft_engine::Error;
use lineshaft_engine::inspect::{self, Diagnosis, Exported, Finding, Loss};
use lineshaft_store::Error as StoreError;
use serde_json::{Value as Json, json};

use super::export::JobWriter;
use super::export_file::ExportFile;
use super::failure::of_engine;
use super::verify::{line, of_finding, reading};
use crate::args::Doctor;
use crate::context::Context;
use crate::exit::{FAILED, Failure};
use crate::show::{count_of, grouped, jobs};
use crate::times::{now_ms, rfc3339};

/// Jobs that are named; JSON has all of them.
const NAMED_MAX: usize = 10;
const HINT: &str =
    "keep a copy of the home; `--export FILE` writes what is left, `--accept-loss` goes on without the rest";

pub(super) fn run(doctor: &Doctor, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let diagnosis = inspect::diagnose(home.path(), &mut reading(context)).map_err(|error| refused(&error))?;
    let place = home.path().display().to_string();
    if context.output.is_json() {
        context.output.json(&document(&place, &diagnosis))?;
    } else {
        text(&diagnosis).into_iter().try_for_each(|line| context.output.line(line))?;
    }
    if let Some(path) = &doctor.export {
        export(&diagnosis, path, home.path(), context)?;
    }
    if diagnosis.is_well() {
        context.output.say(format!(
            "{place} starts, and nothing that a job needs to run is damaged; what else `lineshaft store verify` finds \
             needs nothing done, unless it says so: it goes with the jobs, snapshots or payloads that it belongs to"
        ));
        return Ok(());
    }
    let code = findings(&diagnosis).find_map(|finding| finding.code);
    if !diagnosis.can_go_on() {
        return Err(Failure::new(
            FAILED,
            format!("{place} does not start, and nothing here can change that"),
        )
        .error(code)
        .hint("restore a backup; what is wrong is listed above"));
    }
    if !doctor.accept_loss {
        let message = if diagnosis.starts() {
            format!("{place} starts, but {}; nothing was changed", shortcomings(&diagnosis))
        } else {
            format!("{place} does not start as it is; nothing was changed")
        };
        return Err(Failure::new(FAILED, message).error(code).hint(HINT));
    }
    let aside = format!("lost/{}", rfc3339(now_ms()).replace([':', '.'], "-"));
    let kept = diagnosis.accept(&aside).map_err(|error| of_engine(&error))?;
    let (files, are) = (count_of(kept.len() as u64, "file"), if kept.len() == 1 { "is" } else { "are" });
    context.output.say(format!("{place} starts again; {files} that it had before {are} in {aside}"));
    Ok(())
}

fn findings(diagnosis: &Diagnosis) -> impl Iterator<Item = &Finding> {
    diagnosis.refusals.iter().chain(&diagnosis.unreadable)
}

/// Why a home that starts is not well all the same.
fn shortcomings(diagnosis: &Diagnosis) -> String {
    let dead = (diagnosis.dead > 0).then(|| format!("{} in it cannot run", jobs(diagnosis.dead)));
    let blocks = count_of(diagnosis.unreadable.len() as u64, "block");
    let blocks =
        (!diagnosis.unreadable.is_empty()).then(|| format!("{blocks} of its history cannot be read"));
    dead.into_iter().chain(blocks).collect::<Vec<_>>().join(", and ")
}

fn refused(error: &Error) -> Failure {
    let failure = of_engine(error);
    match error {
        Error::Store(StoreError::Locked { .. }) => {
            failure.hint("a home that is served needs no doctor: `lineshaft store verify` checks it")
        }
        _ => failure,
    }
}

fn export(diagnosis: &Diagnosis, path: &Path, home: &Path, context: &mut Context) -> Result<(), Failure> {
    let mut file = ExportFile::create(path, home)?;
    let mut writer = JobWriter::new(&mut file, false);
    let exported = diagnosis.export(|exported: Exported| writer.write(exported, context));
    let counts = exported.and_then(|()| writer.finish());
    let counts = counts.map_err(|stop| stop.failure(|error| file.failed(error), context))?;
    file.finish()?;
    let (parts, do_not) =
        (count_of(counts.damaged, "part"), if counts.damaged == 1 { "does not" } else { "do not" });
    context.output.say(format!("exported {}, {parts} of them {do_not} read", jobs(counts.jobs)));
    Ok(())
}

fn text(diagnosis: &Diagnosis) -> Vec<String> {
    let mut lines: Vec<String> = findings(diagnosis).chain(&diagnosis.logs).map(line).collect();
    if !diagnosis.can_go_on() {
        return lines;
    }
    if !lines.is_empty() && !diagnosis.is_well() {
        lines.push(String::new());
    }
    lines.extend(diagnosis.losses.iter().map(words));
    if !diagnosis.incomplete.is_empty() {
        let named: Vec<String> =
            diagnosis.incomplete.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let more = if diagnosis.incomplete.len() > NAMED_MAX { ", …" } else { "" };
        let count = jobs(diagnosis.incomplete.len() as u64);
        let named = named.join(", ");
        lines.push(match diagnosis.dead {
            0 => format!("lost: results or outputs of {count}, which need them no more to run: {named}{more}"),
            dead => format!(
                "lost: arguments, results or outputs of {count}, of which {dead} cannot run and would be discarded: \
                 {named}{more}"
            ),
        });
    }
    if !diagnosis.is_well() {
        lines.push(format!(
            "left: {} in memory, and the history that is not named above",
            jobs(diagnosis.jobs)
        ));
    }
    lines
}

fn words(loss: &Loss) -> String {
    match loss {
        Loss::Mended { path } => format!("nothing: {path} can be written again"),
        Loss::File { path } => format!("nothing: others stand in for {path}"),
        Loss::PayloadFile { path } => format!("lost: the payloads in {path}"),
        Loss::Payloads { first_lsn, last_lsn } => format!(
            "lost: what lay in commits {first_lsn} to {last_lsn}; the state behind them is in a snapshot"
        ),
        Loss::Since { first_lsn, last_lsn, state_lsn, state_ms, unfinished_again } => {
            let back = format!(
                "lost: everything that happened in commits {first_lsn} to {last_lsn}; the home goes on as it was at \
                 commit {state_lsn}, {}",
                rfc3339(*state_ms)
            );
            match unfinished_again {
                0 => back,
                count => format!("{back}; {} that had finished since would run again", jobs(*count)),
            }
        }
        Loss::State { history_jobs } => {
            format!("lost: every job that was not in the history; {} there stay", jobs(*history_jobs))
        }
        Loss::OldestHistory { path, before } => format!(
            "lost: the jobs of the history before the finished one {}, as far as they were kept; the last of them were \
             in {path}",
            grouped(*before)
        ),
        Loss::History { first, last } => {
            let (count, first, last) = (jobs(last - first + 1), grouped(*first), grouped(*last));
            format!("lost: {count} of the history, the finished ones {first} to {last}")
        }
    }
}

fn document(home: &str, diagnosis: &Diagnosis) -> Json {
    json!({
        "home": home,
        "starts": diagnosis.starts(),
        "well": diagnosis.is_well(),
        "can_go_on": diagnosis.can_go_on(),
        "findings": findings(diagnosis).map(of_finding).collect::<Vec<_>>(),
        "logs": diagnosis.logs.iter().map(of_finding).collect::<Vec<_>>(),
        "losses": diagnosis.losses.iter().map(of_loss).collect::<Vec<_>>(),
        "jobs_that_cannot_run": diagnosis.dead,
        "incomplete_jobs": diagnosis.incomplete.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "jobs": diagnosis.jobs,
    })
}

fn of_loss(loss: &Loss) -> Json {
    match loss {
        Loss::Mended { path } => json!({ "kind": "mended", "file": path }),
        Loss::File { path } => json!({ "kind": "file", "file": path }),
        Loss::PayloadFile { path } => json!({ "kind": "payload_file", "file": path }),
        Loss::Payloads { first_lsn, last_lsn } => {
            json!({ "kind": "payloads", "first_lsn": first_lsn, "last_lsn": last_lsn })
        }
        Loss::Since { first_lsn, last_lsn, state_lsn, state_ms, unfinished_again } => json!({
            "kind": "since",
            "first_lsn": first_lsn,
            "last_lsn": last_lsn,
            "state_lsn": state_lsn,
            "state_at": rfc3339(*state_ms),
            "unfinished_again": unfinished_again,
        }),
        Loss::State { history_jobs } => json!({ "kind": "state", "history_jobs": history_jobs }),
        Loss::OldestHistory { path, before } => {
            json!({ "kind": "oldest_history", "file": path, "before": before })
        }
        Loss::History { first, last } => json!({ "kind": "history", "first": first, "last": last }),
    }
}
