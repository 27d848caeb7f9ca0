//! Words that nobody means well: each ends with a code and a line or two, never with a panic.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::command::{Ended, Shell, ended};

const ID: &str = "0199b1c2-7a5e-7800-8000-000000000001";

/// Every command with one word left open.
const PLACES: &[&[&str]] = &[
    &["?"],
    &["--home", "?", "status"],
    &["--color", "?", "status"],
    &["serve", "--listen", "?"],
    &["serve", "--durability", "?"],
    &["worker", "?"],
    &["worker", "app", "--processes", "?"],
    &["worker", "app", "--slots", "?"],
    &["worker", "app", "--kind", "?"],
    &["worker", "app", "--queues", "?"],
    &["worker", "app", "--grace", "?"],
    &["worker", "app", "--python", "?"],
    &["dev", "?"],
    &["status", "--wait", "?"],
    &["stop", "?"],
    &["enqueue", "?"],
    &["enqueue", "add", "?"],
    &["enqueue", "add", "--kwargs", "?"],
    &["enqueue", "add", "--queue", "?"],
    &["enqueue", "add", "--priority", "?"],
    &["enqueue", "add", "--retries", "?"],
    &["enqueue", "add", "--timeout", "?"],
    &["enqueue", "add", "--retry-first", "?"],
    &["enqueue", "add", "--retry-cap", "?"],
    &["enqueue", "add", "--delivery", "?"],
    &["enqueue", "add", "--on-failure", "?"],
    &["enqueue", "add", "--run-after", "?"],
    &["enqueue", "add", "--expires", "?"],
    &["enqueue", "add", "--deadline", "?"],
    &["enqueue", "add", "--unique", "?"],
    &["enqueue", "add", "--unique", "k", "--unique-period", "?"],
    &["enqueue", "add", "--idempotency-key", "?"],
    &["enqueue", "add", "--tag", "?"],
    &["enqueue", "add", "--metadata", "?"],
    &["job", "?"],
    &["job", "list", "--state", "?"],
    &["job", "list", "--queue", "?"],
    &["job", "list", "--task", "?"],
    &["job", "list", "--tag", "?"],
    &["job", "list", "--since", "?"],
    &["job", "list", "--until", "?"],
    &["job", "list", "--limit", "?"],
    &["job", "list", "--cursor", "?"],
    &["job", "show", "?"],
    &["job", "result", "?"],
    &["job", "wait", "?"],
    &["job", "wait", ID, "--timeout", "?"],
    &["job", "output", "?"],
    &["job", "output", ID, "--attempt", "?"],
    &["job", "cancel", "?"],
    &["job", "retry", "?"],
    &["job", "delete", "?"],
    &["queue", "?"],
    &["queue", "pause", "?"],
    &["queue", "resume", "?"],
    &["queue", "purge", "?"],
    &["config", "?"],
    &["explain", "?"],
    &["completions", "?"],
];

fn check(words: &[&OsStr], ended: &Ended) {
    assert!((0..=8).contains(&ended.code), "{words:?}: {ended:?}");
    assert!(!ended.err.contains("panicked") && !ended.err.contains("Traceback"), "{words:?}: {ended:?}");
    assert!(!ended.err.contains('\u{1b}'), "{words:?}: {ended:?}");
    if ended.code == 2 {
        let said =
            ended.err.lines().filter(|line| line.starts_with("error") || line.starts_with("hint")).count();
        assert!(said <= 2 && ended.err.starts_with("error"), "{words:?}: {ended:?}");
        assert!(ended.err.lines().count() <= 3, "{words:?}: {ended:?}");
    }
}

/// Puts `word` into every place of every command.
fn try_everywhere(word: &OsStr) {
    let shell = Shell::new();
    for place in PLACES {
        let with = |part: &&str| if *part == "?" { word.to_owned() } else { OsString::from(part) };
        let words: Vec<OsString> = place.iter().map(with).collect();
        let words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
        let mut command = shell.command(&[]);
        // Nothing that happens to make sense may run for long: no interpreter, and a server only on demand.
        command.args(&words).env("PATH", "/nowhere").stdin(std::process::Stdio::null());
        check(&words, &ended_lossy(command.output().unwrap()));
    }
}

fn ended_lossy(output: std::process::Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn words_that_are_no_text() {
    try_everywhere(OsStr::from_bytes(b"a\xff\xfe"));
}

#[test]
fn words_with_control_characters() {
    try_everywhere(OsStr::new("a\nb\u{1b}[2J\tc"));
}

#[test]
fn words_without_letters() {
    try_everywhere(OsStr::new(""));
}

#[test]
fn numbers_beyond_every_bound() {
    try_everywhere(OsStr::new("99999999999999999999999999999999999999999"));
}

#[test]
fn words_beyond_every_length() {
    try_everywhere(OsStr::new(&"n".repeat(70_000)));
}

#[test]
fn words_that_look_like_options() {
    try_everywhere(OsStr::new("--nothing-of-this-name"));
    try_everywhere(OsStr::new("-"));
}

#[test]
fn files_with_values_of_another_type_are_named_with_their_line() {
    let shell = Shell::new();
    let path = shell.directory().join("lineshaft.toml");
    for key in [
        "url",
        "processes",
        "slots",
        "kind",
        "queues",
        "grace",
        "python",
        "listen",
        "durability",
        "history_bytes",
        "memory_bytes",
        "cache_bytes",
        "log",
    ] {
        for value in
            ["{}", "[[1]]", "true", "-1", "99999999999999999999", "2026-01-31", "nan", "\"\"", "[]", "[\"\"]"]
        {
            fs::write(&path, format!("# first\n{key} = {value}\n")).unwrap();
            let mut command = shell.command(&["config", "show"]);
            let ended = ended(command.env_remove("LINESHAFT_URL").output().unwrap());
            let expected = format!("error[LS0024]: {}:2: `{key}` in the file is {value}: ", path.display());
            assert_eq!(ended.code, 2, "{key} = {value}: {ended:?}");
            assert!(ended.err.starts_with(&expected), "{key} = {value}: {ended:?}");
            assert!(ended.err.lines().count() == 2 && ended.err.contains("\nhint: accepted: "), "{ended:?}");
        }
    }
}

#[test]
fn what_a_job_says_about_itself_stays_on_its_line() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "add", "\"a\\nb\\u001b[2J\"", "--metadata", "x\n\u{1b}[2Jy"]);
    let shown = shell.out(&["job", "show", &id]);
    assert!(shown.contains("\nmetadata   x\\n\\x1b[2Jy"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}
