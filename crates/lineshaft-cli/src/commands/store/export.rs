//! `lineshaft store export`: every job of a home as a line of JSON.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use lineshaft_engine::Error;
use lineshaft_engine::inspect::{self, Exported, ExportedJob};
use lineshaft_wire::value;
use serde_json::{Value as Json, json};

use super::export_file::ExportFile;
use super::failure::of_engine;
use crate::args::Export;
use crate::commands::job::message;
use crate::context::Context;
use crate::exit::{FAILED, Failure};
use crate::{json as as_json, show};

pub(super) fn run(export: &Export, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let counts = match &export.file {
        Some(path) if path.as_os_str() != "-" => {
            let mut file = ExportFile::create(path, home.path())?;
            let counts = write(home.path(), export, &mut file, context).map_err(|stop| match stop {
                Stop::Engine(error) => of_engine(&error),
                Stop::Output(error) => file.failed(&error),
            })?;
            file.finish()?;
            counts
        }
        _ => {
            let mut output = BufWriter::new(io::stdout().lock());
            write(home.path(), export, &mut output, context).map_err(|stop| match stop {
                Stop::Engine(error) => of_engine(&error),
                Stop::Output(error) => error.into(),
            })?
        }
    };
    context.output.say(format!("exported {}", show::jobs(counts.jobs)));
    if counts.damaged == 0 {
        return Ok(());
    }
    let (parts, are) = if counts.damaged == 1 { ("part", "is") } else { ("parts", "are") };
    let message = format!("{} {parts} of the home cannot be read and {are} missing", counts.damaged);
    Err(Failure::new(FAILED, message).hint("`lineshaft store verify` says what is damaged"))
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) jobs: u64,
    pub(super) damaged: u64,
}

/// Why an export ends early.
pub(super) enum Stop {
    Engine(Error),
    Output(io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

fn write(home: &Path, export: &Export, to: &mut dyn Write, context: &mut Context) -> Result<Counts, Stop> {
    let mut counts = Counts::default();
    inspect::export(home, &message(&export.filter), |exported| {
        write_one(exported, to, &mut counts, context).map_err(Stop::Output)
    })?;
    to.flush().map_err(Stop::Output)?;
    Ok(counts)
}

pub(super) fn write_one(
    exported: Exported,
    to: &mut dyn Write,
    counts: &mut Counts,
    context: &mut Context,
) -> io::Result<()> {
    match exported {
        Exported::Job(job) => {
            counts.jobs += 1;
            let (document, unreadable) = document(*job);
            counts.damaged += unreadable;
            writeln!(to, "{document}")
        }
        Exported::Unreadable(error) => {
            counts.damaged += 1;
            context.output.warn(&error.to_string());
            Ok(())
        }
        Exported::Incomplete(id, error) => {
            counts.damaged += 1;
            context.output.warn(&format!("job {id}: {error}"));
            Ok(())
        }
    }
}

/// The job as `job show --json` gives it, with its result and checkpoint; and how many of its payloads do not read.
fn document(job: ExportedJob) -> (Json, u64) {
    let mut document = as_json::of_job(&job.record);
    let mut unreadable = Vec::new();
    let payloads = [("arguments", job.arguments), ("result", job.result), ("checkpoint", job.checkpoint)];
    for (name, payload) in payloads {
        match payload {
            Ok(bytes) if name == "arguments" => add_call(&mut document, &bytes),
            Ok(bytes) => document[name] = of_payload(&bytes),
            Err(error) => {
                unreadable.push(json!({ "payload": name, "reason": error.to_string() }));
                document[name] = Json::Null;
            }
        }
    }
    let count = unreadable.len() as u64;
    if count > 0 {
        document["unreadable"] = unreadable.into();
    }
    (document, count)
}

/// The call as text, and in the form that `lineshaft enqueue --jsonl` takes.
fn add_call(document: &mut Json, bytes: &[u8]) {
    let Ok(call) = value::decode_call(bytes) else {
        document["arguments"] = Json::Null;
        return;
    };
    document["arguments"] = call.to_string().into();
    document["args"] = call.positional.iter().map(as_json::of_value).collect();
    let keywords = call.keywords.iter().map(|(name, value)| (name.to_string(), as_json::of_value(value)));
    document["kwargs"] = Json::Object(keywords.collect());
}

/// A value; `null` where there is none, or one that does not read.
fn of_payload(bytes: &[u8]) -> Json {
    if bytes.is_empty() {
        return Json::Null;
    }
    value::decode(bytes).map_or(Json::Null, |value| as_json::of_value(&value))
}
