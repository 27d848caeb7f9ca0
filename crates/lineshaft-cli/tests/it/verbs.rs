//! Jobs and queues from the command line.

use crate::command::{Shell, is_id};

const UNKNOWN: &str = "0199b1c2-7a5e-7800-8000-000000000001";

#[test]
fn a_job_is_made_shown_cancelled_repeated_and_deleted() {
    let shell = Shell::new();
    let words = [
        "enqueue",
        "add",
        "1",
        "--kwargs",
        "{\"b\": [2]}",
        "--queue",
        "mail",
        "--tag",
        "x",
        "--retries",
        "2",
    ];
    let id = shell.out(&words);
    let job = shell.json(&["job", "show", &id]);
    assert_eq!(job["task"], "add");
    assert_eq!(
        (&job["queue"], &job["tags"][0], &job["max_attempts"]),
        (&"mail".into(), &"x".into(), &3.into())
    );
    assert!(job["arguments"].as_str().unwrap().contains("b=[2]"), "{job}");

    assert_eq!(shell.out(&["job", "cancel", &id]), format!("{id} is cancelled"));
    let repeated = shell.out(&["job", "retry", &id]);
    let (new, rest) = repeated.split_at(36);
    assert!(is_id(new) && rest == format!(" repeats {id}"), "{repeated}");
    assert_eq!(shell.out(&["job", "delete", &id]), format!("{id} is deleted"));
    assert_eq!(shell.run(&["job", "show", &id]).code, 6);
}

#[test]
fn lists_are_filtered_and_go_on_at_the_cursor() {
    let shell = Shell::new();
    for task in ["a", "b", "a", "a"] {
        shell.out(&["enqueue", task]);
    }
    let first = shell.run(&["job", "list", "--task", "a", "--limit", "2"]);
    assert_eq!(first.out.lines().count(), 3, "{first:?}");
    assert!(first.out.starts_with("ID                                    STATE"), "{first:?}");
    let cursor = first.err.trim_end().strip_prefix("more follow: --cursor ").unwrap();
    let rest = shell.json(&["job", "list", "--task", "a", "--limit", "2", "--cursor", cursor]);
    assert_eq!(rest["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(shell.json(&["job", "list", "--state", "completed"])["jobs"], serde_json::json!([]));
}

#[test]
fn results_say_why_there_is_none() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "add"]);
    let waiting = shell.run(&["job", "result", &id]);
    assert_eq!(waiting.code, 1);
    assert_eq!(
        waiting.err,
        format!("error: job {id} has not ended: it is available\nhint: --wait waits for the end\n")
    );

    let late = shell.run(&["job", "result", &id, "--wait=50ms"]);
    assert_eq!(late.code, 7, "{late:?}");
    assert!(late.err.contains("did not end within 50ms"), "{late:?}");

    shell.out(&["job", "cancel", &id]);
    let cancelled = shell.run(&["job", "result", &id]);
    assert_eq!((cancelled.code, &*cancelled.out), (5, ""));
    assert!(cancelled.err.starts_with(&format!("error: job {id} (add) was cancelled")), "{cancelled:?}");
    assert_eq!(shell.run(&["job", "result", UNKNOWN]).code, 6);
}

#[test]
fn what_a_waiting_job_lacks_is_said() {
    let shell = Shell::new();
    let ended = shell.run(&["enqueue", "shop.send", "--wait=2500ms"]);
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.err.contains("waiting: a worker"), "{ended:?}");
}

#[test]
fn an_idempotency_key_gives_the_same_job() {
    let shell = Shell::new();
    let words = ["enqueue", "add", "--idempotency-key", "order-7"];
    let (first, second) = (shell.json(&words), shell.json(&words));
    assert_eq!(first["id"], second["id"]);
    assert_eq!((&first["new"], &second["new"]), (&true.into(), &false.into()));
}

#[test]
fn every_option_of_a_job_can_be_given() {
    let shell = Shell::new();
    let id = shell.out(&[
        "enqueue",
        "add",
        "--run-after",
        "2100-01-01T00:00Z",
        "--expires",
        "2100-01-02T00:00:00Z",
        "--deadline",
        "2100-01-03 01:00+01:00",
        "--priority",
        "low",
        "--tags",
        "x",
        "--tag",
        "y",
        "--metadata",
        "of order 7",
        "--unique",
        "order-7",
    ]);
    let job = shell.json(&["job", "show", &id]);
    for (key, expected) in [
        ("scheduled_at", "2100-01-01T00:00:00.000Z"),
        ("expires_at", "2100-01-02T00:00:00.000Z"),
        ("deadline_at", "2100-01-03T00:00:00.000Z"),
        ("metadata", "of order 7"),
        ("state", "scheduled"),
    ] {
        assert_eq!(job[key], expected, "{key}");
    }
    assert_eq!((&job["priority"], &job["tags"]), (&8.into(), &serde_json::json!(["x", "y"])));
    let shown = shell.out(&["job", "show", &id]);
    assert!(shown.contains("\nwaits for  its time, in "), "{shown}");
    assert!(shown.contains("(2100-01-01T00:00:00.000Z)\n"), "{shown}");
}

