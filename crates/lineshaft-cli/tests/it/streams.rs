//! Lines of JSON in and out, and readers that go away.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use serde_json::{Value as Json, json};

use crate::command::{Ended, Shell, ended};

pub(crate) fn feed(shell: &Shell, words: &[&str], input: &str) -> Ended {
    let mut child = shell
        .command(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    ended(child.wait_with_output().unwrap())
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn jobs_are_made_of_lines_and_listed_as_lines() {
    let shell = Shell::new();
    let line = |n| json!({ "task": "add", "args": [n, "x"], "kwargs": { "c": null }, "priority": "high", "tags": ["t"] });
    let input = (0..1_500).map(|n| line(n).to_string()).collect::<Vec<_>>().join("\n");
    let made = feed(&shell, &["enqueue", "--jsonl", "--queue", "mail"], &input);
    assert_eq!(made.code, 0, "{}", made.err);
    let ids: Vec<Json> = lines(&made.out).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids.len(), 1_500);
    let listed = lines(&shell.out(&["job", "list", "--jsonl", "--limit", "2000"]));
    assert_eq!(listed.len(), 1_500);
    let first = listed.iter().find(|job| job["id"] == ids[0]).unwrap();
    let expected = (&json!("mail"), &json!(2), &json!(["t"]));
    assert_eq!((&first["queue"], &first["priority"], &first["tags"]), expected);
    let shown = shell.json(&["job", "show", ids[0].as_str().unwrap()]);
    assert_eq!(shown["arguments"], "(0, 'x', c=None)");
}

/// Lines with the same key used to be refused if they happened to be read together.
#[test]
fn a_line_may_hold_every_option_of_a_job() {
    let shell = Shell::new();
    let line = json!({
        "task": "add", "run_after": "2100-01-01T00:00Z", "expires": "2100-01-02T00:00Z",
        "deadline": "2100-01-03T00:00Z", "unique": "k", "unique_while": "queued", "unique_period": 60,
        "metadata": "note", "retries": 2, "timeout": null, "retry_first": "2s", "retry_cap": 60,
        "delivery": "at_most_once", "result": false, "on_failure": "tell",
    });
    let made = feed(&shell, &["enqueue", "--jsonl"], &format!("{line}\n{line}\n"));
    assert_eq!(made.code, 0, "{made:?}");
    let made = lines(&made.out);
    assert_eq!(
        (&made[0]["id"], &made[0]["new"], &made[1]["new"]),
        (&made[1]["id"], &json!(true), &json!(false))
    );
    let job = shell.json(&["job", "show", made[0]["id"].as_str().unwrap()]);
    assert_eq!(
        (&job["expires_at"], &job["metadata"], &job["max_attempts"]),
        (&json!("2100-01-02T00:00:00.000Z"), &json!("note"), &json!(3))
    );
}

#[test]
fn a_line_without_a_handler_overrides_that_of_the_command() {
    let shell = Shell::new();
    let input = "{\"task\": \"add\"}\n{\"task\": \"add\", \"on_failure\": null}\n";
    let made = feed(&shell, &["enqueue", "--jsonl", "--on-failure", "tell", "--expires", "0"], input);
    let ids = lines(&made.out);
    let handled =
        |at: usize| shell.json(&["job", "show", ids[at]["id"].as_str().unwrap()])["handled_by"].clone();
    let handler = shell.json(&["job", "show", handled(0).as_str().unwrap()]);
    assert_eq!((&handler["task"], &handler["failure_of"]), (&json!("tell"), &ids[0]["id"]));
    assert_eq!(handled(1), json!(null));
}

#[test]
fn a_line_is_answered_before_the_next_one_is_written() {
    let shell = Shell::new();
    let mut child =
        shell.command(&["enqueue", "--jsonl"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for _ in 0..2 {
        input.write_all(b"{\"task\": \"add\", \"idempotency_key\": \"k\"}\n").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert!(line.starts_with("{\"id\":"), "{line}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_line_that_is_wrong_is_named_and_the_lines_before_it_are_jobs() {
    let shell = Shell::new();
    for (line, expected) in [
        ("{", "line 2 is not JSON: "),
        ("[]", "line 2 is not a JSON object"),
        ("{}", "line 2 has no `task`"),
        ("{\"task\": \"a\", \"kwarg\": {}}", "line 2 has an unknown key `kwarg`: did you mean `kwargs`?"),
        ("{\"task\": \"a\", \"args\": 1}", "line 2 has `args` that are not an array"),
        ("{\"task\": \"a\", \"priority\": 10}", "line 2 has `priority` 10; accepted: 1 (first) to 9"),
        (
            "{\"task\": \"a\", \"timeout\": \"soon\"}",
            "line 2 has `timeout` \"soon\", which is not a duration",
        ),
        (
            "{\"task\": \"a\", \"expires\": \"2026-01-31\"}",
            "line 2 has `expires` \"2026-01-31\"; it names no zone",
        ),
        (
            "{\"task\": \"a\", \"unique_while\": \"x\"}",
            "line 2 has `unique_while` \"x\"; accepted: unfinished, queued",
        ),
        ("{\"task\": \"a\", \"delivery\": \"once\"}", "accepted: at_least_once, at_most_once"),
        ("{\"task\": \"a\", \"result\": 0}", "line 2 has `result` 0, which is not true or false"),
        (
            "{\"task\": \"a\", \"on_failure\": \"a b\"}",
            "line 2 has `on_failure` \"a b\"; accepted: 1 to 255 bytes",
        ),
        ("{\"task\": \"a\", \"retries\": -1}", "line 2 has `retries` that are not a number below 10,000"),
    ] {
        let made = feed(&shell, &["enqueue", "--jsonl"], &format!("{{\"task\": \"a\"}}\n{line}\n"));
        assert_eq!((made.code, lines(&made.out).len()), (2, 1), "{line}: {}", made.err);
        assert!(made.err.contains(expected), "{line}: {}", made.err);
        assert!(
            made.err.contains("; the lines before it are jobs\nhint: a line is an object: {\"task\""),
            "{}",
            made.err
        );
    }
}

#[test]
fn no_input_makes_no_job_and_no_home() {
    let shell = Shell::new();
    let made = feed(&shell, &["enqueue", "--jsonl"], "\n\n");
    assert_eq!((made.code, &*made.out, &*made.err), (0, "", ""));
    assert!(!shell.home().exists());
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let shell = Shell::new();
    let input = "{\"task\": \"add\"}\n".repeat(1_000);
    feed(&shell, &["enqueue", "--jsonl"], &input);
    let mut child = shell
        .command(&["job", "list", "--limit", "1000", "--jsonl"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More than a pipe holds is left unread.
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap()), (Some(0), String::new()));
}

#[test]
fn queues_are_listed_as_lines_too() {
    let shell = Shell::new();
    shell.out(&["enqueue", "add", "--queue", "a"]);
    shell.out(&["enqueue", "add", "--queue", "b"]);
    let names: Vec<Json> =
        lines(&shell.out(&["queue", "list", "--jsonl"])).iter().map(|line| line["name"].clone()).collect();
    assert_eq!(names, ["a", "b"]);
}
