//! `lineshaft torture`: whether the promises hold while processes are killed at random.

use std::ffi::OsString;

use lineshaft::ServerCommand;
use lineshaft_bench::torture::{Options, Report, be_child, be_client, enter, run as torture_for, work};
use lineshaft_bench::{Cleanup, Error};

use super::bench::{check_place, end_on_signals, write};
use crate::args::{JsonTo, Torture};
use crate::context::{Context, working_directory};
use crate::exit::{FAILED, Failure};

/// Broken promises that are shown; a JSON document has all of them.
const SHOWN: usize = 20;

pub(crate) fn run(torture: Torture, context: &mut Context) -> Result<(), Failure> {
    if let Some(home) = &torture.work_for {
        return work(home, &context.server_command()?).map_err(|error| failure(&error));
    }
    if let Some(home) = &torture.child_of {
        return be_child(home).map_err(|error| failure(&error));
    }
    if let (Some(home), Some(number)) = (&torture.client_of, torture.client) {
        return be_client(home, number, torture.seed.unwrap_or_default()).map_err(|error| failure(&error));
    }
    let options = options(&torture, context)?;
    if let Some(JsonTo::File(path)) = &torture.json {
        check_place(path)?;
    }
    if !options.may_mount {
        let why = enter(&words(&options, &torture, context)?, &options.directory);
        context.output.say(format!("no home is on a full disk: {why}"));
    }
    let cleanup = Cleanup::default();
    end_on_signals(&cleanup)?;
    let report = torture_for(options, &cleanup, &mut |words| context.output.say(words));
    let report = report.map_err(|error| failure(&error))?;
    show(&report, context)?;
    if let Some(JsonTo::File(path)) = &torture.json {
        write(path, &report.to_json())?;
    }
    conclude(&report, &cleanup)
}

fn options(torture: &Torture, context: &Context) -> Result<Options, Failure> {
    let directory = torture.dir.clone().map_or_else(working_directory, Ok)?;
    Ok(Options {
        span: torture.minutes,
        seed: torture.seed.unwrap_or_else(lineshaft_bench::torture::any_seed),
        victims: torture.kill.clone(),
        directory,
        may_mount: torture.mounts,
        command: context.server_command()?,
    })
}

/// The same command again, in a mount namespace.
fn words(options: &Options, torture: &Torture, context: &Context) -> Result<Vec<OsString>, Failure> {
    let ServerCommand { program, args } = context.server_command()?;
    let victims: Vec<&str> = options.victims.iter().map(|it| it.as_str()).collect();
    let minutes = options.span.as_secs_f64() / 60.0;
    let mut words = vec![program.into_os_string()];
    words.extend(args);
    words.extend(["torture", "--mounts", "--minutes"].map(OsString::from));
    words.extend([minutes.to_string(), "--seed".into(), options.seed.to_string()].map(OsString::from));
    words.extend([
        "--kill".into(),
        victims.join(",").into(),
        "--dir".into(),
        options.directory.clone().into(),
    ]);
    match &torture.json {
        Some(JsonTo::File(path)) => words.extend(["--json".into(), path.into()]),
        _ if context.output.is_json() => words.extend(["--json", "-"].map(OsString::from)),
        _ => {}
    }
    Ok(words)
}

fn show(report: &Report, context: &mut Context) -> Result<(), Failure> {
    if context.output.is_json() {
        return Ok(context.output.json(&report.to_json())?);
    }
    for violation in report.violations.iter().take(SHOWN) {
        context.output.line(violation.to_string())?;
    }
    if let Some(more) = report.violations.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        context.output.line(format!("and {more} more"))?;
    }
    let seconds = report.took.as_secs();
    context.output.line(format!(
        "{} in {seconds} s, {} overlapped",
        report.deeds_in_words(),
        report.overlapped
    ))?;
    Ok(context.output.line(report.summary())?)
}

fn conclude(report: &Report, cleanup: &Cleanup) -> Result<(), Failure> {
    if let Some(kept) = &report.kept {
        let words = match report.violations.len() {
            1 => "a promise was broken".to_owned(),
            count => format!("{count} promises were broken"),
        };
        let hint = format!(
            "home, ledger and effects are in {}; please report them, with the seed {}",
            kept.display(),
            report.seed
        );
        return Err(Failure::new(FAILED, words).hint(hint));
    }
    match cleanup.interrupted() {
        Some(signal) => Err(Failure::new(
            128 + signal,
            "a signal ended it before its time: so far all promises were kept",
        )),
        None => Ok(()),
    }
}

fn failure(error: &Error) -> Failure {
    let failure = Failure::new(FAILED, error.to_string());
    match error {
        Error::NoRoom { .. } => failure.hint("--dir DIR uses another disk"),
        _ => failure,
    }
}
