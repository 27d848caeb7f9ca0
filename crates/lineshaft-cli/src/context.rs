//! What every command starts from: the home, the client, the output.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lineshaft::client::Client;
use lineshaft::home::{Home, resolve};
use lineshaft::{ClientOptions, Reply, ServerCommand, Target};

use crate::Host;
use crate::args::{Global, JsonTo};
use crate::exit::Failure;
use crate::interrupt::Interrupt;
use crate::output::{Form, Output};

/// Deadline of what a command asks.
const DEADLINE: Duration = Duration::from_secs(30);

/// What every command starts from.
pub(crate) struct Context {
    pub(crate) output: Output,
    /// Heard by commands that have something to put away.
    pub(crate) interrupt: Interrupt,
    pub(crate) host: Host,
    global: Global,
}

impl Context {
    pub(crate) fn new(global: Global, host: Host) -> Self {
        Self {
            output: Output::new(Form::of(global.json == JsonTo::Output, global.jsonl), global.color),
            interrupt: Interrupt::default(),
            host,
            global,
        }
    }

    /// The home that was meant.
    pub(crate) fn home(&self) -> Result<Home, Failure> {
        self.home_of(None)
    }

    /// The home that an app in `creator` means, or the one given on the command line.
    pub(crate) fn home_of(&self, creator: Option<&Path>) -> Result<Home, Failure> {
        let cwd = working_directory()?;
        let given = self.given_home();
        // What is typed counts from where it is typed, not from the app.
        let creator = creator.filter(|_| given.is_none());
        Ok(Home::new(resolve(given.as_deref(), creator, &cwd)?.path))
    }

    /// The home on the command line, as it was typed.
    pub(crate) fn given_home(&self) -> Option<String> {
        self.global.home.home()
    }

    /// A client of the home's server, which is started if none runs.
    pub(crate) fn client(&mut self) -> Result<Client, Failure> {
        self.client_of(&self.home()?)
    }

    /// The same for this home.
    pub(crate) fn client_of(&mut self, home: &Home) -> Result<Client, Failure> {
        let client = Client::connect(Target::on_demand(home.path(), self.server_command()?), options())?;
        if let Some(warning) = client.take_warning() {
            self.output.warn(&warning);
        }
        Ok(client)
    }

    /// A client for questions about what exists: a server is started for a home, but no home is made.
    pub(crate) fn client_of_existing(&mut self) -> Result<Client, Failure> {
        if self.home()?.path().exists() { self.client() } else { self.running_client() }
    }

    /// A client of the home's server if one runs.
    pub(crate) fn running_client(&self) -> Result<Client, Failure> {
        running_client_of(&self.home()?)
    }

    /// How to start a server on demand.
    pub(crate) fn server_command(&self) -> Result<ServerCommand, Failure> {
        match &self.host.server {
            Some(command) => Ok(command.clone()),
            None => Ok(ServerCommand::current_exe()?),
        }
    }
}

/// A client of the server of this home, if one runs.
pub(crate) fn running_client_of(home: &Home) -> Result<Client, Failure> {
    Ok(Client::connect(Target::home(home.path()), options())?)
}

fn options() -> ClientOptions {
    ClientOptions { deadline: DEADLINE, ..ClientOptions::reader() }
}

/// Waits for an answer.
pub(crate) fn answer<T>(reply: Reply<T>) -> Result<T, Failure> {
    Ok(reply.wait()?)
}

pub(crate) fn working_directory() -> Result<PathBuf, Failure> {
    std::env::current_dir()
        .map_err(|error| Failure::new(1, format!("the current directory is gone: {error}")))
}