#[test]
fn a_unique_key_counts_for_its_task_while_it_is_said_to() {
    let shell = Shell::new();
    let make = |words: &[&str]| shell.json(&[&["enqueue"], words].concat());
    let first = make(&["send", "--unique", "user-7"]);
    let second = make(&["send", "--unique", "user-7", "--run-after", "1h"]);
    assert_eq!((&second["id"], &second["new"]), (&first["id"], &false.into()));
    assert_eq!(make(&["send", "--unique", "user-8"])["new"], true);
    assert_eq!(make(&["other", "--unique", "user-7"])["new"], true, "another task has keys of its own");

    shell.out(&["job", "cancel", first["id"].as_str().unwrap()]);
    let third = make(&["send", "--unique", "user-7", "--unique-period", "1h"]);
    assert_eq!(third["new"], true);
    shell.out(&["job", "cancel", third["id"].as_str().unwrap()]);
    assert_eq!(make(&["send", "--unique", "user-7"])["new"], false, "the period is not over");
    let alone = shell.run(&["enqueue", "send", "--unique-while", "queued"]);
    assert_eq!(alone.code, 2, "{alone:?}");
}

#[test]
fn queues_are_paused_resumed_and_purged_only_when_confirmed() {
    let shell = Shell::new();
    shell.out(&["enqueue", "add"]);
    shell.out(&["queue", "pause", "default"]);
    let expected = "\
QUEUE    IS      AVAILABLE  PARKED  RUNNING  SCHEDULED  RETRYABLE
default  paused  1          0       0        0          0";
    assert_eq!(shell.out(&["queue", "list"]), expected);
    shell.out(&["queue", "resume", "default"]);

    let unasked = shell.run(&["queue", "purge", "default"]);
    assert_eq!(unasked.code, 3);
    let expected = "error: nobody was asked whether to cancel 1 job in queue default\n\
                    hint: --yes says so where there is no terminal\n";
    assert_eq!((unasked.out, &*unasked.err), (String::new(), expected));
    let purged = shell.json(&["queue", "purge", "default", "--yes"]);
    assert_eq!(purged, serde_json::json!({ "queue": "default", "verb": "purge", "jobs": 1 }));
    let again = shell.run(&["queue", "purge", "default"]);
    assert_eq!(again.code, 0, "nothing is left to ask about: {again:?}");
    assert!(again.err.ends_with("queue default has no jobs that wait\n"), "{again:?}");
}

#[test]
fn mistakes_are_usage_errors_that_say_what_is_accepted() {
    let shell = Shell::new();
    for (words, expected) in [
        (&["enqueue", "add", "a.png"][..], "hint: text needs quotes of its own: '\"a.png\"'"),
        (&["enqueue", "add", "--kwargs", "[1]"], "option `--kwargs`: \"[1]\" is not a JSON object"),
        (&["status", "--home", "postgres://u:secret@db/x"], "postgres:// is not built yet"),
        (&["stauts"], "a similar subcommand exists: 'status'"),
        (&["job", "show", "7"], "is not a job id"),
        (&["enqueue", "add", "--priority", "urgent"], "1 (first) to 9, high, normal or low"),
    ] {
        let ended = shell.run(words);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{words:?}: {}", ended.err);
        assert!(ended.err.contains(expected), "{words:?}: {}", ended.err);
        assert!(!ended.err.contains("secret") && !ended.err.contains("\x1b["), "{}", ended.err);
    }
    assert!(!shell.home().exists(), "a mistake starts nothing");
}

#[test]
fn what_the_server_refuses_as_senseless_is_a_usage_error_too() {
    let shell = Shell::new();
    for (words, expected) in [
        (&["enqueue", "no name"][..], "\"no name\" is not the name of a task"),
        (&["job", "list", "--cursor", "zzz"], "is not a cursor"),
    ] {
        let ended = shell.run(words);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{words:?}: {}", ended.err);
        assert!(ended.err.contains(expected), "{words:?}: {}", ended.err);
    }
}

#[test]
fn looking_makes_no_home() {
    let shell = Shell::new();
    for words in [&["job", "list"][..], &["queue", "list"], &["job", "show", UNKNOWN]] {
        let ended = shell.run(words);
        assert_eq!(ended.code, 8, "{words:?}: {ended:?}");
        assert!(ended.err.contains("there is no such home yet"), "{}", ended.err);
    }
    assert!(!shell.home().exists());
}

#[test]
fn a_priority_may_be_a_word() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "add", "--priority", "high"]);
    assert_eq!(shell.json(&["job", "show", &id])["priority"], 2);
}

/// It looked at the app, started a server and said so before it refused its own options.
#[test]
fn a_worker_refuses_its_options_before_anything_else() {
    let shell = Shell::new();
    for verb in ["worker", "dev"] {
        let ended = shell.run(&[verb, "app", "--slots", "4", "--python", "/no/python"]);
        assert_eq!((ended.code, &*ended.out), (2, ""));
        let expected = "error: option `slots`: 4 is not 1 with kind \"process\"";
        assert!(ended.err.starts_with(expected), "{}", ended.err);
    }
}

#[test]
fn a_worker_without_python_says_where_it_looked() {
    let shell = Shell::new();
    let output = shell.command(&["worker", "app"]).env("PATH", "/nowhere").output().unwrap();
    let ended = crate::command::ended(output);
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("no Python interpreter with lineshaft 0.1.0: none was found"),
        "{}",
        ended.err
    );
    let ended = shell.run(&["worker", "app", "--python", "/no/python"]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.contains("option `--python`: /no/python cannot be used: No such file"),
        "{}",
        ended.err
    );
}
