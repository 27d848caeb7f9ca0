//! One child process: started, signalled, emptied.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lineshaft_ipc::fd::{inherit, pipe, set_nonblocking};
use lineshaft_ipc::group::{kill_group, members};
use lineshaft_ipc::process::{Exit, Pidfd, ProcessId, reap};
use lineshaft_ipc::shared::{AttemptPage, Backlog};
use lineshaft_ipc::tree::{descendants, end_trees};
use lineshaft_wire::message::AddLogs;
use rustix::io::read;
use rustix::process::Signal;
use tokio::net::UnixStream;

use super::{TOLD, Worker};
use crate::talk::Talk;
use crate::worker::assignment::{Assignment, VARIABLE};
use crate::worker::child::{Lines, logs_left};
use crate::worker::death::Watched;
use crate::worker::{Error, Kind, Options};

/// Pauses between looks whether a killed group is empty.
const EMPTY_PAUSE_MIN: Duration = Duration::from_millis(1);
const EMPTY_PAUSE_MAX: Duration = Duration::from_millis(100);
/// After which a group that does not end is worth a line in the log: something hangs in the kernel.
const EMPTY_LATE: Duration = Duration::from_secs(5);

/// A living child, or one that waits to be reaped.
#[derive(Debug)]
pub(super) struct Process {
    /// The worker's nonce.
    worker: u64,
    pub(super) number: u32,
    pub(super) pid: u32,
    pub(super) page: Arc<AttemptPage>,
    /// What its attempts logged and the server has not confirmed.
    backlog: Backlog,
    pub(super) lifeline: UnixStream,
    pidfd: Watched,
    /// The read end of its output, shared with the child: what it left unread is here.
    output: OwnedFd,
    talk: Option<Talk>,
    /// What its attempts started and may have a group of its own; `None` where a slot is a process, whose group it is.
    strays: Option<Mutex<BTreeSet<ProcessId>>>,
}

impl Process {
    /// Starts child `number`, the leader of a new process group, its output in a pipe that it reads itself.
    pub(super) fn spawn(worker: &Worker, number: u32) -> Result<Self, Error> {
        let options = &worker.options;
        let page = AttemptPage::create(options.slots)?;
        let (lifeline, its_lifeline) = StdUnixStream::pair().map_err(Error::io("open a lifeline"))?;
        let backlog = Backlog::create()?;
        let (output, its_output) = pipe()?;
        set_nonblocking(&output, true)?;
        let mut command = Command::new(&options.command[0]);
        command.args(&options.command[1..]).process_group(0).stdin(Stdio::null());
        let its_error = its_output.try_clone().map_err(Error::io("duplicate a pipe"))?;
        command.stdout(its_output).stderr(its_error);
        let assignment = Assignment {
            address: (&options.target).into(),
            number,
            worker: worker.nonce,
            worker_name: Arc::clone(&worker.name),
            queues: options.queues.clone(),
            kind: options.kind,
            growth: options.recycle.growth,
            supervisor: std::process::id(),
            lifeline: inherit(&mut command, its_lifeline.as_fd())?,
            page: inherit(&mut command, page.as_fd())?,
            output: inherit(&mut command, output.as_fd())?,
            logs: inherit(&mut command, backlog.as_fd())?,
            tee: inherit_tee(&mut command, options)?,
        };
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        command.env(VARIABLE, assignment.to_json());
        let pid = start(&mut command, options)?;
        let pidfd = Watched::new(Pidfd::open(pid)?)?;
        lifeline.set_nonblocking(true).map_err(Error::io("open a lifeline"))?;
        let lifeline = UnixStream::from_std(lifeline).map_err(Error::io("open a lifeline"))?;
        let (page, talk) = (Arc::new(page), worker.talk.clone());
        let strays = (options.kind != Kind::Process).then(Mutex::default);
        let worker = worker.nonce;
        Ok(Self { worker, number, pid, page, backlog, lifeline, pidfd, output, talk, strays })
    }

    /// Waits for the death of the child, which leaves it unreaped. Cancel-safe.
    pub(super) async fn exited(&self) {
        self.pidfd.ended().await;
    }

