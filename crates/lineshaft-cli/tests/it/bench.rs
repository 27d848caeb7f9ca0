//! `lineshaft bench` measures something and leaves nothing behind. What it measures is not looked at: a machine that
//! runs tests is busy.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use crate::command::{Ended, Shell, ended, processes_of};

const PATIENCE: Duration = Duration::from_secs(60);

/// Figures whose keys these are, as the document has them.
fn keys(figures: &[&str]) -> BTreeSet<String> {
    figures.iter().flat_map(|key| ["", "_min", "_max"].map(|end| format!("{key}{end}"))).collect()
}

fn document(path: &Path) -> serde_json::Map<String, Json> {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn bench(shell: &Shell, words: &[&str]) -> Ended {
    let mut command = shell.command(&[&["bench", "--quick"], words].concat());
    ended(command.env("PATH", "/nowhere").output().unwrap())
}

/// What is left in a directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_figure_comes_with_its_probe_in_a_flat_document_and_nothing_is_left() {
    let shell = Shell::new();
    let ended = bench(&shell, &["enqueue_1_per_s", "disk_empty_home_bytes", "--json", "figures.json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let document = document(&shell.directory().join("figures.json"));
    let figures = ["probe_fdatasync_per_s", "probe_wakeup_per_s", "enqueue_1_per_s", "disk_empty_home_bytes"];
    let expected = keys(&figures);
    assert_eq!(document.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for (key, value) in &document {
        assert!(value.as_f64().unwrap() > 0.0, "{key}: {value}");
    }
    let first: Vec<&str> = ended.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(first, [&["FIGURE"], &figures[..]].concat());
    assert_eq!(names(shell.directory()), BTreeSet::from(["figures.json".to_owned()]));
    assert_eq!(processes_of(shell.directory()), [""; 0]);
}

#[test]
fn without_python_its_figures_are_null_and_the_reason_is_said() {
    let shell = Shell::new();
    let figures = ["start_p50_us", "server_cpu_us_per_job", "cold_start_s", "child_kill_rerun_ms"];
    let ended = bench(&shell, &[&figures[..], &["--json", "-"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let mut document: serde_json::Map<String, Json> = serde_json::from_str(&ended.out).unwrap();
    let probes = keys(&[
        "probe_fdatasync_p50_us",
        "probe_fdatasync_p99_us",
        "probe_wakeup_p50_us",
        "probe_wakeup_p99_us",
    ]);
    let probes = probes.into_iter().map(|key| document.remove(&key).unwrap());
    assert!(probes.collect::<Vec<_>>().iter().all(|value| value.as_f64().unwrap() > 0.0));
    assert_eq!(document.keys().cloned().collect::<BTreeSet<_>>(), keys(&figures));
    assert!(document.values().all(Json::is_null), "{document:?}");
    assert!(ended.err.contains("left out: no Python interpreter with lineshaft"), "{}", ended.err);
}

/// The figures of ten minutes were lost to a path that could not be written.
#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_measured() {
    let shell = Shell::new();
    let ended = bench(&shell, &["enqueue_1_per_s", "--json", "nowhere/figures.json"]);
    assert!(
        ended.code == 1 && ended.err.starts_with("error: cannot write nowhere/figures.json"),
        "{ended:?}"
    );
}

#[test]
fn a_name_that_is_none_is_refused_and_all_are_listed() {
    let ended = bench(&Shell::new(), &["enqueue", "sped"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("there is no figure sped"), "{}", ended.err);
    assert!(ended.err.contains("there are: enqueue, start, drain"), "{}", ended.err);
}

/// Starts a bench, and gives it when a server of it is there.
fn bench_with_a_server(shell: &Shell) -> Child {
    let mut command = shell.command(&["bench", "enqueue_64_per_s"]);
    let mut bench = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(bench.stderr.take().unwrap()).lines();
    let mut said = lines.map(Result::unwrap).take_while(|line| !line.contains("round 1"));
    assert!(said.by_ref().count() > 1);
    let deadline = Instant::now() + PATIENCE;
    while !processes_of(shell.directory()).iter().any(|command| command.contains("serve")) {
        assert!(Instant::now() < deadline, "no server was started");
    }
    bench
}

fn wait_until_nothing_runs(directory: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !processes_of(directory).is_empty() {
        assert!(Instant::now() < deadline, "{:?} goes on", processes_of(directory));
    }
}

fn signal(bench: &Child, signal: Signal) {
    kill_process(Pid::from_raw(bench.id().cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn ctrl_c_ends_servers_and_removes_their_homes() {
    let shell = Shell::new();
    let mut bench = bench_with_a_server(&shell);
    signal(&bench, Signal::INT);
    assert_eq!(bench.wait().unwrap().code(), Some(130));
    assert_eq!(names(shell.directory()), BTreeSet::new());
    wait_until_nothing_runs(shell.directory());
}

/// Its server and workers went on for ever.
#[test]
fn kill_9_ends_what_the_bench_had_started() {
    let shell = Shell::new();
    let mut bench = bench_with_a_server(&shell);
    signal(&bench, Signal::KILL);
    bench.wait().unwrap();
    wait_until_nothing_runs(shell.directory());
}

#[test]
fn a_soak_counts_every_job_and_looks_at_nothing_else_for_long() {
    let shell = Shell::new();
    let ended = bench(&shell, &["soak", "--jobs", "20k", "--json", "-"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let document: serde_json::Map<String, Json> = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(document["soak_lost_jobs"], 0, "{document:?}");
    assert!(
        document["soak_jobs"].as_u64().unwrap() > 20_000,
        "those of the caller are among them: {document:?}"
    );
    assert_eq!(names(shell.directory()), BTreeSet::new());
}

#[test]
fn a_soak_that_is_stopped_says_what_it_has_and_leaves_nothing() {
    let shell = Shell::new();
    let mut command =
        shell.command(&["bench", "soak", "--quick", "--jobs", "1000M", "--json", "figures.json"]);
    let mut bench = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(bench.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.contains("made jobs ended")));
    signal(&bench, Signal::INT);
    let rest: Vec<String> = said.collect();
    assert!(rest.last().is_some_and(|line| line.contains("a signal ended it")), "{rest:?}");
    let ended = bench.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&ended.stdout).contains("soak_jobs"));
    let document = document(&shell.directory().join("figures.json"));
    assert!(
        document["soak_jobs"].as_u64().unwrap() > 0 && document["soak_lost_jobs"].is_null(),
        "{document:?}"
    );
    assert_eq!(names(shell.directory()), BTreeSet::from(["figures.json".to_owned()]));
    assert_eq!(processes_of(shell.directory()), [""; 0]);
}
