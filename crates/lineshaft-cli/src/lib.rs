//! The `lineshaft` command: arguments, tables, prompts and exit codes around the client, the server and the worker.
//!
//! [`run`] is the whole of it; the Python package calls [`run_hosted`] with its interpreter. Read [`mod@args`] for what
//! can be said, `commands` for what each does, [`exit`] for the codes.
//!
//! Data goes to standard output, everything else to standard error. This crate deliberately does not know the
//! protocol, the journal or the rules of jobs.

pub mod args;
mod colour;
mod commands;
mod complete;
mod confirm;
mod context;
pub mod exit;
pub mod flags;
mod interrupt;
mod json;
mod mistake;
mod names;
mod output;
mod plain;
mod profiled;
mod python;
pub mod reference;
mod server_log;
mod show;
mod statistics;
mod table;
mod times;
mod worker_log;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompleteEnv;
use lineshaft::ServerCommand;
use signal_hook::consts::{SIGINT, SIGTERM};

use args::{Arguments, Colour, Command, Explained};
use context::Context;
use exit::Failure;
use output::{Form, Output};

/// What runs the command line, if it is not a program of its own.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The Python interpreter that has the `lineshaft` package.
    pub python: Option<PathBuf>,
    /// How to start a server on demand. Default: the running executable.
    pub server: Option<ServerCommand>,
}

/// Runs the command line; `args` begins with the program's name. Gives the exit code, see [`exit`].
pub fn run(args: impl Iterator<Item = OsString>) -> i32 {
    run_hosted(args, &Host::default())
}

/// [`run`] from inside a Python interpreter.
pub fn run_hosted(args: impl Iterator<Item = OsString>, host: &Host) -> i32 {
    open_closed_streams();
    let args: Vec<OsString> = args.collect();
    if std::env::var_os(commands::completions::VARIABLE).is_some()
        && let Some(code) = complete_words(&args)
    {
        return code;
    }
    let colour = Colour::asked(&args);
    match parse(args, colour) {
        Ok(arguments) => run_parsed(arguments, host),
        Err(error) => refuse(&error, colour),
    }
}

/// Puts `/dev/null` where a standard stream is closed: else the next file that is opened, a socket perhaps, would get
/// its number and what is meant for people. Rust's own start does so, other hosts do not.
fn open_closed_streams() {
    while let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        // A file gets the lowest free number.
        if null.as_raw_fd() > 2 {
            return;
        }
        let _kept_open = null.into_raw_fd();
    }
}

fn parse(args: Vec<OsString>, colour: Colour) -> Result<Arguments, clap::Error> {
    let matches = Arguments::command().color(colour.into()).try_get_matches_from(args)?;
    Arguments::from_arg_matches(&matches)
}

fn refuse(error: &clap::Error, colour: Colour) -> i32 {
    match mistake::of(error) {
        Some(failure) => {
            Output::new(Form::Text, colour).complain(&failure);
            failure.code
        }
        None => {
            // Help and version are data, a missing command is talk; clap knows which is which.
            let _ = error.print();
            error.exit_code()
        }
    }
}

/// Answers a shell that completes; `None` if it does not.
fn complete_words(args: &[OsString]) -> Option<i32> {
    let completing = CompleteEnv::with_factory(Arguments::command).var(commands::completions::VARIABLE);
    let completed = completing.try_complete(args.to_vec(), std::env::current_dir().ok().as_deref());
    // What it wrote need not end with a line, and a host does not flush Rust's own buffer at its end.
    let _ = std::io::stdout().flush();
    match completed {
        Ok(true) => Some(exit::OK),
        Ok(false) => None,
        // Words here would land in the middle of the line that is being typed.
        Err(_) => Some(exit::FAILED),
    }
}

fn run_parsed(arguments: Arguments, host: &Host) -> i32 {
    let mut context = Context::new(arguments.global, host.clone());
    match &arguments.command {
        Command::Store(store) if store.puts_away() => context.interrupt.listen(),
        command => end_on_signals(command),
    }
    let result = dispatch(arguments.command, &mut context);
    let result = result.and_then(|()| context.output.flush().map_err(Failure::from));
    match result {
        Ok(()) => exit::OK,
        // Whoever read our output has enough.
        Err(failure) if failure.is_broken_pipe() => exit::OK,
        Err(failure) => {
            context.output.complain(&failure);
            failure.code
        }
    }
}

fn dispatch(command: Command, context: &mut Context) -> Result<(), Failure> {
    match command {
        Command::Serve(serve) => commands::serve::run(serve, context),
        Command::Worker(worker) => commands::worker::run(worker, context),
        Command::Dev(worker) => commands::dev::run(worker, context),
        Command::Status(status) => commands::status::run(&status, context),
        Command::Stop => commands::stop::run(context),
        Command::Enqueue(enqueue) => commands::enqueue::run(*enqueue, context),
        Command::Job(job) => commands::job::run(job, context),
        Command::Queue(queue) => commands::queue::run(queue, context),
        Command::Task(task) => commands::task::run(&task, context),
        Command::Logs(logs) => commands::logs::run(&logs, context),
        Command::Profile(profile) => commands::profile::run(&profile, context),
        Command::Locks(locks) => commands::locks::run(locks, context),
        Command::Cache(cache) => commands::cache::run(cache, context),
        Command::Schema(schema) => commands::schema::run(&schema, context),
        Command::Store(store) => commands::store::run(store, context),
        Command::Doctor => commands::doctor::run(context),
        Command::Config(config) => commands::config::run(config, context),
        Command::Bench(bench) => commands::bench::run(bench, context),
        Command::Torture(torture) => commands::torture::run(torture, context),
        Command::Explain { what: Some(Explained::Choice { function }), .. } => {
            commands::choice::run(function.as_deref(), context)
        }
        Command::Explain { code, what: None } => commands::explain::run(code, context),
        Command::Completions { shell } => commands::completions::run(shell, context),
    }
}

/// Commands that only ask and wait end at once; those that start something have an end of their own.
fn end_on_signals(command: &Command) {
    let has_its_own = matches!(
        command,
        Command::Serve(_) | Command::Worker(_) | Command::Dev(_) | Command::Bench(_) | Command::Torture(_)
    );
    if has_its_own {
        return;
    }
    for (signal, code) in [(SIGINT, exit::INTERRUPTED), (SIGTERM, exit::TERMINATED)] {
        // Without it the signal's default, or the host's handler, still does something sensible.
        let always = Arc::new(AtomicBool::new(true));
        let _ = signal_hook::flag::register_conditional_shutdown(signal, code, always);
    }
}
