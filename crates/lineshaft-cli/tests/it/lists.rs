//! What `job list` lets through, and in which form.

use crate::command::Shell;

fn count(shell: &Shell, words: &[&str]) -> usize {
    shell.json(&[&["job", "list"], words].concat())["jobs"].as_array().unwrap().len()
}

#[test]
fn jobs_are_filtered_by_state_queue_task_tag_and_time() {
    let shell = Shell::new();
    shell.out(&["enqueue", "send", "--queue", "mail", "--tag", "x", "--tag", "y"]);
    shell.out(&["enqueue", "send", "--queue", "mail", "--tag", "x"]);
    let late = shell.out(&["enqueue", "pack", "--run-after", "1h"]);
    shell.out(&["enqueue", "pack"]);
    for (words, expected) in [
        (&["--queue", "mail"][..], 2),
        (&["--task", "pack"], 2),
        (&["--tag", "x"], 2),
        (&["--tag", "x", "--tag", "y"], 1),
        (&["--state", "scheduled"], 1),
        (&["--state", "scheduled,available"], 4),
        (&["--state", "scheduled", "--state", "available", "--task", "send"], 2),
        (&["--since", "1h"], 4),
        (&["--until", "1h"], 0),
        (&["--since", "2100-01-01T00:00Z"], 0),
        (&["--until", "2100-01-01T00:00Z"], 4),
        (&["-n", "1"], 1),
        (&["--state", "completed"], 0),
    ] {
        assert_eq!(count(&shell, words), expected, "{words:?}");
    }
    let row = shell.out(&["job", "list", "--state", "scheduled"]);
    assert!(row.contains(&format!("{late}  scheduled, in 59 min  pack")), "{row}");
}

#[test]
fn the_same_job_is_the_same_object_everywhere() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "send", "--tag", "x"]);
    let listed = shell.json(&["job", "list"])["jobs"][0].clone();
    let line: serde_json::Value = serde_json::from_str(&shell.out(&["job", "list", "--jsonl"])).unwrap();
    let mut shown = shell.json(&["job", "show", &id]);
    let more = shown.as_object_mut().unwrap();
    assert!(more.remove("arguments").is_some() && more.remove("progress").is_some());
    assert_eq!((&listed, &line), (&shown, &shown));
}

#[test]
fn states_have_their_name_and_an_empty_list_says_so() {
    let shell = Shell::new();
    shell.out(&["enqueue", "send"]);
    let failed = shell.run(&["job", "list", "--state", "failed"]);
    assert_eq!((failed.code, &*failed.out), (2, ""));
    assert!(failed.err.contains("did you mean discarded? accepted: pending, scheduled"), "{}", failed.err);
    let none = shell.run(&["job", "list", "--state", "discarded,cancelled", "--queue", "default"]);
    let expected = "there are no jobs in queue default that are discarded or cancelled\n";
    assert_eq!((none.code, &*none.out, &*none.err), (0, "", expected));
}

#[test]
fn a_filter_by_time_chooses_what_is_changed_too() {
    let shell = Shell::new();
    shell.out(&["enqueue", "send"]);
    let asked = shell.run(&["job", "cancel", "--since", "2020-01-01T00:00Z"]);
    assert_eq!(asked.code, 3);
    assert!(
        asked.err.starts_with("error: nobody was asked whether to cancel 1 job created since "),
        "{asked:?}"
    );
    assert!(asked.err.contains("(2020-01-01T00:00:00.000Z)\n"), "{asked:?}");
    assert_eq!(count(&shell, &["--state", "cancelled"]), 0);
    shell.out(&["job", "cancel", "--since", "1h", "--yes"]);
    assert_eq!(count(&shell, &["--state", "cancelled"]), 1);
}

#[test]
fn what_a_job_waits_for_is_shown() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "send", "--queue", "mail"]);
    let show = || shell.out(&["job", "show", &id]);
    assert!(show().contains("\nwaits for  a worker: none is connected\n"), "{}", show());
    shell.out(&["queue", "pause", "mail"]);
    assert!(show().contains("\nwaits for  queue mail is paused\n"), "{}", show());
}

#[test]
fn following_the_output_of_a_job_ends_with_the_job() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "send"]);
    let child = shell
        .command(&["job", "output", &id, "--follow", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    shell.out(&["job", "cancel", &id]);
    let output = child.wait_with_output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), document), (Some(0), serde_json::json!({ "id": id, "attempts": [] })));
}
