//! `lineshaft store backup` and `restore`: from a home, served or not, and back.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value as Json;

use crate::command::{Ended, Shell, ended};
use crate::following::{log, numbers};

impl Shell {
    fn place(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    fn back_up(&self, to: &str) -> Json {
        self.json(&["store", "backup", self.place(to).to_str().unwrap()])
    }

    /// Restores to `to`, with further words.
    fn restore(&self, from: &str, to: &str, words: &[&str]) -> Ended {
        let (from, to) = (self.place(from), self.place(to));
        let mut all = vec!["store", "restore", from.to_str().unwrap(), "--home", to.to_str().unwrap()];
        all.extend(words);
        self.run(&all)
    }

    /// Ids of the jobs of a home, newest first.
    fn jobs_of(&self, home: &str) -> Vec<String> {
        let home = self.place(home);
        let listed = self.json(&["job", "list", "--home", home.to_str().unwrap()]);
        let ids = listed["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned());
        let ids = ids.collect();
        self.out(&["stop", "--home", home.to_str().unwrap()]);
        ids
    }

    fn enqueue(&self, count: usize) -> Vec<String> {
        (0..count).map(|number| self.out(&["enqueue", "add", &number.to_string()])).collect()
    }

    /// Jobs with so many bytes of arguments that a slow copy takes a while.
    fn enqueue_much(&self) {
        // Numbers that hardly shrink when they are compressed.
        let numbers =
            (0..10_000u64).map(|number| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40).to_string());
        let text = format!("[{}]", numbers.collect::<Vec<_>>().join(","));
        (0..8).for_each(|_| drop(self.out(&["enqueue", "add", &text])));
    }

    fn begin_slow_backup(&self, to: &str) -> Child {
        let place = self.place(to);
        let words = ["store", "backup", place.to_str().unwrap(), "--rate", "64KiB"];
        let child = self.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until(|| place.join("seg").exists());
        child
    }
}

fn wait_until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "it takes too long");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn a_served_home_is_backed_up_and_restored_beside_it() {
    let shell = Shell::new();
    let _served = shell.serve();
    let jobs = shell.enqueue(3);
    let backup = shell.back_up("backup");
    let later = shell.enqueue(1);
    assert!(backup["files"].as_u64() > Some(0) && backup["bytes"].as_u64() > Some(0), "{backup}");
    let restored = shell.restore("backup", "again", &["--json"]);
    let report: Json = serde_json::from_str(&restored.out).unwrap_or_else(|_| panic!("{restored:?}"));
    assert_eq!(
        (&report["lsn"], &report["unfinished"], &report["archived"]),
        (&backup["lsn"], &3.into(), &0.into())
    );
    assert_eq!(sorted(shell.jobs_of("again")), sorted(jobs));
    assert_eq!(shell.json(&["job", "show", &later[0]])["state"], "available", "the home goes on");
}

#[test]
fn a_stopped_home_is_backed_up_and_restored_to_an_earlier_commit() {
    let shell = Shell::new();
    let first = shell.enqueue(1);
    let lsn = shell.json(&["status"])["durable_lsn"].as_u64().unwrap();
    shell.enqueue(1);
    shell.out(&["stop"]);
    let place = shell.place("backup");
    let words = shell.out(&["store", "backup", place.to_str().unwrap()]);
    assert!(words.starts_with(&format!("{} holds the home at commit ", place.display())), "{words}");
    let restored = shell.restore("backup", "again", &["--until-lsn", &lsn.to_string()]);
    assert!(restored.out.contains(&format!("at commit {lsn} of ")), "{restored:?}");
    assert_eq!(shell.jobs_of("again"), first);

    let beyond = shell.restore("backup", "other", &["--until-lsn", "99999"]);
    assert_eq!(beyond.code, 1);
    assert!(
        beyond.err.starts_with("error[LS0040]: the backup cannot be restored to commit 99999: it gives "),
        "{beyond:?}"
    );
    assert!(!shell.place("other").exists());
}

/// Backups left out what jobs logged.
#[test]
fn what_jobs_logged_is_in_a_backup_unless_it_is_left_out() {
    let shell = Shell::new();
    let _served = shell.serve();
    log(&shell, 1, 50);
    let logged = |home: &str| {
        let home = shell.place(home);
        let text = shell.out(&["logs", "--jsonl", "--home", home.to_str().unwrap()]);
        shell.out(&["stop", "--home", home.to_str().unwrap()]);
        numbers(&text)
    };
    assert_eq!(shell.back_up("backup")["logs"], true);
    let place = shell.place("without");
    let without = shell.json(&["store", "backup", place.to_str().unwrap(), "--without-logs"]);
    assert_eq!(without["logs"], false);
    log(&shell, 51, 60);
    for (backup, home) in [("backup", "again"), ("without", "bare")] {
        let restored = shell.restore(backup, home, &[]);
        assert_eq!(restored.code, 0, "{restored:?}");
    }
    assert_eq!(logged("again"), (1..=50).collect::<Vec<_>>());
    assert_eq!(logged("bare"), Vec::<u64>::new());
}

