//! The files of a home from the command line.

use serde_json::{Value as Json, json};

use crate::command::Shell;

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A stopped home with a job that waits, one with a time, and one that was cancelled.
fn stopped() -> Shell {
    let shell = Shell::new();
    shell.out(&["enqueue", "add", "1", "\"x\"", "--kwargs", "{\"b\": [2]}", "--tag", "red"]);
    shell.out(&["enqueue", "mail.send", "--run-after", "1h"]);
    let cancelled = shell.out(&["enqueue", "add"]);
    shell.out(&["job", "cancel", &cancelled]);
    shell.out(&["stop"]);
    shell
}

#[test]
fn stats_tell_the_same_of_a_stopped_and_of_a_served_home() {
    let shell = stopped();
    let stats = shell.json(&["store", "stats"]);
    assert_eq!(stats["served_by"], Json::Null);
    assert_eq!((&stats["jobs"]["available"], &stats["jobs"]["scheduled"]), (&1.into(), &1.into()));
    assert_eq!((&stats["jobs"]["cancelled"], &stats["journal"]["oldest_lsn"]), (&1.into(), &1.into()));
    assert!(stats["journal"]["live_bytes"].as_u64().unwrap() > 10, "{stats}");
    let head = stats["journal"]["head_lsn"].as_u64().unwrap();

    let served = shell.serve();
    let stats = shell.json(&["store", "stats"]);
    assert_eq!(stats["served_by"], served.child.id());
    assert_eq!((&stats["jobs"]["available"], &stats["jobs"]["finished"]), (&1.into(), &1.into()));
    assert!(stats["journal"]["head_lsn"].as_u64().unwrap() > head, "a start is a commit: {stats}");
    let text = shell.out(&["store", "stats"]);
    assert!(text.contains(&format!("served by process {}", served.child.id())), "{text}");
    assert!(text.contains("1 scheduled, 1 available, 1 finished"), "{text}");
}

#[test]
fn a_home_that_does_not_exist_has_no_stats_and_is_not_made() {
    let shell = Shell::new();
    for words in [&["store", "stats"][..], &["store", "export"]] {
        let ended = shell.run(words);
        assert_eq!((ended.code, &*ended.out), (6, ""), "{words:?}: {ended:?}");
        assert!(ended.err.contains("there is no home at"), "{ended:?}");
    }
    assert!(!shell.home().exists());
}

#[test]
fn an_export_has_every_job_and_can_be_enqueued_again() {
    let shell = stopped();
    let jobs = lines(&shell.out(&["store", "export"]));
    assert_eq!(jobs.len(), 3);
    let add = jobs.iter().find(|job| job["task"] == "add" && job["state"] == "available").unwrap();
    let call = (&add["args"], &add["kwargs"], &add["tags"]);
    assert_eq!(call, (&json!([1, "x"]), &json!({ "b": [2] }), &json!(["red"])));
    assert!(add["arguments"].as_str().unwrap().contains("b=[2]"), "{add}");
    assert_eq!(jobs.iter().filter(|job| job["state"] == "cancelled").count(), 1);

    let file = shell.directory().join("jobs.jsonl");
    let ended = shell.run(&["store", "export", file.to_str().unwrap(), "--task", "mail.send"]);
    assert_eq!((ended.code, &*ended.err), (0, "exported 1 job\n"));
    assert_eq!(lines(&std::fs::read_to_string(&file).unwrap())[0]["state"], "scheduled");

    // The same beside a server.
    let _served = shell.serve();
    assert_eq!(lines(&shell.out(&["store", "export"])).len(), 3);
}
