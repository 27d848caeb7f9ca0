//! `lineshaft worker`: a supervisor in this process, and its children in Python.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lineshaft::config::{
    GC, GRACE, KIND, PROCESSES, PYTHON, QUEUES, RECYCLE_AGE, RECYCLE_GROWTH, RECYCLE_JOBS, SLOTS, Setting,
    Settings, Value, WATCHDOG, WORKER_LOG,
};
use lineshaft::home::Home;
use lineshaft::worker::{self, Kind, Options, Recycle};
use lineshaft::{Target, launch};

use crate::args::Worker;
use crate::context::{Context, working_directory};
use crate::exit::{FAILED, Failure, USAGE};
use crate::flags::Given;
use crate::python;
use crate::worker_log::WorkerLog;

pub(crate) fn run(worker: Worker, context: &mut Context) -> Result<(), Failure> {
    let settings = Settings::find(&project_of(&worker.target)?)?;
    let flags = &worker.flags.0;
    let mut options = options(&settings, flags)?;
    // As long as this, so that what is said last is written before the process ends.
    let _log = log(&settings, flags)?;
    let interpreter = python::interpreter(settings.get(&PYTHON, flags.get(&PYTHON))?, context)?;
    let (home, schema) = look(&worker.target, &interpreter, context)?;
    // A supervisor waits for a server, but starts none.
    if let Some(warning) = launch::ensure_server(&home, &context.server_command()?)? {
        context.output.warn(&warning);
    }
    context.output.say(format!("working for {}", home.path().display()));
    options.target = Target::home(home.path());
    options.schema = schema;
    options.command = vec![interpreter.into(), "-m".into(), "lineshaft._child".into(), worker.target.into()];
    worker::supervisor::run(options).map_err(failure)
}

/// The home given on the command line, else the app's; and what its tasks take and give.
fn look(
    target: &str,
    interpreter: &Path,
    context: &mut Context,
) -> Result<(Home, Option<Arc<str>>), Failure> {
    // The app is looked at in any case: an app that does not load is better said once than by every child.
    let looked = python::look_at_app(interpreter, target, context)?;
    let home = if context.given_home().is_some() { context.home()? } else { Home::new(looked.home) };
    Ok((home, Some(looked.schema.into()).filter(|schema: &Arc<str>| !schema.is_empty())))
}

/// Where the search for the project's files begins: at the target if that is a path, else here.
pub(crate) fn project_of(target: &str) -> Result<PathBuf, Failure> {
    let cwd = working_directory()?;
    let place = target.split(':').next().unwrap_or_default();
    let is_path = Path::new(place).extension().is_some_and(|end| end == "py") || place.contains('/');
    let directory = is_path.then(|| cwd.join(place).parent().map(Path::to_owned)).flatten();
    Ok(directory.unwrap_or(cwd))
}

/// Begins to say what the supervisor logs, as these settings want it.
pub(crate) fn log(settings: &Settings, flags: &Given) -> Result<WorkerLog, Failure> {
    let directives = settings.get(&WORKER_LOG, flags.get(&WORKER_LOG))?.value.and_then(Value::into_text);
    WorkerLog::start(&directives.unwrap_or_default())
}

/// What the settings make of a worker, checked; its home and the command of its children are not known yet.
pub(crate) fn options(settings: &Settings, flags: &Given) -> Result<Options, Failure> {
    let value = |setting: &Setting| -> Result<Option<Value>, Failure> {
        Ok(settings.get(setting, flags.get(setting))?.value)
    };
    let mut options = Options::new(Target::home(""), Vec::new());
    if let Some(processes) = value(&PROCESSES)?.and_then(Value::into_count) {
        options.processes = processes;
    }
    if let Some(kind) = value(&KIND)?.and_then(Value::into_text).and_then(|name| Kind::named(&name)) {
        options.kind = kind;
    }
    options.slots =
        value(&SLOTS)?.and_then(Value::into_count).unwrap_or_else(|| options.kind.default_slots());
    if let Some(queues) = value(&QUEUES)?.and_then(Value::into_names) {
        options.queues = queues.into_iter().map(Arc::from).collect();
    }
    if let Some(grace) = value(&GRACE)?.and_then(Value::into_duration) {
        options.grace = grace;
    }
    options.recycle = Recycle {
        jobs: value(&RECYCLE_JOBS)?.and_then(Value::into_count).map(u64::from),
        age: value(&RECYCLE_AGE)?.and_then(Value::into_duration),
        growth: value(&RECYCLE_GROWTH)?.and_then(Value::into_size),
    };
    if let Some(watchdog) = value(&WATCHDOG)?.and_then(Value::into_duration) {
        options.watchdog = watchdog;
    }
    if let Some(when) = value(&GC)?.and_then(Value::into_text) {
        // The children's language asks for it, not their supervisor.
        options.environment = vec![(GC.variable.into(), when.into())];
    }
    options.check_numbers().map_err(failure)?;
    Ok(options)
}

pub(crate) fn failure(error: worker::Error) -> Failure {
    match error {
        worker::Error::Server(error) => error.into(),
        worker::Error::Killed { signal } => Failure::new(128 + signal, error.to_string()),
        worker::Error::BadOption { .. } => Failure::new(USAGE, error.to_string()),
        other => Failure::new(FAILED, other.to_string()).error(other.code()),
    }
}
