//! `lineshaft bench`: the figures of this machine.

use std::fs;
use std::path::{Path, PathBuf};

use lineshaft::config::{PYTHON, Settings, Value};
use lineshaft_bench::figure::number;
use lineshaft_bench::{Cleanup, Error, Line, Options, Report, Selection, names};
use serde_json::Value as Json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::{Bench, JsonTo};
use crate::context::{Context, working_directory};
use crate::exit::{FAILED, Failure, USAGE};
use crate::python;
use crate::table::{GiveWay, table};

pub(crate) fn run(bench: Bench, context: &mut Context) -> Result<(), Failure> {
    if let Some(home) = &bench.work_for {
        return lineshaft_bench::worker::run(home).map_err(|error| failure(&error));
    }
    let options = options(&bench, context)?;
    if let Some(JsonTo::File(path)) = &bench.json {
        check_place(path)?;
    }
    let cleanup = Cleanup::default();
    end_on_signals(&cleanup)?;
    let measured = lineshaft_bench::run(options, &cleanup, &mut |words| context.output.say(words));
    let report = measured.map_err(|error| failure(&error))?;
    show(&report, context)?;
    if let Some(JsonTo::File(path)) = &bench.json {
        write(path, &report.to_json())?;
    }
    if let Some(signal) = cleanup.interrupted() {
        return Err(Failure::new(
            128 + signal,
            "a signal ended it: the figures are of what was done until then",
        ));
    }
    match report.failures() {
        [] => Ok(()),
        failures => Err(Failure::new(FAILED, failures.join("; "))),
    }
}

fn options(bench: &Bench, context: &mut Context) -> Result<Options, Failure> {
    let selection = Selection::of(&bench.names).map_err(|error| failure(&error))?;
    let directory = match &bench.dir {
        Some(directory) => directory.clone(),
        None => working_directory()?,
    };
    let python = if selection.needs_python() {
        interpreter(bench.python.clone(), context)?
    } else {
        Err("no figure needs it".into())
    };
    let command = context.server_command()?;
    Ok(Options { selection, directory, quick: bench.quick, soak_jobs: bench.jobs, command, python })
}

/// The interpreter, or why there is none: what was named has to be one.
fn interpreter(given: Option<PathBuf>, context: &mut Context) -> Result<lineshaft_bench::Python, Failure> {
    let settings = Settings::find(&working_directory()?)?;
    let found = settings.get(&PYTHON, given.map(|path| Value::Text(path.display().to_string())))?;
    let was_named = found.value.is_some();
    match python::interpreter(found, context) {
        Ok(python) => Ok(Ok(python)),
        Err(failure) if was_named => Err(failure),
        Err(failure) => Ok(Err(failure.words())),
    }
}

/// A signal ends everything that was started, removes what was written, and then us. Where the run can say what it has so
/// far, the first one only asks it to end.
pub(super) fn end_on_signals(cleanup: &Cleanup) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let cleanup = cleanup.clone();
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().find(|signal| !cleanup.interrupt(*signal)) {
            cleanup.end();
            signal_hook::low_level::exit(128 + signal);
        }
    });
    Ok(())
}

/// Minutes of measuring are not to end with a file that cannot be written.
pub(super) fn check_place(path: &Path) -> Result<(), Failure> {
    let is_new = !path.exists();
    fs::File::options().create(true).append(true).open(path).map_err(|error| cannot_write(path, &error))?;
    if is_new { fs::remove_file(path).map_err(|error| cannot_write(path, &error)) } else { Ok(()) }
}

pub(super) fn write(path: &Path, document: &Json) -> Result<(), Failure> {
    fs::write(path, format!("{document:#}\n")).map_err(|error| cannot_write(path, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FAILED, format!("cannot write {}: {error}", path.display()))
}

fn show(report: &Report, context: &mut Context) -> Result<(), Failure> {
    if context.output.is_json() {
        return Ok(context.output.json(&report.to_json())?);
    }
    let rows: Vec<[String; 5]> = report.lines().map(|line| row(&line)).collect();
    let heading = ["FIGURE", "MEDIAN", "LEAST - GREATEST", "GOAL", "MET"];
    for line in table(heading, &rows, GiveWay::default(), context.output.columns()) {
        context.output.line(line)?;
    }
    Ok(())
}

fn row(line: &Line) -> [String; 5] {
    let (median, range) = match line.spread {
        Some(spread) => (number(spread.median), format!("{} - {}", number(spread.min), number(spread.max))),
        None => ("-".to_owned(), "not measured".to_owned()),
    };
    let met = match line.met {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    [line.figure.key.to_owned(), median, range, line.goal.clone(), met.to_owned()]
}

fn failure(error: &Error) -> Failure {
    match error {
        Error::UnknownNames { .. } => {
            Failure::new(USAGE, error.to_string()).hint(format!("there are: {}", names().join(", ")))
        }
        Error::NoRoom { .. } => Failure::new(FAILED, error.to_string())
            .hint("--dir DIR measures another disk; some figures need less room than others"),
        _ => Failure::new(FAILED, error.to_string()),
    }
}
