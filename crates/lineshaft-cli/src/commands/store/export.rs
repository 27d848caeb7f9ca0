//! `lineshaft store export`: every job of a home as JSON.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

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
use crate::output::Form;
use crate::{json as as_json, show};

/// How often people are told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

pub(super) fn run(export: &Export, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let is_document = context.output.form == Form::Json;
    let counts = if let Some(path) = export.path() {
        let mut file = ExportFile::create(path, home.path())?;
        let counts = write(home.path(), export, JobWriter::new(&mut file, is_document), context);
        let counts = counts.map_err(|stop| stop.failure(|error| file.failed(error), context))?;
        file.finish()?;
        counts
    } else {
        let mut output = BufWriter::new(io::stdout().lock());
        let counts = write(home.path(), export, JobWriter::new(&mut output, is_document), context);
        counts.map_err(|stop| stop.failure(Failure::from, context))?
    };
    context.output.say(format!("exported {}", show::jobs(counts.jobs)));
    if counts.damaged == 0 {
        return Ok(());
    }
    let are = if counts.damaged == 1 { "is" } else { "are" };
    let message =
        format!("{} of the home cannot be read and {are} missing", show::count_of(counts.damaged, "part"));
    Err(Failure::new(FAILED, message).hint("`lineshaft store verify` says what is damaged"))
}

fn write(
    home: &Path,
    export: &Export,
    mut writer: JobWriter<'_>,
    context: &mut Context,
) -> Result<Counts, Stop> {
    inspect::export(home, &message(&export.filter), |exported| writer.write(exported, context))?;
    writer.finish()
}

/// What an export came to.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) jobs: u64,
    pub(super) damaged: u64,
}

/// Why an export ends early.
pub(super) enum Stop {
    Engine(Error),
    Output(io::Error),
    Interrupted,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Stop {
    pub(super) fn failure(self, of_output: impl FnOnce(io::Error) -> Failure, context: &Context) -> Failure {
        match self {
            Self::Engine(error) => of_engine(&error),
            Self::Output(error) => of_output(error),
            Self::Interrupted => {
                context.interrupt.or("export", Failure::new(FAILED, "the export ended early"))
            }
        }
    }
}

/// Writes jobs as JSON: a line each, or as the elements of one document.
pub(super) struct JobWriter<'a> {
    to: &'a mut dyn Write,
    is_document: bool,
    counts: Counts,
    told: Instant,
}

impl<'a> JobWriter<'a> {
    pub(super) fn new(to: &'a mut dyn Write, is_document: bool) -> Self {
        Self { to, is_document, counts: Counts::default(), told: Instant::now() }
    }

    pub(super) fn write(&mut self, exported: Exported, context: &mut Context) -> Result<(), Stop> {
        if context.interrupt.came() {
            return Err(Stop::Interrupted);
        }
        match exported {
            Exported::Job(job) => {
                let (document, unreadable) = document(*job);
                self.begin_job()?;
                self.counts.damaged += unreadable;
                writeln!(self.to, "{document}")?;
            }
            Exported::Unreadable(error) => {
                self.counts.damaged += 1;
                context.output.warn(&error.to_string());
            }
            Exported::Incomplete(id, error) => {
                self.counts.damaged += 1;
                context.output.warn(&format!("job {id}: {error}"));
            }
        }
        self.tell(context);
        Ok(())
    }

    /// What stands before a job, of a document that holds all of them.
    fn begin_job(&mut self) -> io::Result<()> {
        self.counts.jobs += 1;
        match (self.is_document, self.counts.jobs) {
            (true, 1) => self.to.write_all(b"{\"jobs\": [\n"),
            (true, _) => self.to.write_all(b", "),
            (false, _) => Ok(()),
        }
    }

    fn tell(&mut self, context: &mut Context) {
        // Jobs on a terminal show how far it is.
        if self.told.elapsed() >= TELL_EVERY && context.output.columns().is_none() {
            self.told = Instant::now();
            context.output.say(format!("exported {} so far", show::jobs(self.counts.jobs)));
        }
    }

    /// Ends the document, and writes what was kept back.
    pub(super) fn finish(self) -> Result<Counts, Stop> {
        let Self { to, is_document, counts, .. } = self;
        match (is_document, counts.jobs) {
            (true, 0) => to.write_all(b"{\"jobs\": []}\n")?,
            (true, _) => to.write_all(b"]}\n")?,
            (false, _) => {}
        }
        to.flush()?;
        Ok(counts)
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
