//! `lineshaft doctor`: what it finds, and how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value as Json;

use crate::command::Shell;

/// The messages of one check with this severity.
fn found<'a>(report: &'a Json, check: &str, severity: &str) -> Vec<&'a Json> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.filter(|it| it["check"] == check && it["severity"] == severity).collect()
}

#[test]
fn a_served_home_has_no_problem() {
    let shell = Shell::new();
    let served = shell.serve();
    shell.out(&["enqueue", "add"]);
    let report = shell.json(&["doctor"]);
    assert_eq!(report["problems"], 0, "{report}");
    let server = found(&report, "server", "ok")[0]["message"].as_str().unwrap();
    assert_eq!(server, format!("process {} answers", served.child.id()));
    for check in
        ["home", "format", "storage", "latency", "space", "version", "files", "processes", "clock", "socket"]
    {
        let any = report["findings"].as_array().unwrap().iter().any(|it| it["check"] == check);
        assert!(any, "{check}: {report}");
    }
    assert!(
        report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .all(|it| (it["severity"] == "ok") == it["fix"].is_null())
    );
    let left = fs::read_dir(shell.home())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("doctor"));
    assert_eq!(left.count(), 0, "the file that measures the disk is gone");
}

#[test]
fn problems_come_with_their_fix_and_exit_code_1() {
    let shell = Shell::new();
    shell.out(&["enqueue", "add"]);
    shell.out(&["stop"]);
    fs::write(shell.home().join("FORMAT"), "lineshaft restore\n").unwrap();
    fs::set_permissions(shell.home(), fs::Permissions::from_mode(0o755)).unwrap();
    let ended = shell.run(&["doctor"]);
    assert_eq!((ended.code, &*ended.err), (1, "error: a problem was found\n"), "{ended:?}");
    assert!(ended.out.contains("\nproblem  format    a restore did not come to its end\n"), "{ended:?}");
    assert!(ended.out.contains("fix: remove the home and restore again\n"), "{ended:?}");
    assert!(ended.out.contains("\nwarning  home      others may enter it (mode 0755)"), "{ended:?}");
    let report: Json = serde_json::from_str(&shell.run(&["doctor", "--json"]).out).unwrap();
    assert_eq!((&report["problems"], found(&report, "format", "problem").len()), (&1.into(), 1));
}

#[test]
fn a_home_that_does_not_exist_is_no_problem_and_is_not_made() {
    let shell = Shell::new();
    let report = shell.json(&["doctor"]);
    assert_eq!(found(&report, "home", "ok").len(), 1, "{report}");
    assert!(!shell.home().exists());
}
