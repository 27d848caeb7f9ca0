//! `lineshaft stop`: asks the server of the home to stop, and waits until it has.

use std::os::fd::OwnedFd;
use std::time::Duration;

use lineshaft::home::Home;
use lineshaft::{Error, launch};
use lineshaft_wire::code::VERSION_MISMATCH;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::json;

use crate::context::{Context, answer};
use crate::exit::{Failure, TIMEOUT};

/// How long a server may take to seal its journal.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn run(context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let place = home.path().display().to_string();
    if let Err(error @ Error::Home { .. }) = home.socket() {
        return Err(error.into()); // a home that is not for this user: a server may well run there
    }
    if !launch::is_answering(&home) {
        context.output.say(format!("no server runs for {place}"));
        return report(context, &place, None);
    }
    let pid = stop(context, &home)?;
    context.output.say(format!("stopped the server of {place}"));
    report(context, &place, pid)
}

fn report(context: &mut Context, home: &str, pid: Option<u32>) -> Result<(), Failure> {
    if context.output.is_json() {
        context.output.json(&json!({ "home": home, "stopped_pid": pid }))?;
    }
    Ok(())
}

/// Gives the pid of the server that stopped, where it is known.
fn stop(context: &Context, home: &Home) -> Result<Option<u32>, Failure> {
    let client = match context.running_client() {
        Ok(client) => client,
        Err(failure) if failure.error == Some(VERSION_MISMATCH) => return terminate(home, failure),
        Err(failure) => return Err(failure),
    };
    let pid = client.welcome().map(|welcome| welcome.pid);
    // Held before it is asked, so that the pid cannot pass on to another process.
    let process = pid.and_then(hold);
    answer(client.shutdown(false, None))?;
    wait_for_end(process, pid)?;
    Ok(pid)
}

/// A server that speaks another protocol understands SIGTERM all the same.
fn terminate(home: &Home, failure: Failure) -> Result<Option<u32>, Failure> {
    let pid = launch::server_pid(home);
    let Some(process) = pid.and_then(hold) else { return Err(failure) };
    pidfd_send_signal(&process, Signal::TERM).map_err(|_| failure)?;
    wait_for_end(Some(process), pid)?;
    Ok(pid)
}

fn hold(pid: u32) -> Option<OwnedFd> {
    pidfd_open(Pid::from_raw(pid as i32)?, PidfdFlags::empty()).ok()
}

fn wait_for_end(process: Option<OwnedFd>, pid: Option<u32>) -> Result<(), Failure> {
    let Some(process) = process else { return Ok(()) };
    let timeout = Timespec::try_from(STOP_TIMEOUT).unwrap_or_default();
    match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
        Ok(0) => Err(Failure::new(TIMEOUT, "the server was asked to stop, but is still there after 30 s")
            .hint(format!("its log says why; `kill {}` asks again", pid.unwrap_or_default()))),
        _ => Ok(()),
    }
}
