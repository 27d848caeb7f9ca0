//! What a server logs, and that its last words are there.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::command::Shell;

/// Starts a server whose standard error is a pipe, and waits until it is ready.
fn serve(shell: &Shell, words: &[&str], variables: &[(&str, &str)]) -> Child {
    let words: Vec<&str> = ["serve"].iter().chain(words).copied().collect();
    let mut command = shell.command(&words);
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready "), "{line}");
    child
}

/// What it has said when it has ended, and its exit code, or the signal that ended it as a negative number.
fn ended(mut child: Child, signal: Option<Signal>) -> (String, i32) {
    if let Some(signal) = signal {
        kill_process(Pid::from_child(&child), signal).unwrap();
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    (said, status.code().or(status.signal().map(|signal| -signal)).unwrap())
}

#[test]
fn the_log_is_text_for_people_and_json_for_machines() {
    let shell = Shell::new();
    let (said, code) = ended(serve(&shell, &[], &[]), Some(Signal::TERM));
    assert_eq!(code, 0, "{said}");
    assert!(
        said.lines()
            .any(|line| line.contains(" info     lineshaft_server.server  the engine is open  home="))
    );
    assert!(said.contains("the server stops"), "what it says of its end is there: {said}");
    assert!(!said.contains('\x1b'));
    let (said, _) = ended(serve(&shell, &["--log-format", "json"], &[]), Some(Signal::TERM));
    let records: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records[0]["level"], "info");
    assert!(records.iter().any(|record| record["message"] == "the engine is open"));
}

#[test]
fn directives_of_before_are_read_and_what_cannot_be_is_refused() {
    let shell = Shell::new();
    for (directives, is_heard) in [
        ("warn,lineshaft_server=info", true),
        ("warn,lineshaft_server::server=info", true),
        ("lineshaft_store=debug", false),
    ] {
        let (said, _) = ended(serve(&shell, &[], &[("LINESHAFT_LOG", directives)]), Some(Signal::TERM));
        assert_eq!(said.contains("the engine is open"), is_heard, "{directives}: {said}");
    }
    let refused = shell.run(&["serve", "--log", "info,lineshaft_engine[turn{lsn=1}]=debug"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("spans cannot be named"), "{}", refused.err);
    assert!(refused.err.contains("hint: accepted: error, warning, info"), "{}", refused.err);
}

#[test]
fn a_file_takes_the_log_and_is_rotated() {
    let shell = Shell::new();
    let words = [
        "--log-file",
        "logs/server.log",
        "--log-file-size",
        "2KiB",
        "--log-file-keep",
        "2",
        "--log",
        "debug",
    ];
    let server = serve(&shell, &words, &[]);
    for _ in 0..40 {
        shell.out(&["status"]);
    }
    let (said, code) = ended(server, Some(Signal::TERM));
    assert_eq!((&*said, code), ("", 0));
    let directory = shell.directory().join("logs");
    let mut found: Vec<String> = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, ["server.log", "server.log.1", "server.log.2"]);
    assert!(found.iter().all(|name| fs::metadata(directory.join(name)).unwrap().len() <= 2_048));
    assert!(fs::read_to_string(directory.join("server.log")).unwrap().contains("the server stops"));
}

#[test]
fn the_log_of_a_server_on_demand_stays_small_and_keeps_what_goes_past_it() {
    let shell = Shell::new();
    let run = |words: &[&str]| {
        let mut command = shell.command(words);
        command.env("LINESHAFT_LOG", "debug").env("LINESHAFT_LOG_FILE_SIZE", "2KiB");
        let output = command.env("LINESHAFT_LOG_FILE_KEEP", "1").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["enqueue", "add"]);
    let status: serde_json::Value = serde_json::from_str(&run(&["status", "--json"])).unwrap();
    for _ in 0..40 {
        run(&["status"]);
    }
    let directory = shell.home().join("output");
    let size = |name: &str| fs::metadata(directory.join(name)).unwrap().len();
    assert!(size("server.log") <= 2_048 && size("server.log.1") <= 2_048);
    assert!(!directory.join("server.log.2").exists());
    let pid = status["pid"].as_u64().unwrap();
    // It follows within moments of the record that began the file.
    let (stderr, log) = (format!("/proc/{pid}/fd/2"), directory.join("server.log"));
    let until = Instant::now() + Duration::from_secs(20);
    while fs::read_link(&stderr).unwrap() != log && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::read_link(&stderr).unwrap(), log, "standard error is on the file that is current");
    writeln!(fs::OpenOptions::new().append(true).open(&stderr).unwrap(), "last words").unwrap();
    assert!(fs::read_to_string(&log).unwrap().contains("last words"));
}

