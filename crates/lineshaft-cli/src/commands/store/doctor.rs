//! `lineshaft store doctor`: a home that does not start.

use std::io::Write;
use std::path::Path;

use lineshaft_engine::Error;
use lineshaft_engine::inspect::{self, Diagnosis, Exported, Loss};
use lineshaft_store::Error as StoreError;
use serde_json::{Value as Json, json};

use super::export::{Counts, Stop, write_one};
use super::export_file::ExportFile;
use super::failure::of_engine;
use super::verify::{line, of_finding};
use crate::args::Doctor;
use crate::context::Context;
use crate::exit::{FAILED, Failure};
use crate::show::{grouped, jobs};
use crate::times::{now_ms, rfc3339};

/// Jobs that are named; JSON has all of them.
const NAMED_MAX: usize = 10;
const HINT: &str =
    "keep a copy of the home; `--export FILE` writes what is left, `--accept-loss` goes on without the rest";

pub(super) fn run(doctor: &Doctor, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let diagnosis = inspect::diagnose(home.path()).map_err(|error| refused(&error))?;
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
        context.output.say(format!("{place} starts: `lineshaft store verify` reads the rest of it, too"));
        return Ok(());
    }
    let code = diagnosis.refusals.iter().find_map(|finding| finding.code);
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
            format!("{place} starts, but {} in it cannot run; nothing was changed", jobs(diagnosis.dead))
        } else {
            format!("{place} does not start as it is; nothing was changed")
        };
        return Err(Failure::new(FAILED, message).error(code).hint(HINT));
    }
    let aside = format!("lost/{}", rfc3339(now_ms()).replace([':', '.'], "-"));
    let kept = diagnosis.accept(&aside).map_err(|error| of_engine(&error))?;
    context.output.say(format!("{place} starts again; {} in {aside}", files(kept.len())));
    Ok(())
}

fn files(count: usize) -> String {
    if count == 1 {
        "1 file that it had before is".to_owned()
    } else {
        format!("{count} files that it had before are")
    }
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
    let mut counts = Counts::default();
    let exported = diagnosis.export(|exported: Exported| {
        write_one(exported, &mut file, &mut counts, context).map_err(Stop::Output)
    });
    match exported.and_then(|()| file.flush().map_err(Stop::Output)) {
        Ok(()) => file.finish()?,
        Err(Stop::Engine(error)) => return Err(of_engine(&error)),
        Err(Stop::Output(error)) => return Err(file.failed(&error)),
    }
    context.output.say(format!(
        "exported {}, {} parts of them do not read",
        jobs(counts.jobs),
        counts.damaged
    ));
    Ok(())
}

fn text(diagnosis: &Diagnosis) -> Vec<String> {
    let mut lines: Vec<String> = diagnosis.refusals.iter().map(line).collect();
    if !diagnosis.can_go_on() || diagnosis.is_well() {
        return lines;
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.extend(diagnosis.losses.iter().map(words));
    if !diagnosis.incomplete.is_empty() {
        let named: Vec<String> =
            diagnosis.incomplete.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        let more = if diagnosis.incomplete.len() > NAMED_MAX { ", …" } else { "" };
        let count = jobs(diagnosis.incomplete.len() as u64);
        lines.push(format!(
            "lost: arguments, results or outputs of {count}, of which {} cannot run and would be discarded: {}{more}",
            diagnosis.dead,
            named.join(", ")
        ));
    }
    lines.push(format!("left: {} in memory, and the history that is not named above", jobs(diagnosis.jobs)));
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
        "findings": diagnosis.refusals.iter().map(of_finding).collect::<Vec<_>>(),
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
