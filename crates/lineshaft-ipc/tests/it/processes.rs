//! Identity, death and memory of processes.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lineshaft_ipc::process::{Exit, Pidfd, ProcessId, reap, rss_peak_bytes};
use lineshaft_ipc::{Error, Signal};

use crate::support::{Guard, child_value, eventually, sleeper, this_binary};

const LONG: Duration = Duration::from_secs(10);

#[test]
fn a_pidfd_tells_the_end_of_its_process() {
    let child = sleeper();
    let process = ProcessId::of(child.pid()).unwrap();
    let pidfd = Pidfd::of(process).unwrap();
    assert!(process.is_alive() && !pidfd.wait_exit(Duration::from_millis(20)) && !pidfd.has_exited());

    pidfd.send_signal(Signal::TERM).unwrap();
    let waited = Instant::now();
    assert!(pidfd.wait_exit(LONG) && waited.elapsed() < LONG);
    assert!(!process.is_alive(), "a zombie does not live");
    assert!(matches!(ProcessId::of(child.pid()), Err(Error::NoProcess { .. })));
}

#[test]
fn waiting_as_long_as_there_is_time_is_no_overflow() {
    let child = sleeper();
    let pidfd = Pidfd::open(child.pid()).unwrap();
    pidfd.send_signal(Signal::KILL).unwrap();
    assert!(pidfd.wait_exit(Duration::MAX));
}

#[test]
fn reaping_tells_signal_code_and_memory() {
    let child = sleeper();
    assert_eq!(reap(child.pid()).unwrap(), None);
    let pidfd = Pidfd::open(child.pid()).unwrap();
    pidfd.send_signal(Signal::KILL).unwrap();
    assert!(pidfd.wait_exit(LONG));
    assert_eq!(rss_peak_bytes(child.pid()).unwrap(), None, "a zombie has no memory left");
    let exit = reap(child.pid()).unwrap().unwrap();
    assert_eq!((exit.code, exit.signal), (None, Some(9)));
    assert!(exit.rss_peak_bytes > 100_000, "{exit:?}");

    assert!(matches!(reap(child.pid()), Err(Error::Os { .. })), "it is no child any more");
    assert!(matches!(pidfd.send_signal(Signal::KILL), Err(Error::NoProcess { .. })));
    assert!(pidfd.has_exited(), "the hold outlives the reaping");
}

#[test]
fn reaping_tells_the_exit_code() {
    let child = Guard(Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap());
    let mut exit = None;
    eventually("the shell exits", || {
        exit = reap(child.pid()).unwrap();
        exit.is_some()
    });
    assert!(matches!(exit, Some(Exit { code: Some(7), signal: None, .. })), "{exit:?}");
}

#[test]
fn a_process_knows_its_peak_memory() {
    let before = rss_peak_bytes(std::process::id()).unwrap().unwrap();
    let block = vec![1u8; 64 << 20];
    let after = rss_peak_bytes(std::process::id()).unwrap().unwrap();
    assert!(after >= before.max(block.len() as u64), "{before} -> {after}");
}

#[test]
fn a_younger_process_of_the_same_pid_is_another_one() {
    let child = sleeper();
    let process = ProcessId::of(child.pid()).unwrap();
    let older = ProcessId { start_time: process.start_time - 1, ..process };
    assert!(process.is_alive() && !older.is_alive());
    assert!(matches!(Pidfd::of(older), Err(Error::ProcessReplaced { .. })));
    assert!(Pidfd::of(process).is_ok());
}

/// The same with a pid that was really given away again. The next pid can be chosen, but that is a matter of the whole
/// pid namespace: the child gets one of its own, so that the host's counter stays as it is. Where the system allows no
/// namespace, the test above has to do.
#[test]
fn a_pid_given_away_again_is_not_the_process_it_was() {
    if !in_own_namespace("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return;
    }
    let inner = this_binary("processes::child_meets_a_pid_again", "alone");
    let mut command = in_own_namespace(inner.get_program());
    command.args(inner.get_args()).stdout(Stdio::null());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(command.status().unwrap().success());
}

fn in_own_namespace(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]).arg(program);
    command
}

#[test]
fn child_meets_a_pid_again() {
    if child_value().is_none() {
        return;
    }
    assert_eq!(std::process::id(), 1, "the first process of its own namespace");
    let old = sleeper();
    let (pid, process) = (old.pid(), ProcessId::of(old.pid()).unwrap());
    let held = Pidfd::of(process).unwrap();
    drop(old);
    assert!(!process.is_alive() && matches!(Pidfd::of(process), Err(Error::NoProcess { .. })));

    // More than a tick of the clock that start times are counted in.
    std::thread::sleep(Duration::from_millis(30));
    fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
    let young = sleeper();
    assert_eq!(young.pid(), pid);
    assert!(!process.is_alive());
    assert!(matches!(Pidfd::of(process), Err(Error::ProcessReplaced { .. })));
    assert!(matches!(held.send_signal(Signal::KILL), Err(Error::NoProcess { .. })));
    assert!(ProcessId::of(young.pid()).unwrap().is_alive(), "the young one is unharmed");
}