/// Logs are not jobs: the home starts, and what is lost is told.
#[test]
fn damaged_logs_are_found_and_keep_no_home_from_starting() {
    let shell = Shell::new();
    let served = shell.serve();
    log(&shell, 1, 4_500);
    log(&shell, 4_501, 4_510);
    drop(served);
    let logs = shell.home().join("logs");
    let day = fs::read_dir(&logs)
        .unwrap()
        .map(|file| file.unwrap().path())
        .find(|path| path.file_name().is_some_and(|name| name.to_str().unwrap().starts_with("20")));
    let day = day.unwrap();
    let mut content = fs::read(&day).unwrap();
    content[400] ^= 1;
    fs::write(&day, content).unwrap();
    let name = format!("logs/{}", day.file_name().unwrap().to_str().unwrap());
    let found = shell.run(&["store", "verify"]);
    assert_eq!(found.code, 1, "{found:?}");
    let lost = format!("[LS0005] {name} at byte 0: ");
    assert!(found.out.contains(&lost) && found.out.contains(" records of 20"), "{found:?}");
    let found = shell.run(&["store", "doctor"]);
    assert_eq!(found.code, 0, "{found:?}");
    assert!(found.out.contains(&lost), "{found:?}");
    let _served = shell.serve();
    let left = numbers(&shell.out(&["logs", "--jsonl", "--limit", "9999"]));
    assert!(left.ends_with(&[4_509, 4_510]) && left.len() < 4_510, "{}", left.len());
}

#[test]
fn places_where_a_backup_or_a_home_must_not_go_are_refused() {
    let shell = Shell::new();
    let nothing = shell.run(&["store", "backup", "there"]);
    assert_eq!(nothing.code, 6, "{nothing:?}");
    shell.enqueue(1);
    shell.out(&["stop"]);
    let check = |words: &[&str], message: &str| {
        let refused = shell.run(words);
        assert!(refused.code == 2 && refused.err.contains(message), "{words:?}: {refused:?}");
    };
    check(&["store", "backup", "home/copy"], "is in the home itself");
    std::os::unix::fs::symlink(shell.home(), shell.place("link")).unwrap();
    check(&["store", "backup", "link/copy"], "is in the home itself");
    fs::create_dir_all(shell.place("full/of/things")).unwrap();
    check(&["store", "backup", "full"], "is not empty");
    shell.back_up("backup");
    check(&["store", "backup", "backup"], "is not empty");
    check(&["store", "restore", "backup"], "home is not empty");
    check(&["store", "restore", "backup", "--home", "backup/home"], "would be in the backup itself");
    let nothing = shell.restore("nowhere", "again", &[]);
    assert_eq!(nothing.code, 6, "{nothing:?}");
    check(&["store", "backup", "x", "--rate", "0"], "nothing would ever be copied");
    check(&["store", "backup", "x", "--rate", "much"], "accepted: a number of bytes");
    check(&["store", "restore", "backup", "--until-lsn", "abc"], "accepted: the number of a commit, which");
    check(&["serve", "--history-bytes", "99999999999999GiB"], "it is not below 2^63 bytes");
    check(&["serve", "--home", "home/seg"], "would be inside of another one, ");
}

#[test]
fn a_damaged_backup_is_refused_with_the_file_and_nothing_is_written() {
    let shell = Shell::new();
    shell.enqueue(1);
    shell.back_up("backup");
    let segment = fs::read_dir(shell.place("backup/seg")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&segment).unwrap();
    bytes[600] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let refused = shell.restore("backup", "again", &[]);
    let name = segment.file_name().unwrap().to_str().unwrap();
    let message =
        format!("error[LS0040]: the backup cannot be used: seg/{name}: its content is not what was copied");
    assert!(refused.code == 1 && refused.err.starts_with(&message), "{refused:?}");
    assert!(!shell.place("again").exists());
}

/// Both found the directory empty: they wrote over each other's files, and where one failed it removed what the other had
/// said to be there.
#[test]
fn of_two_backups_to_one_directory_one_is_made() {
    let shell = Shell::new();
    let _served = shell.serve();
    shell.enqueue(3);
    for round in 0..5 {
        let place = shell.place(&format!("backup{round}"));
        let words = ["store", "backup", place.to_str().unwrap()];
        let begin = || shell.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let both = [begin(), begin()].map(|child| ended(child.wait_with_output().unwrap()));
        let mut codes = both.each_ref().map(|ended| ended.code);
        codes.sort_unstable();
        assert_eq!(codes, [0, 2], "{both:?}");
        let restored = shell.restore(&format!("backup{round}"), &format!("again{round}"), &[]);
        assert_eq!(restored.code, 0, "{restored:?}");
    }
}

/// The doctor wrote `FORMAT` into a backup, and a server went on with the history that the backup was taken from.
#[test]
fn a_backup_is_never_served_in_place() {
    let shell = Shell::new();
    shell.enqueue(1);
    shell.back_up("backup");
    let place = shell.place("backup");
    for words in [&["store", "doctor", "--accept-loss"][..], &["store", "stats"], &["serve"]] {
        let refused = shell.run(&[words, &["--home", place.to_str().unwrap()]].concat());
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.err.contains("`lineshaft store restore` makes a home of it"), "{refused:?}");
    }
    assert_eq!(shell.restore("backup", "again", &[]).code, 0);
}

