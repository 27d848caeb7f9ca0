//! The files of a home from the command line.

use std::fs;

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

/// They showed the defaults, and left out the file that is kept back for a full disk.
#[test]
fn stats_show_the_settings_and_the_reserve() {
    let shell = Shell::new();
    let served = shell.serve();
    let reserve = shell.home().join("seg/reserve");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !reserve.exists() {
        assert!(std::time::Instant::now() < until, "no reserve");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    shell.out(&["stop"]);
    drop(served);
    fs::write(shell.directory().join("lineshaft.toml"), "history_days = 30\nhistory_bytes = \"1GiB\"\n")
        .unwrap();
    let stats = shell.json(&["store", "stats"]);
    assert_eq!(stats["retention"], json!({ "seconds": 30 * 86_400, "bytes": 1 << 30 }));
    assert_eq!(stats["journal"]["reserve_bytes"], 4 << 20);
    assert!(stats["journal"]["dead_bytes"].is_u64(), "{stats}");
    let text = shell.out(&["store", "stats"]);
    assert!(text.contains("kept for 30 d or 1.0 GiB") && text.contains("4.0 MiB kept back"), "{text}");
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

    // As one document.
    let document = shell.json(&["store", "export"]);
    assert_eq!(document["jobs"].as_array().unwrap(), &jobs);
    assert_eq!(shell.json(&["store", "export", "--task", "none"]), json!({ "jobs": [] }));

    // The same beside a server.
    let _served = shell.serve();
    assert_eq!(lines(&shell.out(&["store", "export"])).len(), 3);
}

/// Puts another byte in the place of one that stands `behind` these, in the one file of a directory that has them.
fn damage(shell: &Shell, directory: &str, needle: &[u8], behind: usize) -> String {
    for file in fs::read_dir(shell.home().join(directory)).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) {
            bytes[at + behind] ^= 0x41;
            fs::write(&path, bytes).unwrap();
            return format!("{directory}/{}", path.file_name().unwrap().to_str().unwrap());
        }
    }
    panic!("no file of {directory} has {needle:?}");
}

/// A stopped home with a job whose arguments are a blob.
fn with_blob() -> (Shell, String) {
    let shell = Shell::new();
    let line = json!({ "task": "add", "args": [noise()] }).to_string();
    let ended = crate::streams::feed(&shell, &["enqueue", "--jsonl"], &line);
    let id = serde_json::from_str::<Json>(&ended.out).unwrap()["id"].as_str().unwrap().to_owned();
    shell.out(&["stop"]);
    (shell, id)
}

/// Text that does not become smaller when it is packed.
fn noise() -> String {
    let mut state = 7u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'0' + (state >> 59) as u8 * 2 + (state >> 58 & 1) as u8)
    };
    (0..3 << 20).map(|_| letter()).collect()
}

/// A file of the home was emptied before anything was read, and so was an earlier export.
#[test]
fn an_export_replaces_a_file_when_it_is_whole_and_never_one_of_the_home() {
    let shell = stopped();
    let format = shell.home().join("FORMAT");
    for words in [&["store", "export"][..], &["store", "doctor", "--export"]] {
        let refused = shell.run(&[words, &[format.to_str().unwrap()]].concat());
        assert!(refused.code == 2 && refused.err.contains("is in the home itself"), "{refused:?}");
    }
    assert_eq!(lines(&shell.out(&["store", "export", "-"])).len(), 3);
    let file = shell.directory().join("jobs.jsonl");
    fs::write(&file, "an earlier one").unwrap();
    let words = ["store", "export", file.to_str().unwrap()];
    fs::rename(shell.home(), shell.directory().join("elsewhere")).unwrap();
    assert_eq!(shell.run(&words).code, 6);
    assert_eq!(fs::read_to_string(&file).unwrap(), "an earlier one");
    fs::rename(shell.directory().join("elsewhere"), shell.home()).unwrap();
    shell.out(&words);
    assert_eq!(lines(&fs::read_to_string(&file).unwrap()).len(), 3);
    let left = fs::read_dir(shell.directory()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with(".part")));
}

/// `verify` said "cannot list : Not a directory", `doctor` that a file lacks the right to be entered.
#[test]
fn a_file_is_no_home() {
    let shell = Shell::new();
    let file = shell.directory().join("file");
    fs::write(&file, "").unwrap();
    let home = ["--home", file.to_str().unwrap()];
    let verified = shell.run(&[&["store", "verify"][..], &home].concat());
    assert!(verified.code == 6 && verified.err.starts_with("error: there is no home at "), "{verified:?}");
    let doctor = shell.run(&[&["doctor"][..], &home].concat());
    assert!(doctor.code == 1 && doctor.out.contains("problem  home      it is a file"), "{doctor:?}");
    assert!(!doctor.out.contains("chmod"), "{doctor:?}");
}

#[test]
fn a_whole_home_is_verified_stopped_and_served() {
    let (shell, _) = with_blob();
    for served in [false, true] {
        let _server = served.then(|| shell.serve());
        let report = shell.json(&["store", "verify"]);
        assert_eq!(report["findings"], json!([]));
        let checked = report["checked"].as_array().unwrap();
        let count = |what: &str| &checked.iter().find(|it| it["what"] == what).unwrap()["count"];
        assert_eq!((count("blobs"), count("payloads")), (&1.into(), &1.into()));
        assert!(count("commits").as_u64().unwrap() > 2, "{report}");
    }
}

