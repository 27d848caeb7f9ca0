//! `lineshaft stop`: asks the server of the home to stop, and waits until it has.

use std::time::Duration;

use lineshaft::client::Client;
use lineshaft::launch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;

use crate::context::{Context, answer};
use crate::exit::{Failure, TIMEOUT};

/// How long a server may take to seal its journal.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn run(context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let place = home.path().display().to_string();
    if !launch::is_answering(&home) {
        context.output.say(format!("no server runs for {place}"));
        return report(context, &place, None);
    }
    let client = context.running_client()?;
    let pid = client.welcome().map(|welcome| welcome.pid);
    stop(&client, pid)?;
    context.output.say(format!("stopped the server of {place}"));
    report(context, &place, pid)
}

fn report(context: &mut Context, home: &str, pid: Option<u32>) -> Result<(), Failure> {
    if context.output.is_json() {
        context.output.json(&json!({ "home": home, "stopped_pid": pid }))?;
    }
    Ok(())
}

fn stop(client: &Client, pid: Option<u32>) -> Result<(), Failure> {
    // Held before it is asked, so that the pid cannot pass on to another process.
    let process = pid
        .and_then(|pid| Pid::from_raw(pid as i32))
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    answer(client.shutdown(false, None))?;
    let Some(process) = process else { return Ok(()) };
    let timeout = Timespec::try_from(STOP_TIMEOUT).unwrap_or_default();
    match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
        Ok(0) => Err(Failure::new(TIMEOUT, "the server was asked to stop, but is still there after 30 s")
            .hint(format!("its log says why; `kill {}` asks again", pid.unwrap_or_default()))),
        _ => Ok(()),
    }
}
