//! Servers: processes of their own, each on a home of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lineshaft::client::Client;
use lineshaft::{ClientOptions, ServerCommand, Target};
use lineshaft_wire::message::StatusReport;

use crate::cleanup::{Cleanup, Running};
use crate::error::{Error, Result};

/// How long a server may take to end when asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// How programs are started.
#[derive(Clone, Debug)]
pub(crate) struct Starter {
    /// The `lineshaft` command.
    pub(crate) command: ServerCommand,
    pub(crate) cleanup: Cleanup,
}

impl Starter {
    /// The command, with nothing of this user's settings.
    pub(crate) fn lineshaft(&self, home: &Path) -> Command {
        let mut command = Self::program(&self.command.program, home);
        command.args(&self.command.args);
        command
    }

    /// A program of this run, for a home. It is in a process group of its own: a Ctrl-C is for us.
    pub(crate) fn program(program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LINESHAFT_") {
                command.env_remove(name);
            }
        }
        command.env("LINESHAFT_URL", home).env("XDG_CONFIG_HOME", home.with_extension("config"));
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// Starts it; what it says on standard error goes to `log`.
    pub(crate) fn spawn(&self, command: &mut Command, log: &Path) -> Result<Running> {
        let file = File::options().create(true).append(true).open(log);
        command.stderr(file.map_err(Error::io(format!("open {}", log.display())))?);
        let program = command.get_program().display().to_string();
        self.cleanup.spawn(command).map_err(Error::io(format!("start {program}")))
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    starter: Starter,
    home: PathBuf,
    options: Vec<&'static str>,
}

impl Server {
    /// Starts a server on `home` and waits until it is ready.
    pub(crate) fn start(starter: &Starter, home: &Path, options: &[&'static str]) -> Result<Self> {
        let running = serve(starter, home, options)?;
        let (starter, home) = (starter.clone(), home.to_owned());
        Ok(Self { running, starter, home, options: options.to_vec() })
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// A client with a connection of its own.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::connect(Target::home(&self.home), ClientOptions::default())?)
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.running.kill();
    }

    /// Starts it again on its home, once it has ended.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.running = serve(&self.starter, &self.home, &self.options)?;
        Ok(())
    }

    /// Lets it end as it would.
    pub(crate) fn stop(mut self) {
        self.running.stop(PATIENCE);
    }

    /// What the server says of itself.
    pub(crate) fn status(client: &Client) -> Result<StatusReport> {
        Ok(client.status(None).wait()?)
    }
}

fn serve(starter: &Starter, home: &Path, options: &[&'static str]) -> Result<Running> {
    let log = home.with_extension("log");
    let mut command = starter.lineshaft(home);
    // Where it stands decides which project's settings it reads: none.
    command.args(["serve", "--home"]).arg(home).args(options).current_dir("/").stdout(Stdio::piped());
    let mut running = starter.spawn(&mut command, &log)?;
    let mut line = String::new();
    if let Some(out) = running.child.stdout.take() {
        let _ = BufReader::new(out).read_line(&mut line);
    }
    if line.starts_with("ready ") {
        Ok(running)
    } else {
        Err(Error::process("a server did not start", tail(&log)))
    }
}

/// The end of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
