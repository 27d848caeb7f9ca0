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

    let looked = shell.run(&["job", "wait", &ids[0], &ids[1], "--timeout", "0"]);
    let expected = (7, format!("{} cancelled\n", ids[0]), "error: 1 job did not end within 0s\n".to_owned());
    assert_eq!((looked.code, looked.out, looked.err), expected);
    assert_eq!(shell.run(&["job", "result", &ids[0], "--wait=0"]).code, 5);

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

#[test]
fn the_flag_for_colour_wins_over_variables_for_failures_and_mistakes_alike() {
    let shell = Shell::new();
    let talk = |words: &[&str], name: &str| ended(shell.command(words).env(name, "1").output().unwrap()).err;
    for words in [&["status", "--home", "elsewhere"][..], &["stauts"]] {
        let always = talk(&[words, &["--color", "always"]].concat(), "NO_COLOR");
        assert!(always.starts_with("\u{1b}[1;31merror\u{1b}[0m"), "{always:?}");
        let never = talk(&[words, &["--color=never"]].concat(), "CLICOLOR_FORCE");
        assert!(never.starts_with("error") && !never.contains('\u{1b}'), "{never:?}");
    }
}

#[test]
fn nothing_is_coloured_where_nobody_looks() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "add"]);
    for words in [
        &["--help"][..],
        &["job", "list"],
        &["job", "show", &id],
        &["status"],
        &["queue", "list"],
        &["config", "show"],
        &["explain", "7"],
        &["job", "lst"],
        &["job", "show", "0199b1c2-7a5e-7800-8000-000000000001"],
    ] {
        let ended = shell.run(words);
        assert!(!ended.out.contains('\u{1b}') && !ended.err.contains('\u{1b}'), "{words:?}: {ended:?}");
    }
}

#[test]
fn output_that_cannot_be_written_is_said() {
    let shell = Shell::new();
    shell.out(&["enqueue", "add"]);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ended = ended(shell.command(&["job", "list"]).stdout(full).output().unwrap());
    let expected = "error: cannot write the output: No space left on device (os error 28)\n";
    assert_eq!((ended.code, &*ended.err), (1, expected));
}
