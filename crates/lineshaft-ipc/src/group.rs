//! Process groups: what an attempt started, and all that its children started.
//!
//! A group's number is safe from reuse as long as one member is left or unreaped. So end a group *before* reaping the
//! child that leads it.

use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Signal, getpgrp, kill_process_group};

use crate::proc_files::{self, stat};
use crate::process::{Pidfd, raw_pid};
use crate::{Error, Result};

/// How long [`end_group`] waits after SIGKILL. The kernel needs milliseconds, unless a process hangs in a device.
pub const KILL_WAIT: Duration = Duration::from_secs(5);

/// The longest grace; a longer one counts as this.
const GRACE_MAX: Duration = Duration::from_secs(86_400);

/// Pause between looks when a member vanished from under the look.
const PAUSE: Duration = Duration::from_millis(1);

/// How a group ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ended {
    /// Nothing of it was left to begin with.
    AlreadyEmpty,
    /// SIGTERM was enough.
    Terminated,
    /// Some ignored SIGTERM for the whole grace and got SIGKILL.
    Killed,
    /// These pids still live, [`KILL_WAIT`] after SIGKILL.
    Survived(Vec<u32>),
}

impl Ended {
    /// Whether nothing of the group lives any more.
    pub fn is_empty(&self) -> bool {
        !matches!(self, Self::Survived(_))
    }
}

/// The living members of group `pgid`, zombies excluded, in no certain order.
///
/// Looks at every process of the host: some microseconds each. A member started during the look may be missing.
pub fn members(pgid: u32) -> Result<Vec<u32>> {
    Ok(proc_files::pids()?.filter(|&pid| is_member(pid, pgid)).collect())
}

fn is_member(pid: u32, group: u32) -> bool {
    matches!(stat(pid), Ok(Some(stat)) if stat.pgid == group && !stat.is_dead())
}

/// Sends `signal` to every member of group `pgid` at once; a fork cannot slip through. False if there is none, not
/// even a zombie. [`Error::BadGroup`] for 0 and 1, which would mean this process's group and everybody.
pub fn kill_group(pgid: u32, signal: Signal) -> Result<bool> {
    let raw = raw_pid(pgid).filter(|_| pgid > 1);
    let raw = raw.ok_or(Error::BadGroup { pgid, reason: "it is not the number of a group" })?;
    match kill_process_group(raw, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => Err(Error::os(format!("send {signal:?} to process group {pgid}"))(error)),
    }
}

/// Ends group `pgid`: SIGTERM, up to `grace` for it to work, SIGKILL, then [`KILL_WAIT`] for it to be empty.
///
/// `except` names a member to spare, such as the child itself when only what it started has to go. Without it, this
/// process's own group is refused. Blocks at most `grace` (a day at most) + [`KILL_WAIT`] and the time of a few
/// [`members`].
pub fn end_group(pgid: u32, except: Option<u32>, grace: Duration) -> Result<Ended> {
    let target = Target::new(pgid, except)?;
    let found = !target.members()?.is_empty();
    let calm = !found || target.terminate(grace.min(GRACE_MAX))?;
    // Also when nothing seems left: a process forked under the look may have been missed.
    target.signal(Signal::KILL)?;
    let survivors = target.wait_empty(KILL_WAIT, Some(Signal::KILL))?;
    Ok(match (found, calm) {
        _ if !survivors.is_empty() => Ended::Survived(survivors),
        (false, _) => Ended::AlreadyEmpty,
        (true, true) => Ended::Terminated,
        (true, false) => Ended::Killed,
    })
}

/// A group, less one member.
struct Target {
    pgid: u32,
    except: Option<u32>,
}

impl Target {
    fn new(pgid: u32, except: Option<u32>) -> Result<Self> {
        let own = getpgrp().as_raw_nonzero().get() as u32 == pgid;
        if own && except != Some(std::process::id()) {
            return Err(Error::BadGroup { pgid, reason: "it is this process's own, and it is not spared" });
        }
        if pgid <= 1 {
            return Err(Error::BadGroup { pgid, reason: "it is not the number of a group" });
        }
        Ok(Self { pgid, except })
    }

    fn members(&self) -> Result<Vec<u32>> {
        let mut members = members(self.pgid)?;
        members.retain(|&pid| Some(pid) != self.except);
        Ok(members)
    }

    /// SIGTERM and up to `grace` for it to work; whether it did.
    fn terminate(&self, grace: Duration) -> Result<bool> {
        self.signal(Signal::TERM)?;
        // A stopped process acts on SIGTERM only when it goes on.
        self.signal(Signal::CONT)?;
        Ok(self.wait_empty(grace, None)?.is_empty())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        if self.except.is_none() {
            return kill_group(self.pgid, signal).map(drop);
        }
        for pid in self.members()? {
            if let Some(member) = self.hold(pid)? {
                ignore_gone(member.send_signal(signal))?;
            }
        }
        Ok(())
    }

    /// Waits until no member is left, and returns those that are after `timeout`. Sends `again` to whoever is found on
    /// the way: with a spared member, a fork may have slipped through.
    fn wait_empty(&self, timeout: Duration, again: Option<Signal>) -> Result<Vec<u32>> {
        let deadline = Instant::now() + timeout;
        loop {
            let members = self.members()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if members.is_empty() || left.is_zero() {
                return Ok(members);
            }
            if let Some(signal) = again {
                self.signal(signal)?;
            }
            match self.hold(members[0])? {
                Some(member) => _ = member.wait_exit(left),
                None => thread::sleep(PAUSE),
            }
        }
    }

    /// A hold on `pid` while it is a member; the check comes after, so that a reused pid is never signalled.
    fn hold(&self, pid: u32) -> Result<Option<Pidfd>> {
        match Pidfd::open(pid) {
            Ok(pidfd) => Ok(is_member(pid, self.pgid).then_some(pidfd)),
            Err(Error::NoProcess { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn ignore_gone(result: Result<()>) -> Result<()> {
    match result {
        Err(Error::NoProcess { .. }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_mean_others_are_refused() {
        for pgid in [0, 1, u32::MAX] {
            assert!(matches!(kill_group(pgid, Signal::CONT), Err(Error::BadGroup { .. })), "{pgid}");
        }
        for pgid in [0, 1] {
            assert!(matches!(end_group(pgid, None, Duration::ZERO), Err(Error::BadGroup { .. })), "{pgid}");
        }
    }

    #[test]
    fn the_own_group_is_not_ended_unless_this_process_is_spared() {
        let own = getpgrp().as_raw_nonzero().get() as u32;
        assert!(matches!(end_group(own, None, Duration::ZERO), Err(Error::BadGroup { .. })));
        assert!(matches!(end_group(own, Some(1), Duration::ZERO), Err(Error::BadGroup { .. })));
    }
}
