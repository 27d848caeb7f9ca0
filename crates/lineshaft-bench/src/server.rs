//! Servers: processes of their own, each on a home of its own.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::client::Client;
use lineshaft::{ClientOptions, ServerCommand, Target};
use lineshaft_wire::message::StatusReport;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cleanup::{Cleanup, Running};
use crate::error::{Error, Result};

/// How long a server may take to end when asked.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to be ready, recovery included.
const READY_WITHIN: Duration = Duration::from_secs(300);

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

    /// Starts it again on its home, and kills it so long afterwards, ready or not.
    pub(crate) fn start_in_vain(&mut self, after: Duration) -> Result<()> {
        self.running = spawn(&self.starter, &self.home, &self.options)?;
        sleep(after);
        self.running.kill();
        Ok(())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.running.ended()
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
    let mut running = spawn(starter, home, options)?;
    if running.child.stdout.take().is_some_and(|out| says_ready(out).unwrap_or(false)) {
        Ok(running)
    } else {
        Err(Error::process("a server did not start", tail(&log_of(home))))
    }
}

fn spawn(starter: &Starter, home: &Path, options: &[&'static str]) -> Result<Running> {
    let mut command = starter.lineshaft(home);
    // Where it stands decides which project's settings it reads: none.
    command.args(["serve", "--home"]).arg(home).args(options).current_dir("/").stdout(Stdio::piped());
    starter.spawn(&mut command, &log_of(home))
}

fn log_of(home: &Path) -> PathBuf {
    home.with_extension("log")
}

/// Waits for its first line, or its end.
fn says_ready(mut out: ChildStdout) -> io::Result<bool> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut said = Vec::new();
    while !said.contains(&b'\n') {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()));
        let mut chunk = [0; 512];
        match poll(&mut [PollFd::new(&out, PollFlags::IN)], left.ok().as_ref()) {
            Ok(0) => return Ok(false),
            Err(error) if error != rustix::io::Errno::INTR => return Err(error.into()),
            _ => {}
        }
        match out.read(&mut chunk)? {
            0 => return Ok(false),
            count => said.extend_from_slice(&chunk[..count]),
        }
    }
    Ok(said.starts_with(b"ready "))
}

/// The end of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