/// The directory may be open to others, as one that was made beforehand mostly is; arguments and results are not.
#[test]
fn nobody_else_can_read_what_is_in_a_backup() {
    let shell = Shell::new();
    shell.enqueue(1);
    let place = shell.place("backup");
    fs::DirBuilder::new().mode(0o755).create(&place).unwrap();
    shell.back_up("backup");
    for directory in ["seg", "snap", "blob", "cold", "archive"] {
        let mode = fs::metadata(place.join(directory)).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{directory}: {mode:o}");
    }
}

/// Whoever copies is killed: what is there is no backup, and the server goes on as if nothing was.
#[test]
fn a_killed_backup_is_no_backup_and_holds_nothing() {
    let shell = Shell::new();
    let _served = shell.serve();
    shell.enqueue_much();
    let mut backup = shell.begin_slow_backup("backup");
    backup.kill().unwrap();
    backup.wait().unwrap();
    let refused = shell.restore("backup", "again", &[]);
    assert!(
        refused.err.contains("MANIFEST: there is none: this is no backup, or one that was not finished"),
        "{refused:?}"
    );
    let again = shell.run(&["store", "backup", shell.place("backup").to_str().unwrap()]);
    assert!(
        again.err.contains("hint: it looks like a backup that did not come to its end: remove it"),
        "{again:?}"
    );
    shell.enqueue(1);
    shell.back_up("other");
}

#[test]
fn a_backup_whose_server_is_killed_fails_and_leaves_nothing() {
    let shell = Shell::new();
    let mut served = shell.serve();
    shell.enqueue_much();
    let backup = shell.begin_slow_backup("backup");
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    let failed = ended(backup.wait_with_output().unwrap());
    assert!(
        failed.code == 1 && failed.err.contains("error[LS0041]: the backup was given up: "),
        "{failed:?}"
    );
    assert!(!shell.place("backup").exists());
    shell.back_up("backup");
}

/// What was copied stayed, and no restart of the server was spoken of.
#[test]
fn a_backup_that_is_interrupted_or_whose_server_restarts_leaves_nothing_and_says_why() {
    let shell = Shell::new();
    let mut served = shell.serve();
    shell.enqueue_much();
    let backup = shell.begin_slow_backup("backup");
    let pid = Pid::from_raw(backup.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let failed = ended(backup.wait_with_output().unwrap());
    assert!(failed.code == 130 && failed.err.contains("a signal ended the backup: "), "{failed:?}");
    assert!(!shell.place("backup").exists());

    let backup = shell.begin_slow_backup("backup");
    served.child.kill().unwrap();
    served.child.wait().unwrap();
    let _again = shell.serve();
    let failed = ended(backup.wait_with_output().unwrap());
    let why = "error[LS0041]: the backup was given up: the server was restarted meanwhile, and does not hold";
    assert!(failed.code == 1 && failed.err.contains(why), "{failed:?}");
    assert!(failed.err.contains("\nhint: take it again"), "{failed:?}");
    assert!(!shell.place("backup").exists());
}

/// Between one piece of a file and the next it said nothing, at a byte a second for days.
#[test]
fn a_slow_backup_says_how_far_it_is() {
    let shell = Shell::new();
    shell.enqueue_much();
    shell.out(&["stop"]);
    let place = shell.place("backup");
    let words = ["store", "backup", place.to_str().unwrap(), "--rate", "1"];
    let mut backup = shell.command(&words).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(backup.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("copied ") && line.contains(" of "), "{line}");
    let pid = Pid::from_raw(backup.id().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(backup.wait().unwrap().code(), Some(143));
    assert!(!place.exists());
}

/// Needs the right to mount a small file system; without it there is nothing to see.
#[test]
fn no_room_for_the_backup_leaves_the_home_as_it_was() {
    let shell = Shell::new();
    shell.enqueue_much();
    let Some(small) = Small::mount(shell.place("small")) else {
        eprintln!("skipped: a file system cannot be mounted here");
        return;
    };
    let failed = shell.run(&["store", "backup", small.0.join("backup").to_str().unwrap()]);
    let place = small.0.join("backup");
    assert!(failed.code == 1 && failed.err.starts_with("error: no space left"), "{failed:?}");
    assert!(failed.err.contains(&format!("more bytes in {}", place.display())), "{failed:?}");
    assert!(!small.0.join("backup").exists(), "what was copied is gone again");
    assert_eq!(shell.json(&["status"])["queues"][0]["available"], 8);
}

/// A file system of 256 KiB in memory.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir(&path).unwrap();
        let words = ["-t", "tmpfs", "-o", "size=256k", "none"];
        let mounted =
            std::process::Command::new("mount").args(words).arg(&path).stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0 as &Path).status();
    }
}
