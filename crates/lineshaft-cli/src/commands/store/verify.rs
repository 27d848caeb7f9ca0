//! `lineshaft store verify`: reads everything and checks it.

use std::time::{Duration, Instant};

use lineshaft_engine::inspect::{self, Finding, Report};
use serde_json::{Value as Json, json};

use super::failure::of_engine;
use crate::context::Context;
use crate::exit::{FAILED, Failure};
use crate::show::bytes;
use crate::table::{GiveWay, table};

/// Findings shown to people; JSON has all of them.
const SHOWN_MAX: usize = 50;
/// How often progress is told.
const SAY_EVERY: Duration = Duration::from_secs(1);

pub(super) fn run(context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let report = inspect::verify(home.path(), &mut reading(context)).map_err(|error| of_engine(&error))?;
    if context.output.is_json() {
        context.output.json(&document(&home.path().display().to_string(), &report))?;
    } else {
        for line in text(&report, context.output.columns()) {
            context.output.line(line)?;
        }
    }
    if let Some(holder) = &report.holder {
        context.output.say(format!(
            "process {} works in this home: what it did during the check was left out",
            holder.pid
        ));
    }
    match report.findings.len() {
        0 => Ok(()),
        count => {
            let first = report.findings.iter().find_map(|finding| finding.code);
            let message = format!("{count} {} wrong in {}", things(count), home.path().display());
            Err(Failure::new(FAILED, message)
                .error(first)
                .hint("with the server stopped, `lineshaft store doctor` says what is lost and how to go on"))
        }
    }
}

/// Tells how far something is that reads the home.
pub(super) fn reading(context: &mut Context) -> impl FnMut(u64, u64) {
    let mut said = Instant::now();
    move |read, total| {
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            context.output.say(format!("read {} of {}", bytes(read), bytes(total)));
        }
    }
}

fn things(count: usize) -> &'static str {
    if count == 1 { "thing is" } else { "things are" }
}

fn document(home: &str, report: &Report) -> Json {
    let checked =
        report.checked.iter().map(|it| json!({ "what": it.what, "count": it.count, "bytes": it.bytes }));
    json!({
        "home": home,
        "served_by": report.holder.as_ref().map(|holder| holder.pid),
        "head_lsn": report.head_lsn,
        "checked": checked.collect::<Vec<_>>(),
        "findings": report.findings.iter().map(of_finding).collect::<Vec<_>>(),
    })
}

pub(super) fn of_finding(finding: &Finding) -> Json {
    json!({
        "code": finding.code.map(|code| code.to_string()),
        "file": finding.file,
        "offset": finding.offset,
        "first_lsn": finding.lsns.map(|(first, _)| first),
        "last_lsn": finding.lsns.map(|(_, last)| last),
        "job": finding.job.map(|job| job.to_string()),
        "what": finding.what,
    })
}

fn text(report: &Report, columns: Option<usize>) -> Vec<String> {
    let row = |it: &inspect::Checked| [it.what.to_owned(), it.count.to_string(), bytes(it.bytes)];
    let rows: Vec<[String; 3]> = report.checked.iter().map(row).collect();
    let mut lines = table(["CHECKED", "COUNT", "SIZE"], &rows, GiveWay::default(), columns);
    if !report.findings.is_empty() {
        lines.push(String::new());
    }
    lines.extend(report.findings.iter().take(SHOWN_MAX).map(line));
    if report.findings.len() > SHOWN_MAX {
        lines.push(format!("and {} more: --json has all", report.findings.len() - SHOWN_MAX));
    }
    lines
}

/// A finding in one line: `[LS0005] snap/00…42 at byte 0 (commit 17): why`.
pub(super) fn line(finding: &Finding) -> String {
    let code = finding.code.map_or_else(String::new, |code| format!("[{code}] "));
    let file = finding.file.clone().unwrap_or_default();
    let place = finding.offset.map_or_else(|| file.clone(), |offset| format!("{file} at byte {offset}"));
    let lsns = match finding.lsns {
        Some((first, last)) if first == last => format!(" (commit {first})"),
        _ => String::new(),
    };
    let colon = if place.is_empty() && lsns.is_empty() { "" } else { ": " };
    format!("{code}{}{colon}{}", (place + &lsns).trim_start(), finding.what)
}
