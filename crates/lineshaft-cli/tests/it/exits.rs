//! How commands end.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::command::{Shell, ended};

#[test]
fn a_wait_ends_with_the_state_of_the_jobs() {
    let shell = Shell::new();
    let ids: Vec<String> = (0..2).map(|_| shell.out(&["enqueue", "add"])).collect();
    let late = shell.run(&["job", "wait", &ids[0], &ids[1], "--timeout", "50ms"]);
    assert_eq!((late.code, &*late.err), (7, "error: 2 jobs did not end within 50ms\n"));

    shell.out(&["job", "cancel", &ids[0]]);
    let cancelled = shell.run(&["job", "wait", &ids[0]]);
    let expected = (5, format!("{} cancelled\n", ids[0]), "error: 1 job did not complete\n".to_owned());
    assert_eq!((cancelled.code, cancelled.out, cancelled.err), expected);

    let unknown = "0199b1c2-7a5e-7800-8000-000000000001";
    let missing = shell.run(&["job", "wait", unknown, "--jsonl"]);
    let expected = format!("{{\"id\":\"{unknown}\",\"state\":\"missing\"}}\n");
    assert_eq!((missing.code, missing.out), (6, expected));
}

#[test]
fn signals_end_a_command_that_waits_with_their_codes() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "add"]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let child = shell
            .command(&["job", "result", &id, "--wait"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Once it says what it waits for, its handlers are in place.
        thread::sleep(Duration::from_millis(500));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(ended(child.wait_with_output().unwrap()).code, code);
    }
}

#[test]
fn no_arguments_are_a_usage_error_with_help() {
    let shell = Shell::new();
    let ended = shell.run(&[]);
    assert_eq!((ended.code, &*ended.out), (2, ""));
    assert!(ended.err.contains("Usage: lineshaft"), "{}", ended.err);
    assert_eq!(shell.run(&["--help"]).code, 0);
}

#[test]
fn colour_is_forced_and_refused_by_variables() {
    let shell = Shell::new();
    let status = |name: &str, value: &str| {
        let mut command = shell.command(&["status", "--home", "elsewhere"]);
        ended(command.env("CLICOLOR_FORCE", "1").env(name, value).output().unwrap()).err
    };
    assert!(status("X", "").contains("\u{1b}[1;31merror"));
    assert!(status("NO_COLOR", "1").starts_with("error[LS"));
}