    /// Signals the child alone.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = self.pidfd.pidfd().send_signal(signal) {
            tracing::debug!(%error, "a child is gone already");
        }
    }

    /// Signals all of its process group. Safe from reuse of the number, since the child is not reaped yet.
    pub(super) fn signal_group(&self, signal: Signal) {
        if let Err(error) = kill_group(self.pid, signal) {
            tracing::error!(%error, "a process group cannot be signalled");
        }
    }

    /// Remembers what it started, as long as it lives to be known as the parent: before the first signal to its group.
    pub(super) fn note_strays(&self) {
        let Some(strays) = &self.strays else { return };
        match ProcessId::of(self.pid).and_then(descendants) {
            Ok(found) => strays.lock().unwrap_or_else(PoisonError::into_inner).extend(found),
            Err(error) => tracing::debug!(%error, "what a child has started is not known"),
        }
    }

    /// Kills what is left of the process group and what was noted outside of it, and waits until nothing is.
    pub(super) async fn empty(&self) {
        self.empty_group().await;
        let strays = self.living_strays();
        if strays.is_empty() {
            return;
        }
        // They had as long as the group.
        let ended = tokio::task::spawn_blocking(move || end_trees(&strays, Duration::ZERO)).await;
        if !matches!(&ended, Ok(Ok(ended)) if ended.is_empty()) {
            tracing::error!(child = self.number, ?ended, "what a killed child has started does not end");
        }
    }

    fn living_strays(&self) -> Vec<ProcessId> {
        let Some(strays) = &self.strays else { return Vec::new() };
        let strays = strays.lock().unwrap_or_else(PoisonError::into_inner);
        strays.iter().copied().filter(|process| process.is_alive()).collect()
    }

    async fn empty_group(&self) {
        let start = Instant::now();
        let mut pause = EMPTY_PAUSE_MIN;
        let mut said = false;
        loop {
            self.signal_group(Signal::KILL);
            match members(self.pid) {
                Ok(members) if members.is_empty() => return,
                other if start.elapsed() > EMPTY_LATE && !said => {
                    tracing::error!(child = self.number, left = ?other, "a killed process group does not end");
                    said = true;
                }
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(EMPTY_PAUSE_MAX);
        }
    }

    /// How the dead child ended. Only after [`Self::empty`]: from here on its number may be somebody else's.
    pub(super) fn reap(&self) -> Option<Exit> {
        match reap(self.pid) {
            Ok(exit) => exit,
            Err(error) => {
                tracing::warn!(%error, "a child was reaped by someone else");
                None
            }
        }
    }

    /// Takes what the dead child had printed and not read, into its page and, where output is repeated, to
    /// standard error.
    pub(super) fn take_output(&self) {
        let is_of_attempt = self.page.slots() == 1 && self.page.begun().next().is_some();
        let mut left = if is_of_attempt { self.page.recover_output() } else { Vec::new() };
        let recovered = left.len();
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = read(&self.output, &mut buffer) {
            left.extend_from_slice(&buffer[..count]);
        }
        if is_of_attempt {
            self.page.append_output(&left[recovered..]);
        }
        if let Some(talk) = &self.talk {
            self.repeat(&left, talk);
        }
    }

    /// What the attempts of the dead child logged and the server did not confirm.
    pub(super) fn logs_left(&self) -> Vec<AddLogs> {
        logs_left(self.worker, self.number, &self.backlog)
    }

    /// Words for the people who run the worker.
    pub(super) fn say(&self, words: &str) {
        tracing::warn!(target: TOLD, child = self.number, "{words}");
        if let Some(talk) = &self.talk {
            talk.say(format!("{words}\n").as_bytes());
        }
    }

    fn repeat(&self, bytes: &[u8], talk: &Talk) {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        let prefix = format!("child {} | ", self.number);
        lines.push(&prefix, bytes, &mut out);
        lines.finish(&prefix, &mut out);
        talk.say(&out);
    }
}

fn inherit_tee(command: &mut Command, options: &Options) -> Result<Option<i32>, Error> {
    if !options.tee {
        return Ok(None);
    }
    // A process without standard error has nothing to repeat to.
    let Ok(error) = io::stderr().as_fd().try_clone_to_owned() else { return Ok(None) };
    Ok(Some(inherit(command, error.as_fd())?))
}

fn start(command: &mut Command, options: &Options) -> Result<u32, Error> {
    let child = command.spawn().map_err(|source| {
        let program = options.command[0].to_string_lossy().into_owned();
        Error::Spawn { program, source }
    })?;
    Ok(child.id())
}
