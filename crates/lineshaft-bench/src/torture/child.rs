//! What is tortured beside the server: a worker, and its children, whose bodies write down what they do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lineshaft::worker::{Child, End, Ending, Job, Next, Options, TaskEntry, supervisor};
use lineshaft::{ServerCommand, Target};
use lineshaft_wire::ErrorRecord;
use lineshaft_wire::value::typed::{Arguments, Bound, to_payload};

use super::place::{Appender, Place};
use super::record::{Act, Effect};
use crate::error::{Error, Result};
use crate::worker::now_us;

/// Tasks: the second one may run only once.
pub(super) const TASKS: [&str; 2] = ["torture.work", "torture.once"];
/// Children of each worker.
const PROCESSES: u32 = 2;
/// A body that is asked to stop does so soon, or is killed after this.
const GRACE: Duration = Duration::from_secs(1);
/// Between two looks of a body whether it shall stop.
const LOOK: Duration = Duration::from_millis(20);
/// How long the server may take to confirm the last ends.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(10);

/// Works for `home` with child processes that `command` starts, until it is asked to stop.
pub fn work(home: &Path, command: &ServerCommand) -> Result<(), Error> {
    let mut child = vec![command.program.clone().into_os_string()];
    child.extend(command.args.iter().cloned());
    child.extend(["torture".into(), "--child-of".into(), home.into()]);
    let options =
        Options { processes: PROCESSES, grace: GRACE, tee: false, ..Options::new(Target::home(home), child) };
    Ok(supervisor::run(options)?)
}

/// Is a child of such a worker.
pub fn be_child(home: &Path) -> Result<(), Error> {
    let child = Child::from_env()?;
    // A body looks by itself whether it shall stop; the signal would end the process.
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::new(AtomicBool::new(false)))
        .map_err(Error::io("handle SIGUSR1"))?;
    let mut effects = Place::new(home).effect(std::process::id(), now_us())?;
    let entry = |name: &str| TaskEntry {
        name: name.into(),
        versions: (1, 1),
        at_most_once: name == TASKS[1],
        memory: None,
        declared: None,
    };
    child.start(TASKS.map(entry).to_vec())?;
    loop {
        match child.next(Duration::from_secs(60)) {
            Next::Job(job) => {
                child.begin(&job);
                let ending = body(&child, &job, &mut effects)?;
                child.finish(&job, ending);
            }
            Next::TimedOut => {}
            Next::Drained => break,
        }
    }
    child.close(CONFIRMED_WITHIN);
    Ok(())
}

/// What a body is told to do.
struct Orders {
    token: String,
    takes: Duration,
    /// Attempts that fail.
    fails: u32,
}

fn body(child: &Child, job: &Job, effects: &mut Appender) -> Result<Ending> {
    let mut note = |act| {
        let (fence, attempt, pid) = (job.fence, job.attempt, std::process::id());
        effects.append([Effect { act, job: job.id, fence, attempt, pid, at_us: now_us() }])
    };
    note(Act::Begun)?;
    let orders = orders(job)?;
    if !takes_its_time(child, job, orders.takes) {
        return Ok(errored("it was asked to stop"));
    }
    if job.attempt <= orders.fails {
        note(Act::Failed)?;
        return Ok(errored("it was told to fail"));
    }
    note(Act::Returned)?;
    Ok(Ending::Returned(to_payload(&orders.token).map_err(wrong)?.into()))
}

fn orders(job: &Job) -> Result<Orders> {
    let arguments = Arguments::open(&job.arguments).map_err(wrong)?;
    let payload = arguments.payload().map_err(wrong)?;
    let bound = Bound::new(TASKS[0], 1, &["orders"], &payload).map_err(wrong)?;
    let text: String = bound.required(0).map_err(wrong)?;
    let words: Vec<&str> = text.split(' ').collect();
    let read = || {
        let [token, milliseconds, fails, _padding] = words[..] else { return None };
        let takes = Duration::from_millis(milliseconds.parse().ok()?);
        Some(Orders { token: token.into(), takes, fails: fails.parse().ok()? })
    };
    read().ok_or_else(|| Error::Wrong(format!("a job's orders do not read: {text}")))
}

/// What a client asks of a body, in the form that it reads.
pub(super) fn order(token: &str, takes: Duration, fails: u32, padding_bytes: usize) -> String {
    format!("{token} {} {fails} {}", takes.as_millis(), "x".repeat(padding_bytes))
}

/// Whether nobody asked it to stop meanwhile.
fn takes_its_time(child: &Child, job: &Job, takes: Duration) -> bool {
    let until = Instant::now() + takes;
    while child.stop_requested(job.ticket()).is_none() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        sleep(left.min(LOOK));
    }
    false
}

fn errored(message: &str) -> Ending {
    let types = vec!["torture.Told".to_owned()];
    let error = ErrorRecord { types, message: message.to_owned(), ..ErrorRecord::default() };
    Ending::Other(End::Errored { error, retry_after_ms: None })
}

fn wrong(error: lineshaft_wire::value::typed::Error) -> Error {
    Error::Wrong(format!("a job's payload: {error}"))
}