#[test]
fn damage_is_found_with_file_and_job() {
    let (shell, id) = with_blob();
    let file = damage(&shell, "blob", b"LSb1", 1_000_000);
    let before = fs::read(shell.home().join(&file)).unwrap();
    let ended = shell.run(&["store", "verify", "--json"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let report: Json = serde_json::from_str(&ended.out).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!((&findings[0]["file"], &findings[0]["code"]), (&Json::from(&*file), &"LS0005".into()));
    assert_eq!(findings[1]["job"], *id);
    assert!(findings[1]["what"].as_str().unwrap().starts_with("the arguments of job"), "{report}");
    assert!(ended.err.contains("error[LS0005]: 2 things are wrong"), "{}", ended.err);
    assert!(fs::read(shell.home().join(&file)).unwrap() == before, "nothing is changed");

    let exported = shell.run(&["store", "export"]);
    assert_eq!(exported.code, 1);
    assert_eq!(lines(&exported.out)[0]["unreadable"][0]["payload"], "arguments");
}

/// The doctor said that such a home starts, and nothing else; a worker went down with the job.
#[test]
fn a_job_whose_arguments_are_gone_is_named_by_the_doctor_and_given_up_if_told_to() {
    let (shell, id) = with_blob();
    shell.out(&["enqueue", "add", "1"]);
    shell.out(&["stop"]);
    for blob in fs::read_dir(shell.home().join("blob")).unwrap() {
        fs::remove_file(blob.unwrap().path()).unwrap();
    }
    let ended = shell.run(&["store", "doctor", "--json"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    let report: Json = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((&report["starts"], &report["jobs_that_cannot_run"]), (&true.into(), &1.into()));
    assert_eq!(report["incomplete_jobs"], json!([id]));
    let ended = shell.run(&["store", "doctor"]);
    assert!(ended.out.contains("of 1 job, of which 1 cannot run and would be discarded"), "{ended:?}");
    assert!(ended.err.contains("starts, but 1 job in it cannot run; nothing was changed"), "{ended:?}");

    assert_eq!(shell.run(&["store", "doctor", "--accept-loss"]).code, 0);
    let _served = shell.serve();
    let job = shell.json(&["job", "show", &id]);
    assert_eq!((&job["state"], &job["reason"]), (&"discarded".into(), &"payload_lost".into()));
    assert_eq!(shell.json(&["job", "list", "--state", "available"])["jobs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_home_that_does_not_start_is_verified_as_far_as_it_can_be_read() {
    let shell = stopped();
    // The first commit: its header.
    let file = damage(&shell, "seg", b"LSc1", 30);
    let ended = shell.run(&["store", "verify"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.contains(&format!("[LS0004] {file}: commits 1 to ")), "{ended:?}");
    assert!(ended.err.contains("error[LS0004]: 1 thing is wrong"), "{ended:?}");
}

#[test]
fn the_doctor_says_what_is_lost_changes_nothing_unasked_and_then_the_home_starts() {
    let shell = stopped();
    let well = shell.run(&["store", "doctor"]);
    assert_eq!((well.code, &*well.out), (0, ""), "{well:?}");

    // The commit with the second job: what came before stays, what came after goes.
    let file = damage(&shell, "seg", b"mail.send", 0);
    let before = fs::read(shell.home().join(&file)).unwrap();
    assert_eq!(shell.run(&["job", "list"]).code, 8, "no server starts");
    let ended = shell.run(&["store", "doctor"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.out.starts_with(&format!("[LS0004] {file}: commits ")), "{ended:?}");
    assert!(ended.out.contains("\nlost: everything that happened in commits "), "{ended:?}");
    assert!(ended.out.contains("\nleft: 1 job in memory"), "{ended:?}");
    assert!(ended.err.contains("nothing was changed\nhint: keep a copy of the home"), "{ended:?}");
    assert!(fs::read(shell.home().join(&file)).unwrap() == before);

    let export = shell.directory().join("left.jsonl");
    let words = ["store", "doctor", "--accept-loss", "--export", export.to_str().unwrap()];
    let ended = shell.run(&words);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("starts again;"), "{ended:?}");
    assert_eq!(lines(&fs::read_to_string(export).unwrap()).len(), 1);
    let lost: Vec<_> = fs::read_dir(shell.home().join("lost")).unwrap().collect();
    let kept = lost[0].as_ref().unwrap().path().join(&file);
    assert!(fs::read(kept).unwrap() == before, "the damaged file is kept");
    let stats = shell.json(&["store", "stats"]);
    let sizes = stats["directories"].as_array().unwrap();
    let lost = sizes.iter().find(|it| it["name"] == "lost").unwrap();
    assert!(lost["bytes"].as_u64() >= Some(before.len() as u64), "{stats}");

    let _served = shell.serve();
    let jobs = shell.json(&["job", "list"]);
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 1);
    assert_eq!(jobs["jobs"][0]["task"], "add");
    let ended = shell.run(&["store", "doctor"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("a home that is served needs no doctor"), "{ended:?}");
}

#[test]
fn an_upgrade_has_nothing_to_do_and_leaves_newer_homes_alone() {
    let shell = stopped();
    let ended = shell.run(&["store", "upgrade"]);
    assert_eq!((ended.code, &*ended.out), (0, ""), "{ended:?}");
    assert!(ended.err.ends_with("has format 1, that of this version: there is nothing to do\n"), "{ended:?}");
    fs::write(shell.home().join("FORMAT"), "lineshaft home 2\n").unwrap();
    for words in [&["store", "upgrade"][..], &["store", "verify"], &["store", "doctor"], &["store", "stats"]]
    {
        let ended = shell.run(words);
        assert_eq!(ended.code, 1, "{words:?}: {ended:?}");
        let told = format!("{}{}", ended.out, ended.err);
        assert!(told.contains("LS0003") && told.contains("use the newer version"), "{words:?}: {ended:?}");
    }
    assert_eq!(shell.run(&["store", "upgrade", "--home", "nowhere"]).code, 6);
}
