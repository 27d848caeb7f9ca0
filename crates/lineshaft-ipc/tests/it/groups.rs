//! Ending process groups.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lineshaft_ipc::Signal;
use lineshaft_ipc::group::{Ended, end_group, kill_group, members};
use lineshaft_ipc::process::ProcessId;

use crate::support::{Guard, eventually};

const LONG: Duration = Duration::from_secs(10);

/// A group that is killed whole with the test, while its unreaped leader still keeps its number from reuse.
struct Group(Guard);

impl Group {
    fn pid(&self) -> u32 {
        self.0.pid()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = kill_group(self.pid(), Signal::KILL);
    }
}

/// A shell that leads a group, running `script`, once the group has at least `count` members.
fn group(script: &str, count: usize) -> Group {
    let mut command = Command::new("sh");
    command.args(["-c", script]).process_group(0).stdin(Stdio::piped());
    let leader = Group(Guard(command.spawn().unwrap()));
    eventually("the group is complete", || members(leader.pid()).unwrap().len() >= count);
    leader
}

#[test]
fn a_group_with_grandchildren_ends_by_sigterm() {
    let leader = group("sh -c 'sleep 1000 & wait' & sleep 1000 & wait", 4);
    let pids = members(leader.pid()).unwrap();
    let processes: Vec<_> = pids.iter().map(|&pid| ProcessId::of(pid).unwrap()).collect();
    let started = Instant::now();
    assert_eq!(end_group(leader.pid(), None, LONG).unwrap(), Ended::Terminated);
    assert!(started.elapsed() < LONG / 2, "it does not sit out the grace");
    assert!(processes.iter().all(|process| !process.is_alive()));
    assert_eq!(members(leader.pid()).unwrap(), [], "the unreaped leader does not count");
    assert_eq!(end_group(leader.pid(), None, LONG).unwrap(), Ended::AlreadyEmpty);
}

#[test]
fn what_ignores_sigterm_is_killed_after_the_grace() {
    let leader = group("trap '' TERM; sleep 1000 & sleep 1000 & wait", 3);
    let (grace, started) = (Duration::from_millis(150), Instant::now());
    assert_eq!(end_group(leader.pid(), None, grace).unwrap(), Ended::Killed);
    assert!(started.elapsed() >= grace, "the grace is theirs");
    assert_eq!(members(leader.pid()).unwrap(), []);
}

#[test]
fn what_keeps_forking_is_caught() {
    let leader = group("trap '' TERM; while :; do sleep 1000 & sleep 0.01; done", 6);
    assert_eq!(end_group(leader.pid(), None, Duration::from_millis(50)).unwrap(), Ended::Killed);
    assert_eq!(members(leader.pid()).unwrap(), []);
}

#[test]
fn a_spared_member_lives_on_while_the_rest_ends() {
    let leader = group("sleep 1000 & (trap '' TERM; sleep 1000) & read line", 3);
    let process = ProcessId::of(leader.pid()).unwrap();
    let ended = end_group(leader.pid(), Some(leader.pid()), Duration::from_millis(100)).unwrap();
    assert_eq!(ended, Ended::Killed);
    assert!(process.is_alive());
    assert_eq!(members(leader.pid()).unwrap(), [leader.pid()]);
}

#[test]
fn a_stopped_group_ends_by_sigterm_too() {
    let leader = group("sleep 1000 & wait", 2);
    assert!(kill_group(leader.pid(), Signal::STOP).unwrap());
    assert_eq!(end_group(leader.pid(), None, LONG).unwrap(), Ended::Terminated);
}

#[test]
fn orphans_of_a_dead_leader_are_still_its_group() {
    let mut leader = group("sleep 1000 & sleep 1000 & read line", 3);
    leader.0.0.kill().unwrap();
    eventually("the leader is dead", || members(leader.pid()).unwrap().len() == 2);
    assert_eq!(end_group(leader.pid(), None, LONG).unwrap(), Ended::Terminated);
}

#[test]
fn a_group_that_is_gone_is_empty() {
    let leader = group("read line", 1);
    let pgid = leader.pid();
    drop(leader);
    assert!(!kill_group(pgid, Signal::TERM).unwrap());
    assert_eq!(end_group(pgid, None, Duration::MAX).unwrap(), Ended::AlreadyEmpty);
}
