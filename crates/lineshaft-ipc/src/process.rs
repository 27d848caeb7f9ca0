//! Processes: identity, death, memory.
//!
//! A pid alone names nobody: it is given away again. [`ProcessId`] adds the start time, which the kernel never gives
//! twice with the same pid within a boot (beside [`boot_id`], it is unique for good). [`Pidfd`] holds on to the process
//! itself: it can neither miss its end nor signal its successor.
#![allow(unsafe_code)] // wait4 with the resource usage, which no safe wrapper offers, and pre_exec.

use std::fmt;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, pidfd_send_signal, set_parent_process_death_signal,
    test_kill_process,
};

use crate::proc_files::{self, is_gone, stat};
use crate::{Error, Result};

/// A process for certain, within one boot of one host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    /// The pid.
    pub pid: u32,
    /// Clock ticks from the boot to the start of the process.
    pub start_time: u64,
}

impl ProcessId {
    /// The calling process.
    pub fn current() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// The living process that has `pid` now; [`Error::NoProcess`] if there is none or only a zombie.
    pub fn of(pid: u32) -> Result<Self> {
        match stat(pid)? {
            Some(stat) if !stat.is_dead() => Ok(Self { pid, start_time: stat.start_time }),
            _ => Err(Error::NoProcess { pid }),
        }
    }

    /// Whether this very process lives. A zombie does not: none of its code will run again.
    ///
    /// Death needs proof: where `/proc` hides a process or cannot be read, one that may exist counts as alive.
    pub fn is_alive(self) -> bool {
        match stat(self.pid) {
            Ok(Some(stat)) => stat.start_time == self.start_time && !stat.is_dead(),
            Ok(None) => is_hidden(self.pid),
            Err(_) => true,
        }
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.pid, self.start_time)
    }
}

/// Whether a pid that `/proc` does not show is in use, as on hosts mounted with `hidepid`.
fn is_hidden(pid: u32) -> bool {
    raw_pid(pid).is_some_and(|pid| !matches!(test_kill_process(pid), Err(Errno::SRCH)))
}

/// `pid` as the kernel takes it; `None` for 0 and for numbers that no process can have.
pub(crate) fn raw_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// A hold on one process, whatever becomes of its pid.
///
/// As a descriptor it turns readable when the process has ended, so it can be polled along with sockets.
#[derive(Debug)]
pub struct Pidfd {
    fd: OwnedFd,
    pid: u32,
}

impl Pidfd {
    /// A hold on the process that has `pid` now, which may be a zombie. [`Error::NoProcess`] if there is none.
    ///
    /// Safe from reuse only while the caller keeps the pid from being reaped (its own child); otherwise use
    /// [`Pidfd::of`].
    pub fn open(pid: u32) -> Result<Self> {
        let raw = raw_pid(pid).ok_or(Error::NoProcess { pid })?;
        match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(fd) => Ok(Self { fd, pid }),
            Err(Errno::SRCH) => Err(Error::NoProcess { pid }),
            Err(error) => Err(Error::os(format!("open a pidfd of process {pid}"))(error)),
        }
    }

    /// A hold on this very process; [`Error::ProcessReplaced`] if its pid has passed on.
    pub fn of(process: ProcessId) -> Result<Self> {
        let pidfd = Self::open(process.pid)?;
        // Checked after opening: as the start time still fits, the pid had not passed on when it was opened.
        let found = stat(process.pid)?.ok_or(Error::NoProcess { pid: process.pid })?.start_time;
        if found == process.start_time {
            return Ok(pidfd);
        }
        Err(Error::ProcessReplaced { pid: process.pid, expected: process.start_time, found })
    }

    /// The pid, which is the process's own only until it is reaped.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the process has ended, all its threads included. No waiting.
    pub fn has_exited(&self) -> bool {
        self.wait_exit(Duration::ZERO)
    }

    /// Waits until the process has ended, at most `timeout`; true if it has. It may still have to be reaped.
    ///
    /// False also when the operating system cannot tell, since death needs proof.
    pub fn wait_exit(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], left.as_ref()) {
                Ok(ready) => return ready > 0,
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }

    /// Sends `signal` to this process and no other. [`Error::NoProcess`] if it has ended and been reaped.
    pub fn send_signal(&self, signal: Signal) -> Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) => Ok(()),
            Err(Errno::SRCH) => Err(Error::NoProcess { pid: self.pid }),
            Err(error) => Err(Error::os(format!("send {signal:?} to process {}", self.pid))(error)),
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Lets the child that `command` starts end with this process, whatever ends that, SIGKILL included.
///
/// The kernel kills the child when the *thread* that started it ends: start it from one that lives as long as the process.
/// What the child starts itself is not killed.
pub fn end_with_this_process(command: &mut Command) {
    let parent = getpid();
    let follow = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before that.
        if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: the closure runs between fork and exec and only makes two system calls, which are async-signal-safe; it
    // neither allocates nor locks.
    unsafe {
        command.pre_exec(follow);
    }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// What it passed to `exit`; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Peak resident memory in bytes. Never below what its parent had resident when it started the child, since the
    /// kernel counts from the fork.
    pub rss_peak_bytes: u64,
}

