//! `lineshaft torture` kills for some seconds, finds nothing broken and leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::command::{Shell, ended, processes_of};

fn names(shell: &Shell) -> Vec<String> {
    let entries = fs::read_dir(shell.directory()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_is_killed_for_some_seconds_keeps_its_promises() {
    let shell = Shell::new();
    let ended = shell.run(&["torture", "--minutes", "0.15", "--seed", "7", "--json", "came.json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let document = fs::read_to_string(shell.directory().join("came.json")).unwrap();
    let document: Json = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["seed"], &document["violations"]), (&7.into(), &Json::Array(Vec::new())));
    let kills = document["kills"].as_object().unwrap();
    assert!(kills.values().map(|count| count.as_u64().unwrap()).sum::<u64>() >= 5, "{document}");
    let number = |key: &str| document[key].as_u64().unwrap();
    assert!(number("completed") > 100 && number("acknowledged") >= number("completed"), "{document}");
    let expected = format!(
        "acknowledged={} completed={} rerun={} violations=0",
        number("acknowledged"),
        number("completed"),
        number("rerun")
    );
    assert_eq!(ended.out.lines().last(), Some(&*expected));
    assert!(
        ended.err.contains("seed 7: kills child, worker, client, server, group for 9 s"),
        "{}",
        ended.err
    );
    // Not everybody may mount a small disk.
    assert_eq!(
        number("fills") == 0,
        ended.err.contains("no home is on a full disk"),
        "{document}: {}",
        ended.err
    );
    assert_eq!(names(&shell), ["came.json"]);
    assert_eq!(processes_of(shell.directory()), [""; 0]);
}

#[test]
fn a_torture_that_is_stopped_says_what_it_has_and_leaves_nothing() {
    let shell = Shell::new();
    let mut command = shell.command(&["torture", "--minutes", "10", "--kill", "child"]);
    let mut torture = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(torture.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("10 s: ") && line.contains(" kills (child ")));
    let pid = rustix::process::Pid::from_raw(torture.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let rest: Vec<String> = said.collect();
    assert!(rest.last().is_some_and(|line| line.contains("a signal ended it before its time")), "{rest:?}");
    let ended = torture.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let out = String::from_utf8(ended.stdout).unwrap();
    assert!(out.trim_end().ends_with("violations=0"), "{out}");
    assert_eq!(names(&shell), [""; 0]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !processes_of(shell.directory()).is_empty() {
        assert!(Instant::now() < deadline, "{:?} goes on", processes_of(shell.directory()));
    }
}

/// The ledger says so of a job that nobody made, as it would of one that was lost.
#[test]
fn a_job_that_was_acknowledged_and_is_not_there_is_found_and_everything_is_kept() {
    let shell = Shell::new();
    let mut command = shell.command(&["torture", "--minutes", "0.1", "--kill", "child"]);
    let torture = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let room = shell.directory().join(format!("lineshaft-torture-{}", torture.id()));
    let (ledger, deadline) = (room.join("home-1.ledger/1"), Instant::now() + Duration::from_secs(60));
    while !ledger.exists() {
        assert!(Instant::now() < deadline, "no client began");
    }
    let mut ledger = fs::File::options().append(true).open(ledger).unwrap();
    ledger.write_all(b"acknowledged completes.1.999999 0199b1c2-7a5e-7800-8000-000000000001\n").unwrap();
    let ended = ended(torture.wait_with_output().unwrap());
    assert_eq!(ended.code, 1, "{ended:?}");
    let lost = "lost: job 0199b1c2-7a5e-7800-8000-000000000001: completes.1.999999 was acknowledged, and is not there\n";
    assert!(ended.out.contains(lost) && ended.out.trim_end().ends_with("violations=1"), "{}", ended.out);
    let hint = format!("home, ledger and effects are in {}; please report them", room.display());
    assert!(
        ended.err.contains("error: a promise was broken\n") && ended.err.contains(&hint),
        "{}",
        ended.err
    );
    assert!(room.join("home-1/FORMAT").exists() && processes_of(shell.directory()).is_empty());
}

#[test]
fn a_torture_that_is_itself_killed_leaves_no_process() {
    let shell = Shell::new();
    let mut torture = shell.command(&["torture", "--minutes", "10"]).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !processes_of(shell.directory()).iter().any(|command| command.contains("--child-of")) {
        assert!(Instant::now() < deadline, "no child was started");
    }
    torture.kill().unwrap();
    torture.wait().unwrap();
    while !processes_of(shell.directory()).is_empty() {
        assert!(Instant::now() < deadline, "{:?} goes on", processes_of(shell.directory()));
    }
}

#[test]
fn what_cannot_be_killed_or_is_no_time_is_refused() {
    let check = |words: &[&str], expected: &str| {
        let ended = Shell::new().run(&[&["torture"], words].concat());
        assert!(ended.code == 2 && ended.err.contains(expected), "{words:?}: {ended:?}");
    };
    check(&["--kill", "child,cat"], "hint: accepted: child, worker, client, server, group");
    check(&["--minutes", "0"], "accepted: a number of minutes from 0.05 to 10,080");
}