/// The start made it the one before, whose place was taken by a full one since the server rotates its log itself.
#[test]
fn a_start_on_demand_leaves_the_full_logs_that_are_kept_where_they_are() {
    let shell = Shell::new();
    shell.out(&["enqueue", "add"]);
    shell.out(&["stop"]);
    let directory = shell.home().join("output");
    fs::write(directory.join("server.log"), "new\n".repeat(1 << 19)).unwrap();
    fs::write(directory.join("server.log.1"), "old\n").unwrap();
    let first =
        |name: &str| fs::read_to_string(directory.join(name)).unwrap().lines().next().unwrap().to_owned();
    shell.out(&["enqueue", "add"]);
    assert_eq!([first("server.log"), first("server.log.1")], ["new", "old"]);
    shell.out(&["stop"]);
    // One that is full when it is opened is rotated with the first record.
    let mut command = shell.command(&["enqueue", "add"]);
    assert!(command.env("LINESHAFT_LOG_FILE_SIZE", "1MiB").output().unwrap().status.success());
    assert_eq!([first("server.log.1"), first("server.log.2")], ["new", "old"]);
    assert!(first("server.log").contains(" info "), "it is a log of its own");
}

/// The server noticed, said so, and had its home made anew by that.
#[test]
fn a_home_that_is_removed_is_not_brought_back_by_its_log() {
    let shell = Shell::new();
    let mut command = shell.command(&["enqueue", "add"]);
    assert!(command.env("LINESHAFT_LOG", "debug").output().unwrap().status.success());
    let pid = shell.json(&["status"])["pid"].as_u64().unwrap();
    fs::remove_dir_all(shell.home()).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    // What is left of it until it is reaped has no program.
    while fs::read_link(format!("/proc/{pid}/exe")).is_ok() {
        assert!(Instant::now() < until, "the server of a removed home ends");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!shell.home().exists());
}

/// The journal cannot be written any more: the process ends, and says why before.
#[test]
fn why_the_engine_stops_is_said_before_the_process_ends() {
    for words in [&["--log-format", "json"][..], &[]] {
        let shell = Shell::new();
        let mut command = std::process::Command::new("/bin/sh");
        // The kernel's signal would end it before it knows.
        let script = r#"trap "" XFSZ; exec "$0" serve "$@""#;
        command.arg("-c").arg(script).arg(env!("CARGO_BIN_EXE_lineshaft")).args(words);
        command.current_dir(shell.directory()).env("LINESHAFT_URL", shell.home());
        let mut server = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready "), "{line}");
        let none = Rlimit { current: Some(0), maximum: None };
        prlimit(Some(Pid::from_child(&server)), Resource::Fsize, none).unwrap();
        let mut enqueue = shell.command(&["enqueue", "add", "1"]);
        let mut enqueue = enqueue.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let (said, code) = ended(server, None);
        // It waits for another server.
        enqueue.kill().and_then(|()| enqueue.wait()).unwrap();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("the engine stops"), "{said}");
        assert!(said.contains("the journal stops"), "{said}");
    }
}

/// What the pipe to standard error has no room for waits in the server; a signal that cannot be caught takes it.
#[test]
fn what_a_server_logged_is_written_when_it_crashes() {
    // One SIGSEGV that somebody sends, the standard library takes for a fault that comes again.
    for (signal, is_written) in [(Signal::ABORT, true), (Signal::ILL, true), (Signal::KILL, false)] {
        let shell = Shell::new();
        let server = serve(&shell, &["--log", "debug"], &[]);
        let bytes = fcntl_setpipe_size(server.stderr.as_ref().unwrap(), 4_096).unwrap();
        assert_eq!(bytes, 4_096);
        let count = 60;
        (0..count).for_each(|_| drop(shell.out(&["status"])));
        let (said, code) = ended(server, Some(signal));
        assert_eq!(code, -signal.as_raw(), "the signal ends it");
        let found = said.matches("a connection began").count();
        assert_eq!(found >= count, is_written, "{signal:?}: {found} of {count} in {} bytes", said.len());
    }
}
