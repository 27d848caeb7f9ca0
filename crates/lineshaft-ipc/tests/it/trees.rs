//! Ending what a process started.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lineshaft_ipc::group::{Ended, members};
use lineshaft_ipc::process::ProcessId;
use lineshaft_ipc::tree::{descendants, end_trees};

use crate::support::{Guard, eventually, sleeper};

const LONG: Duration = Duration::from_secs(10);

/// A process of this process's own group that runs `script`, once it has started `count` others. They are found by the
/// pids that each of them is told to write.
fn tree(script: &str, count: usize) -> (Guard, Vec<ProcessId>) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(&directory).stdin(Stdio::piped());
    let root = Guard(command.spawn().unwrap());
    let mut processes = Vec::new();
    eventually("the tree is complete", || {
        let names = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name());
        let pids = names.map(|name| name.to_str().unwrap().parse().unwrap());
        processes = pids.filter_map(|pid| ProcessId::of(pid).ok()).collect();
        processes.len() >= count
    });
    processes.push(ProcessId::of(root.pid()).unwrap());
    (root, processes)
}

/// Starts a `sleep` whose pid is written.
const SLEEP: &str = "(sleep 1000 & : > $!; wait)";

#[test]
fn what_the_started_started_ends_too_and_their_siblings_live_on() {
    let other = sleeper();
    let (root, processes) = tree(&format!("{SLEEP} & (sh -c '{SLEEP}' & wait) & wait"), 2);
    let began = Instant::now();
    let id = ProcessId::of(root.pid()).unwrap();
    assert_eq!(end_trees(&[id], LONG).unwrap(), Ended::Terminated);
    assert!(began.elapsed() < LONG / 2, "it does not sit out the grace");
    assert!(processes.iter().all(|process| !process.is_alive()));
    assert!(ProcessId::of(other.pid()).is_ok());
    assert_eq!(end_trees(&[id], LONG).unwrap(), Ended::AlreadyEmpty);
}

#[test]
fn descendants_are_found_in_sessions_of_their_own() {
    let other = sleeper();
    let script = format!("{SLEEP} & setsid sh -c '{SLEEP} & wait' & wait");
    let (root, processes) = tree(&script, 2);
    let id = ProcessId::of(root.pid()).unwrap();
    let found = descendants(id).unwrap();
    let (started, itself) = processes.split_at(processes.len() - 1);
    assert_eq!(itself, [id]);
    assert!(started.iter().all(|process| found.contains(process)), "{started:?} {found:?}");
    assert!(!found.contains(&id) && !found.contains(&ProcessId::of(other.pid()).unwrap()));
    assert_eq!(end_trees(&[id], LONG).unwrap(), Ended::Terminated);
    assert!(found.iter().all(|process| !process.is_alive()));
    assert_eq!(descendants(id).unwrap(), []);
}

#[test]
fn what_ignores_sigterm_is_killed_after_the_grace() {
    let (root, processes) = tree(&format!("trap '' TERM; {SLEEP} & {SLEEP} & wait"), 2);
    let id = ProcessId::of(root.pid()).unwrap();
    assert_eq!(end_trees(&[id], Duration::from_millis(100)).unwrap(), Ended::Killed);
    assert!(processes.iter().all(|process| !process.is_alive()));
}

#[test]
fn orphans_in_a_group_that_a_known_one_leads_end_with_it() {
    let script = format!("exec setsid sh -c 'sh -c \"{SLEEP} &\"; read line'");
    let (root, processes) = tree(&script.replace("$!", "\\$!"), 1);
    let id = ProcessId::of(root.pid()).unwrap();
    eventually("it leads a group", || members(root.pid()).unwrap().len() >= 3);
    assert_eq!(end_trees(&[id], LONG).unwrap(), Ended::Terminated);
    assert!(processes.iter().all(|process| !process.is_alive()));
}

#[test]
fn a_process_that_took_over_a_pid_is_left_alone() {
    let other = sleeper();
    let id = ProcessId::of(other.pid()).unwrap();
    let before = ProcessId { start_time: id.start_time - 1, ..id };
    assert_eq!(end_trees(&[before], LONG).unwrap(), Ended::AlreadyEmpty);
    assert!(id.is_alive());
}
