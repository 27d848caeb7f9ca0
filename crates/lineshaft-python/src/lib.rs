//! The extension module `lineshaft._native`: conversions between Python and the Rust crates, and nothing else.
//!
//! [`values`] turns objects into bytes and back, [`client`] binds the client, [`worker`] the supervisor and its
//! children, [`cache`] functions that keep their results, [`choice`] functions with several implementations,
//! [`decorators`] functions with something around them, [`ipc`] what any processes share, [`logging`] loggers and
//! handlers, [`pool`] what a pool and its processes share, [`profile`] a sampler and what it has seen, [`structures`]
//! sets, tries and graphs, [`server`] a server for tests, [`errors`] maps Rust's errors to Python's tree.
//! `python/lineshaft` is the face that people use.
//!
//! This crate deliberately does not know the rules of jobs.

mod cache;
mod choice;
mod client;
mod decorators;
mod errors;
mod ipc;
mod logging;
mod once;
mod options;
mod pool;
mod profile;
mod server;
mod structures;
mod values;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;

use lineshaft::ServerCommand;
use lineshaft_cli::Host;
use pyo3::prelude::*;

/// Runs the command line for the interpreter `python`; `server` is what goes before `serve` to start a server. Gives
/// the exit code.
#[pyfunction]
fn run_cli(py: Python<'_>, args: Vec<OsString>, python: PathBuf, server: Vec<OsString>) -> i32 {
    let mut server = server.into_iter();
    let program = server.next().map(PathBuf::from);
    let server = program.map(|program| ServerCommand { program, args: server.collect() });
    let host = Host { python: Some(python), server };
    py.detach(|| lineshaft_cli::run_hosted(args.into_iter(), &host))
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_function(wrap_pyfunction!(run_cli, module)?)?;
    module.add_function(wrap_pyfunction!(options::parse_duration, module)?)?;
    module.add_function(wrap_pyfunction!(options::parse_size, module)?)?;
    module.add_function(wrap_pyfunction!(options::parse_id, module)?)?;
    module.add_function(wrap_pyfunction!(options::format_id, module)?)?;
    module.add_function(wrap_pyfunction!(options::resolve_home, module)?)?;
    module.add_class::<choice::Choice>()?;
    module.add_class::<choice::Pick>()?;
    module.add_class::<choice::ChoiceKeys>()?;
    module.add_class::<server::EmbeddedServer>()?;
    module.add_function(wrap_pyfunction!(options::task_options, module)?)?;
    module.add_function(wrap_pyfunction!(options::worker_settings, module)?)?;
    module.add_function(wrap_pyfunction!(client::connect, module)?)?;
    module.add_class::<client::Client>()?;
    module.add_class::<client::Reply>()?;
    module.add_class::<client::Resend>()?;
    module.add_class::<client::Completions>()?;
    module.add_class::<client::Waiting>()?;
    module.add_class::<client::Lock>()?;
    module.add_class::<client::End>()?;
    module.add_class::<client::Call>()?;
    module.add_class::<client::Template>()?;
    module.add_class::<client::Rules>()?;
    module.add_class::<client::OnFailure>()?;
    module.add_class::<client::Packed>()?;
    module.add_class::<client::Shown>()?;
    module.add_class::<client::JobRecord>()?;
    module.add_class::<client::AttemptRecord>()?;
    module.add_class::<client::ErrorRecord>()?;
    module.add_class::<client::EngineStatus>()?;
    cache::add_to(module)?;
    decorators::add_to(module)?;
    ipc::add_to(module)?;
    logging::add_to(module)?;
    pool::add_to(module)?;
    profile::add_to(module)?;
    structures::add_to(module)?;
    values::add_to(module)?;
    worker::add_to(module)
}
