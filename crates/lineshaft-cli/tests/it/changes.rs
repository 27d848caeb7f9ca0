//! Changes of many jobs: by filter, with a question, and what is said about names nobody knows.

use crate::command::Shell;

#[test]
fn jobs_are_cancelled_by_filter_only_when_confirmed() {
    let shell = Shell::new();
    for queue in ["mail", "mail", "other"] {
        shell.out(&["enqueue", "send", "--queue", queue]);
    }
    let unasked = shell.run(&["job", "cancel", "--queue", "mail"]);
    let expected = "error: nobody was asked whether to cancel 2 jobs in queue mail\n\
                    hint: --yes says so where there is no terminal\n";
    assert_eq!((unasked.code, &*unasked.out, &*unasked.err), (3, "", expected));

    let cancelled = shell.out(&["job", "cancel", "--queue", "mail", "--yes"]);
    assert_eq!(cancelled.lines().filter(|line| line.ends_with(" is cancelled")).count(), 2, "{cancelled}");
    assert_eq!(shell.json(&["job", "list", "--state", "available"])["jobs"].as_array().unwrap().len(), 1);

    let again = shell.run(&["job", "cancel", "--queue", "mail"]);
    assert_eq!((again.code, &*again.out), (0, ""), "nothing is left to ask about");
    assert!(again.err.starts_with("there are no such jobs in queue mail\n"), "{}", again.err);
}

#[test]
fn a_filter_means_only_jobs_that_the_change_can_concern() {
    let shell = Shell::new();
    let ids: Vec<String> = (0..2).map(|_| shell.out(&["enqueue", "send"])).collect();
    shell.out(&["job", "cancel", &ids[0]]);
    let deleted = shell.json(&["job", "delete", "--task", "send", "--yes"]);
    assert_eq!(deleted, serde_json::json!({ "jobs": [{ "id": ids[0], "deleted": true }] }));
    assert_eq!(shell.json(&["job", "show", &ids[1]])["state"], "available");
}

#[test]
fn several_jobs_as_json_are_one_document_or_a_line_each() {
    let shell = Shell::new();
    let ids: Vec<String> = (0..2).map(|_| shell.out(&["enqueue", "send"])).collect();
    let document = shell.json(&["job", "cancel", &ids[0]]);
    let expected = serde_json::json!({ "id": ids[0], "state": "cancelled", "cancelling": false });
    assert_eq!(document["jobs"][0], expected);
    let line: serde_json::Value =
        serde_json::from_str(&shell.out(&["job", "cancel", &ids[1], "--jsonl"])).unwrap();
    assert_eq!(line["id"], *ids[1]);
}

#[test]
fn one_job_that_is_missing_fails_the_command_and_the_others_are_changed() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "send"]);
    let unknown = "0199b1c2-7a5e-7800-8000-000000000001";
    let ended = shell.run(&["job", "cancel", unknown, &id]);
    assert_eq!((ended.code, ended.out), (6, format!("{id} is cancelled\n")));
    assert!(
        ended.err.contains(unknown) && ended.err.ends_with("error: not all jobs could be changed\n"),
        "{}",
        ended.err
    );
}

#[test]
fn names_that_nobody_knows_are_questioned() {
    let shell = Shell::new();
    shell.out(&["enqueue", "mail.send", "--queue", "mail"]);
    let paused = shell.run(&["queue", "pause", "mial"]);
    assert_eq!(paused.code, 0);
    assert!(
        paused.err.starts_with("warning: no queue mial has jobs: did you mean mail?\n"),
        "{}",
        paused.err
    );
    let list = shell.run(&["job", "list", "--task", "mail.sned"]);
    let expected = "there are no jobs of task mail.sned\n\
                    warning: no job is of task mail.sned: did you mean mail.send?\n";
    assert_eq!((&*list.out, &*list.err), ("", expected));
}
