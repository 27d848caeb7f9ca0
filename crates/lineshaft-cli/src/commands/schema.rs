//! `lineshaft schema`: what tasks take and give, and what comes of a change for jobs that wait.

use std::fs;
use std::path::Path;

use lineshaft::client::Client;
use lineshaft::config::{PYTHON, Settings};
use lineshaft::home::Home;
use lineshaft_wire::message::TaskReport;
use lineshaft_wire::schema::{Finding, Level, Schema, compare};
use lineshaft_wire::task;
use serde_json::json;

use super::worker::project_of;
use crate::args;
use crate::context::{Context, answer, running_client_of};
use crate::exit::{FAILED, Failure, NOT_FOUND, UNREACHABLE, USAGE};
use crate::{python, show};

pub(crate) fn run(schema: &args::Schema, context: &mut Context) -> Result<(), Failure> {
    match schema {
        args::Schema::Show { target } => {
            let schema = match target {
                Some(target) => read(target, context)?.schema,
                None => running(None, context)?,
            };
            if context.output.is_json() {
                return Ok(context.output.json(&json!(schema))?);
            }
            for line in show::schema(&schema) {
                context.output.line(line)?;
            }
            Ok(())
        }
        args::Schema::Diff { sources } => {
            let new = read(&sources[sources.len() - 1], context)?;
            let old = match &sources[..] {
                [old, _] => read(old, context)?,
                _ => Read { schema: running(new.home.as_ref(), context)?, home: None },
            };
            diff(&old, &new, context)
        }
    }
}

/// A schema, and the home of the app that it is of.
struct Read {
    schema: Schema,
    home: Option<Home>,
}

fn read(source: &str, context: &mut Context) -> Result<Read, Failure> {
    if Path::new(source).extension().is_some_and(|end| end == "json") {
        let text = fs::read_to_string(source).map_err(|error| error.to_string());
        let schema = text.and_then(|text| Schema::parse(&text));
        let schema = schema.map_err(|why| Failure::new(USAGE, format!("cannot read {source}: {why}")));
        return Ok(Read { schema: schema?.with_ids(), home: None });
    }
    let settings = Settings::find(&project_of(source)?)?;
    let interpreter = python::interpreter(settings.get(&PYTHON, None)?, context)?;
    let looked = python::look_at_app(&interpreter, source, context)?;
    let schema = Schema::parse(&looked.schema);
    let schema = schema.map_err(|why| Failure::new(FAILED, format!("the schema of {source}: {why}")));
    Ok(Read { schema: schema?.with_ids(), home: Some(Home::new(looked.home)) })
}

/// What the workers of a home run, of each task the latest version.
fn running(home: Option<&Home>, context: &mut Context) -> Result<Schema, Failure> {
    let said = answer(client_of(home, context)?.schemas(None))?;
    let mut all: Option<Schema> = None;
    for one in said {
        match Schema::parse(&one.schema) {
            Ok(schema) => match &mut all {
                Some(all) => all.extend(schema),
                none => *none = Some(schema),
            },
            Err(why) => context.output.warn(&format!("the schema of worker {}: {why}", one.worker)),
        }
    }
    let none = || Failure::new(NOT_FOUND, "no worker of the home says what its tasks take");
    Ok(all.ok_or_else(none)?.with_ids())
}

fn client_of(home: Option<&Home>, context: &Context) -> Result<Client, Failure> {
    match home {
        Some(home) if context.given_home().is_none() => running_client_of(home),
        _ => context.running_client(),
    }
}

fn diff(old: &Read, new: &Read, context: &mut Context) -> Result<(), Failure> {
    let findings = compare(&old.schema, &new.schema);
    let left: Vec<Left> = left(new.home.as_ref().or(old.home.as_ref()), context)?
        .into_iter()
        .filter_map(|report| Left::of(&report, &old.schema, &new.schema))
        .collect();
    let broken = findings.iter().filter(|finding| finding.level == Level::Breaking).count();
    if context.output.is_json() {
        let jobs: Vec<_> = left.iter().map(Left::json).collect();
        context.output.json(&json!({ "breaking": broken > 0, "findings": findings, "jobs": jobs }))?;
    } else {
        for line in findings.iter().flat_map(lines).chain(left.iter().map(Left::words)) {
            context.output.line(line)?;
        }
        if findings.is_empty() && left.is_empty() {
            context.output.say("nothing changed that a job could tell");
        }
    }
    match broken {
        0 => Ok(()),
        1 => Err(Failure::new(FAILED, "a change breaks jobs")),
        more => Err(Failure::new(FAILED, format!("{more} changes break jobs"))),
    }
}

/// A finding, what comes of it and what to do.
fn lines(finding: &Finding) -> Vec<String> {
    let Finding { level, path, change, effect, advice } = finding;
    let mut lines = vec![format!("{:8}  {path}: {change}", level.as_str())];
    lines.extend(effect.iter().map(|effect| format!("          {effect}")));
    lines.extend(advice.iter().map(|advice| format!("          hint: {advice}")));
    lines
}

/// The unfinished jobs of a home, if a server serves it.
fn left(home: Option<&Home>, context: &Context) -> Result<Vec<TaskReport>, Failure> {
    match client_of(home, context) {
        Ok(client) => Ok(answer(client.status(None))?.tasks),
        Err(failure) if failure.code == UNREACHABLE => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// Unfinished jobs that the new code does not run.
struct Left {
    name: String,
    version: u32,
    unfinished: u64,
    is_known: bool,
}

impl Left {
    /// `None` if the new code runs them, or they are none of the app's.
    fn of(report: &TaskReport, old: &Schema, new: &Schema) -> Option<Self> {
        let (name, version) = task::split(&report.task);
        let now = new.task_of(name);
        let runs = now.is_some_and(|(_, now)| (now.from_version..=now.version).contains(&version));
        let is_ours = now.is_some() || old.task_of(name).is_some();
        let is_known = now.is_some();
        (is_ours && !runs).then(|| Self {
            name: name.to_owned(),
            version,
            unfinished: report.unfinished,
            is_known,
        })
    }

    fn words(&self) -> String {
        let Self { name, version, unfinished, is_known } = self;
        let jobs = show::count_of(*unfinished, "unfinished job");
        let what = if *is_known { format!("v{version}") } else { "it".to_owned() };
        format!("{jobs} of {name} v{version} would wait for a worker that knows {what}")
    }

    fn json(&self) -> serde_json::Value {
        json!({ "task": self.name, "version": self.version, "unfinished": self.unfinished })
    }
}
