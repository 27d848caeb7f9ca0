//! A worker, as its pool knows it.

use std::time::Duration;

use lineshaft_ipc::Signal;
use lineshaft_ipc::channel::Channel;
use lineshaft_ipc::claims::Claims;
use lineshaft_ipc::group::kill_group;
use lineshaft_ipc::process::{Exit, Pidfd, reap};
use lineshaft_ipc::rss::Rss;

use super::builder::Options;
use super::message::{ENDING, channel, send};
use super::{Error, SLOTS, start};

/// A process that is reaped when this is dropped, and ended before if it lives.
#[derive(Debug)]
pub(super) struct Hand {
    pid: u32,
    pidfd: Pidfd,
    pub(super) tasks: Channel,
    pub(super) claims: Claims,
    pub(super) is_ready: bool,
    rss: Option<Rss>,
    memory_max: Option<u64>,
    /// In words, if it was its parent that did it.
    why_killed: Option<String>,
    is_reaped: bool,
}

impl Hand {
    /// Starts worker `number`. Called by the thread of its pool, with which it ends.
    pub(super) fn start(number: u32, options: &Options, results: &Channel) -> Result<Self, Error> {
        let (tasks, claims) = (channel()?, Claims::create(SLOTS)?);
        let pid = start::start(number, options, &tasks, results, &claims)?.id();
        let pidfd = Pidfd::open(pid)?;
        let rss = options.memory.map(|_| Rss::of(pid)).transpose()?;
        let memory_max = options.memory;
        let (is_ready, why_killed, is_reaped) = (false, None, false);
        Ok(Self { pid, pidfd, tasks, claims, is_ready, rss, memory_max, why_killed, is_reaped })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended. One that has more memory than it may is killed.
    pub(super) fn has_ended(&mut self) -> bool {
        if let (Some(rss), Some(most)) = (&self.rss, self.memory_max)
            && let Some(has) = rss.bytes().filter(|has| *has > most)
            && self.why_killed.is_none()
        {
            self.why_killed =
                Some(format!("had {} MiB of memory, where {} MiB are the most,", has >> 20, most >> 20));
            self.kill();
        }
        self.pidfd.has_exited()
    }

    /// Ends it, and what it has started.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Asks it to end when it is through with what it has.
    pub(super) fn leave(&self) {
        if send(&self.tasks, ENDING, &[], Some(Duration::ZERO)).is_err() {
            self.ask();
        }
    }

    /// Asks it to end now.
    pub(super) fn ask(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended, for so long at most.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        self.pidfd.wait_exit(timeout)
    }

    /// Reaps one that has ended, after what it had started: how it ended, in an error.
    pub(super) fn bury(mut self) -> Error {
        let exit = self.reap();
        Error::worker_died(exit, self.why_killed.as_deref())
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = kill_group(self.pid, signal) {
            tracing::error!(%error, "a worker of a pool cannot be signalled");
        }
    }

    fn reap(&mut self) -> Option<Exit> {
        // Its number is nobody else's before it is reaped.
        self.kill();
        self.pidfd.wait_exit(Duration::MAX);
        self.is_reaped = true;
        reap(self.pid).ok().flatten()
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        if !self.is_reaped {
            self.reap();
        }
    }
}
