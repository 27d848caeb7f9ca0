//! `lineshaft worker`: a supervisor in this process, and its children in Python.

use std::ffi::OsString;
use std::sync::Arc;

use lineshaft::home::Home;
use lineshaft::worker::{self, Kind, Options};
use lineshaft::{Target, launch};

use crate::args::{SlotKind, Worker};
use crate::context::Context;
use crate::exit::{FAILED, Failure, USAGE};
use crate::python;

pub(crate) fn run(worker: Worker, context: &mut Context) -> Result<(), Failure> {
    let interpreter = python::interpreter(worker.python.as_deref(), context)?;
    let home = if context.is_home_given() {
        context.home()?
    } else {
        Home::new(python::home_of_app(&interpreter, &worker.target, context)?)
    };
    // A supervisor waits for a server, but starts none.
    if let Some(warning) = launch::ensure_server(&home, &context.server_command()?)? {
        context.output.warn(&warning);
    }
    context.output.say(format!("working for {}", home.path().display()));
    worker::supervisor::run(options(worker, interpreter.into(), &home)).map_err(failure)
}

fn options(worker: Worker, interpreter: OsString, home: &Home) -> Options {
    let command = vec![interpreter, "-m".into(), "lineshaft._child".into(), worker.target.into()];
    let mut options = Options::new(Target::home(home.path()), command);
    options.processes = worker.processes.unwrap_or(options.processes);
    options.kind = match worker.kind {
        SlotKind::Process => Kind::Process,
        SlotKind::Thread => Kind::Thread,
        SlotKind::Async => Kind::Async,
    };
    options.slots = worker.slots.unwrap_or_else(|| options.kind.default_slots());
    options.queues = worker.queues.into_iter().map(Arc::from).collect();
    options.grace = worker.grace;
    options
}

fn failure(error: worker::Error) -> Failure {
    match error {
        worker::Error::Server(error) => error.into(),
        worker::Error::BadOption { .. } => Failure::new(USAGE, error.to_string()),
        other => Failure::new(FAILED, other.to_string()).error(other.code()),
    }
}
