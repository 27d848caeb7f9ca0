//! What a worker is asked to be.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use lineshaft_ipc::shared::SLOTS_MAX;
use lineshaft_wire::message::{NAME_FORM, is_name};

use super::{Error, Kind};
use crate::Target;

/// Most children of one worker.
pub(super) const PROCESSES_MAX: u32 = 1_024;
/// The longest grace: 7 days.
pub(super) const GRACE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// When a child is replaced, between two jobs: the first that comes true. Another one is ready before it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recycle {
    /// After so many attempts, or a few more: it goes on until the other one is ready.
    pub jobs: Option<u64>,
    /// After this time, and what the other one needs to be ready.
    pub age: Option<Duration>,
    /// When it has this many bytes of memory more than it had before its first job, or a little before. It takes no other
    /// job above that, whether or not the other one is ready yet.
    pub growth: Option<u64>,
}

/// Options of a [`Supervisor`](super::Supervisor).
#[derive(Clone, Debug)]
pub struct Options {
    /// The server; a home without a running server is waited for, never started.
    pub target: Target,
    /// Program and arguments of a child. It inherits environment and working directory.
    pub command: Vec<OsString>,
    /// Variables that it has beside those.
    pub environment: Vec<(OsString, OsString)>,
    /// Children kept alive, 1 to 1,024. Default: one per core.
    pub processes: u32,
    /// What a slot of them is. Default: the process.
    pub kind: Kind,
    /// Attempts at a time in each child, 1 to 16,384; 1 where the slot is the process.
    pub slots: u32,
    /// Queues that they serve; empty is all.
    pub queues: Vec<Arc<str>>,
    /// How long an attempt that was asked to stop may take before its process group gets SIGTERM, and how long a
    /// stop of the worker may take as a whole. 30 s, at most 7 days.
    pub grace: Duration,
    /// When a child is replaced by a fresh one. Default: never.
    pub recycle: Recycle,
    /// How long a child may leave a job that it has been given with a slot free for it, or be silent while it has none,
    /// before it is replaced; zero for as long as it likes. 1 min.
    pub watchdog: Duration,
    /// Whether what children print also goes to this process's standard error, each line with its attempt. On.
    pub tee: bool,
    /// The worker's name. Default `host:pid`.
    pub name: Option<String>,
    /// What its tasks take and give, a [schema](lineshaft_wire::schema) as JSON, for those who ask the server.
    pub schema: Option<Arc<str>>,
}

impl Options {
    /// Defaults for children that `command` starts.
    pub fn new(target: Target, command: Vec<OsString>) -> Self {
        Self {
            target,
            command,
            environment: Vec::new(),
            processes: std::thread::available_parallelism().map_or(1, |count| count.get() as u32),
            kind: Kind::Process,
            slots: 1,
            queues: Vec::new(),
            grace: Duration::from_secs(30),
            recycle: Recycle::default(),
            watchdog: Duration::from_secs(60),
            tee: true,
            name: None,
            schema: None,
        }
    }

    /// Refuses what no supervisor takes.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.command.is_empty() {
            return Err(bad("command", "an empty list", "a program and its arguments"));
        }
        self.check_numbers()
    }

    /// Refuses what is out of range; a command may be missing still.
    pub fn check_numbers(&self) -> Result<(), Error> {
        if !(1..=PROCESSES_MAX).contains(&self.processes) {
            return Err(bad("processes", self.processes.to_string(), "a number from 1 to 1,024"));
        }
        if !(1..=SLOTS_MAX).contains(&self.slots) {
            return Err(bad("slots", self.slots.to_string(), "a number from 1 to 16,384"));
        }
        if self.kind == Kind::Process && self.slots != 1 {
            let expected = "1 with kind \"process\", whose children run one attempt at a time; kind \"thread\" or \"async\" has more";
            return Err(bad("slots", self.slots.to_string(), expected));
        }
        if self.grace > GRACE_MAX {
            return Err(bad("grace", format!("{} s", self.grace.as_secs()), "at most 7 days"));
        }
        if self.recycle.jobs == Some(0) {
            return Err(bad("recycle_jobs", "0", "a number of jobs from 1"));
        }
        if let Some(queue) = self.queues.iter().find(|queue| !is_name(queue)) {
            return Err(bad("queues", format!("{queue:?}"), NAME_FORM));
        }
        Ok(())
    }
}

pub(super) fn bad(option: &'static str, value: impl Into<String>, expected: &'static str) -> Error {
    Error::BadOption { option, value: value.into(), expected }
}

/// The name of a worker that was given none: `host:pid`.
pub(super) fn default_name() -> Result<String, Error> {
    Ok(format!("{}:{}", lineshaft_ipc::process::hostname()?, std::process::id()))
}