/// Reaps the child `pid` if it has ended: how, or `None` while it lives. No waiting.
///
/// Afterwards the pid is free for others, so end its process group first. A `std::process::Child` of it must not be
/// waited for any more. [`Error::Os`] if `pid` is no child of this process.
pub fn reap(pid: u32) -> Result<Option<Exit>> {
    let raw = raw_pid(pid).ok_or(Error::NoProcess { pid })?;
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    // SAFETY: both pointers are to locals of the right types, valid for the call; `rusage` is plain numbers, so zeros
    // are a value of it even where the kernel leaves it alone.
    let (found, usage) = unsafe {
        let found =
            libc::wait4(raw.as_raw_nonzero().get(), &raw mut status, libc::WNOHANG, usage.as_mut_ptr());
        (found, usage.assume_init())
    };
    match found {
        0 => Ok(None),
        1.. => Ok(Some(exit(status, usage.ru_maxrss))),
        _ => Err(Error::os(format!("reap process {pid}"))(std::io::Error::last_os_error())),
    }
}

fn exit(status: i32, rss_peak_kib: libc::c_long) -> Exit {
    Exit {
        code: libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status)),
        signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
        rss_peak_bytes: u64::try_from(rss_peak_kib).unwrap_or(0) * 1024,
    }
}

/// Peak resident memory of a living process in bytes; `None` once it has ended, as its memory is gone by then.
pub fn rss_peak_bytes(pid: u32) -> Result<Option<u64>> {
    let path = format!("/proc/{pid}/status");
    match fs::read_to_string(&path) {
        Ok(status) => Ok(rss_peak_in(&status)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(Error::os(format!("read {path}"))(error)),
    }
}

fn rss_peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// The id of this boot of the host, a UUID: pids and start times mean nothing across boots.
pub fn boot_id() -> Result<String> {
    proc_files::text("/proc/sys/kernel/random/boot_id")
}

/// The host's name.
pub fn hostname() -> Result<String> {
    proc_files::text("/proc/sys/kernel/hostname")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calling_process_is_alive_and_others_of_its_pid_are_not() {
        let me = ProcessId::current().unwrap();
        assert_eq!((me.pid, me.is_alive()), (std::process::id(), true));
        assert!(!ProcessId { start_time: me.start_time + 1, ..me }.is_alive());
    }

    #[test]
    fn pids_that_cannot_be_are_no_process() {
        for pid in [0, u32::MAX, i32::MAX as u32, 1 << 31] {
            assert!(matches!(ProcessId::of(pid), Err(Error::NoProcess { .. })), "{pid}");
            assert!(matches!(Pidfd::open(pid), Err(Error::NoProcess { .. })), "{pid}");
            assert!(!ProcessId { pid, start_time: 1 }.is_alive(), "{pid}");
        }
    }

    #[test]
    fn peak_memory_is_read_in_bytes() {
        for (status, expected) in [
            ("Name:\tcat\nVmHWM:\t    2176 kB\nVmRSS:\t 9 kB\n", Some(2_228_224)),
            ("Name:\tcat\nState:\tZ (zombie)\n", None),
            ("VmHWM:\t many kB\n", None),
            ("VmHWM:\t 18446744073709551615 kB\n", None),
        ] {
            assert_eq!(rss_peak_in(status), expected, "{status:?}");
        }
    }

    #[test]
    fn boot_and_host_have_names() {
        assert_eq!(boot_id().unwrap().len(), 36);
        assert!(!hostname().unwrap().is_empty());
    }
}
