//! One load of the code: a process that only looks at it, or a worker that runs it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::SystemTime;

use lineshaft::worker::{Error, Handle, Options, Supervisor};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::Event;
use crate::exit::{FAILED, Failure};

/// A load of the code.
pub(super) struct Generation {
    pub(super) number: u64,
    /// When it began: what was written later, it may not have seen.
    pub(super) since: SystemTime,
    runner: Runner,
}

enum Runner {
    /// Loads and ends.
    Probe(Option<OwnedFd>),
    Worker(Handle),
}

/// What every load is started with.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) interpreter: PathBuf,
    pub(super) target: String,
    pub(super) address: PathBuf,
}

impl Code {
    fn command(&self, number: u64) -> Vec<OsString> {
        let words = ["-m", "lineshaft._dev"].map(OsString::from);
        let interpreter = std::iter::once(self.interpreter.clone().into_os_string());
        let rest = [self.address.clone().into_os_string(), number.to_string().into(), (&self.target).into()];
        interpreter.chain(words).chain(rest).collect()
    }

    /// Loads the code in a process that ends then.
    pub(super) fn look(&self, number: u64, events: &Sender<Event>) -> Result<Generation, Failure> {
        let since = SystemTime::now();
        let command = self.command(number);
        // What the app prints while it is imported is talk.
        let talk = io::stderr().as_fd().try_clone_to_owned().map_or_else(|_| Stdio::null(), Stdio::from);
        let child = Command::new(&command[0]).args(&command[1..]).stdin(Stdio::null()).stdout(talk).spawn();
        let child = child.map_err(|error| cannot_run(&self.interpreter, &error))?;
        // Held before anybody waits for it, so that its number cannot pass on to another process.
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
        report_end(child, number, events.clone());
        Ok(Generation { number, since, runner: Runner::Probe(process) })
    }

    /// Starts a worker with the code as it is now.
    pub(super) fn work(
        &self,
        number: u64,
        options: impl FnOnce(Vec<OsString>) -> Result<Options, Failure>,
        events: &Sender<Event>,
    ) -> Result<Generation, Failure> {
        let since = SystemTime::now();
        let (supervisor, handle) =
            Supervisor::new(options(self.command(number))?).map_err(crate::commands::worker::failure)?;
        let events = events.clone();
        thread::spawn(move || {
            let end = supervisor.run().map_err(why);
            let _ = events.send(Event::Ended { number, end });
        });
        Ok(Generation { number, since, runner: Runner::Worker(handle) })
    }
}

impl Generation {
    /// Lets what runs end, and begins nothing more.
    pub(super) fn stop(&self) {
        match &self.runner {
            Runner::Probe(_) => self.kill(),
            Runner::Worker(handle) => handle.stop(),
        }
    }

    pub(super) fn kill(&self) {
        match &self.runner {
            // One that is gone already is fine.
            Runner::Probe(process) => _ = process.as_ref().map(|one| pidfd_send_signal(one, Signal::KILL)),
            Runner::Worker(handle) => handle.kill(),
        }
    }

    pub(super) fn processes(&self) -> usize {
        match &self.runner {
            Runner::Probe(_) => 0,
            Runner::Worker(handle) => handle.pids().len(),
        }
    }
}

fn report_end(mut child: Child, number: u64, events: Sender<Event>) {
    thread::spawn(move || {
        let end = match child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failure::new(FAILED, format!("loading the app ended with {status}"))),
            Err(error) => Err(Failure::new(FAILED, error.to_string())),
        };
        let _ = events.send(Event::Ended { number, end });
    });
}

/// The report of an app that does not load is its traceback; it came with its files already.
fn why(error: Error) -> Failure {
    match error {
        Error::AppFailed { report } => Failure::new(FAILED, report),
        other => crate::commands::worker::failure(other),
    }
}

fn cannot_run(interpreter: &Path, error: &io::Error) -> Failure {
    Failure::new(FAILED, format!("cannot run {}: {error}", interpreter.display()))
}
