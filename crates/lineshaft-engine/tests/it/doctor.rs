//! Homes that do not start: what they would lose is told first, and nothing changes until it is accepted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lineshaft_engine::inspect::{Diagnosis, Exported, Loss, diagnose, verify};
use lineshaft_engine::{Clock, open};
use lineshaft_wire::message::{Filter, Message, Status};

use crate::golden::{HOMES, described, options, packed, unpack};
use crate::live::{Client, stop};

/// A golden home: its jobs stand on both sides of a snapshot, three are archived.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    unpack(HOMES[0].1, home.path());
    home
}

fn files(home: &Path, directory: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(home.join(directory)).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// LSNs of the commits in a segment, and where each begins.
fn commits(segment: &Path) -> Vec<(u64, usize)> {
    let bytes = fs::read(segment).unwrap();
    let is_commit = |at: &usize| bytes[*at..].starts_with(b"LSc1");
    let lsn = |at: usize| u64::from_le_bytes(bytes[at + 16..at + 24].try_into().unwrap());
    (512..bytes.len()).step_by(512).filter(is_commit).map(|at| (lsn(at), at)).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x41;
    fs::write(path, bytes).unwrap();
}

fn snapshot_lsn(home: &Path) -> u64 {
    files(home, "snap")[0].file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// Jobs by id, each with the whole line that describes it.
fn jobs(text: &str) -> Vec<(&str, &str)> {
    text.lines().map(|line| (&line[..36], line)).collect()
}

/// Diagnoses and checks that nothing changed meanwhile, that the home does not start, and that it can.
fn sick(home: &Path) -> Diagnosis {
    assert!(open(home, options(&Clock::default())).is_err(), "it starts");
    let before = packed(home);
    let diagnosis = diagnose(home, &mut |_, _| ()).unwrap();
    assert!(packed(home) == before, "a diagnosis changes nothing");
    assert!(!diagnosis.is_well() && diagnosis.can_go_on(), "{diagnosis:?}");
    diagnosis
}

/// Accepts the loss and starts: the jobs that are left are those of the export, and those that the engine lists.
fn accept(home: &Path, diagnosis: Diagnosis) -> String {
    let mut left = 0;
    diagnosis
        .export::<lineshaft_engine::Error>(|exported| {
            left += usize::from(matches!(exported, Exported::Job(_)));
            Ok(())
        })
        .unwrap();
    let kept = diagnosis.accept("lost/then").unwrap();
    assert!(kept.iter().all(|path| home.join("lost/then").join(path).exists()), "{kept:?}");
    let engine = open(home, options(&Clock::default())).expect("it starts").0;
    let mut client = Client::connect(&engine);
    let jobs = client.records(Filter::default(), 100);
    stop(&engine);
    assert_eq!(jobs.len(), left);
    let report = diagnose(home, &mut |_, _| ()).unwrap();
    assert!(report.is_well(), "{report:?}");
    let lines: Vec<String> = jobs.iter().map(|job| format!("{} {}\n", job.id, job.state)).collect();
    lines.concat()
}

#[test]
fn a_home_that_starts_needs_no_doctor() {
    let home = home();
    let diagnosis = diagnose(home.path(), &mut |_, _| ()).unwrap();
    assert!(diagnosis.is_well() && diagnosis.losses.is_empty(), "{diagnosis:?}");
    assert!(verify(home.path(), &mut |_, _| ()).unwrap().findings.is_empty());
}

#[test]
fn commits_behind_the_snapshot_take_all_that_followed_along() {
    let home = home();
    let snapshot_lsn = snapshot_lsn(home.path());
    let mut newest = files(home.path(), "seg").into_iter().rev();
    // Some commits behind the snapshot: there is more before and behind it.
    let (path, lsn, at) = newest
        .find_map(|path| {
            let found = commits(&path);
            let wanted = found.iter().find(|(lsn, _)| *lsn == snapshot_lsn + 12)?;
            Some((path.clone(), wanted.0, wanted.1))
        })
        .unwrap();
    flip(&path, at + 80);
    let diagnosis = sick(home.path());
    let [Loss::Since { first_lsn, last_lsn, state_lsn, state_ms, unfinished_again }] = diagnosis.losses[..]
    else {
        panic!("{:?}", diagnosis.losses)
    };
    assert_eq!((first_lsn, state_lsn, unfinished_again), (lsn, lsn - 1, 0));
    assert!(last_lsn > lsn && state_ms > 1_700_000_000_000);
    let left = accept(home.path(), diagnosis);
    let jobs = jobs(HOMES[0].2);
    let before = jobs.iter().filter(|(_, line)| line.contains("before the snapshot"));
    assert!(before.clone().count() == 3 && before.clone().all(|(id, _)| left.contains(id)), "{left}");
    assert!(jobs.iter().filter(|(_, line)| line.contains("\"running\"")).all(|(id, _)| !left.contains(id)));
}

#[test]
fn commits_under_the_snapshot_cost_the_payloads_in_them_and_no_more() {
    let home = home();
    let oldest = files(home.path(), "seg").into_iter().find(|path| !commits(path).is_empty()).unwrap();
    assert!(commits(&oldest).iter().all(|(lsn, _)| *lsn <= snapshot_lsn(home.path())));
    fs::remove_file(oldest).unwrap();
    let diagnosis = sick(home.path());
    assert!(matches!(diagnosis.losses[..], [Loss::Payloads { first_lsn: 1, .. }]), "{:?}", diagnosis.losses);
    let incomplete: Vec<String> = diagnosis.incomplete.iter().map(ToString::to_string).collect();
    let jobs = jobs(HOMES[0].2);
    for (id, line) in &jobs {
        let lost = line.contains("before the snapshot") || line.contains("resumes");
        assert_eq!(incomplete.iter().any(|other| other == id), lost, "{line}");
    }
    let left = accept(home.path(), diagnosis);
    for (id, line) in &jobs {
        // What cannot be run any more says so; what is only incomplete stays as it was.
        let state = if line.contains("before the snapshot") || line.contains("resumes") {
            "discarded"
        } else {
            line.split(' ').nth(3).unwrap()
        };
        assert!(left.contains(&format!("{id} {state}\n")), "{line}\n{left}");
    }
}

#[test]
fn without_snapshot_and_first_commits_the_history_is_what_is_left() {
    let home = home();
    let oldest = files(home.path(), "seg").into_iter().find(|path| !commits(path).is_empty()).unwrap();
    fs::remove_file(oldest).unwrap();
    files(home.path(), "snap").into_iter().for_each(|path| fs::remove_file(path).unwrap());
    let diagnosis = sick(home.path());
    assert_eq!(diagnosis.losses, [Loss::State { history_jobs: 3 }]);
    let left = accept(home.path(), diagnosis);
    assert_eq!(left.lines().count(), 3, "{left}");
    // It goes on: a new job ends behind the old ones.
    let engine = open(home.path(), options(&Clock::default())).unwrap().0;
    let mut client = Client::connect(&engine);
    let job = client.enqueue(&[b"new"])[0];
    let mut worker = crate::live::worker(&engine);
    worker.credit();
    let (leased, fence, _) = worker.leased();
    worker.succeed(leased, fence, b"done");
    stop(&engine);
    assert!(leased == job && described(home.path()).lines().count() == 4);
}

#[test]
fn a_deleted_or_damaged_history_is_given_up_by_number() {
    for delete in [true, false] {
        let home = home();
        let day = files(home.path(), "archive")[0].clone();
        if delete {
            fs::remove_file(&day).unwrap();
        } else {
            flip(&day, 100);
        }
        let diagnosis = sick(home.path());
        assert_eq!(diagnosis.losses, [Loss::History { first: 1, last: 3 }]);
        let left = accept(home.path(), diagnosis);
        assert_eq!(left.lines().count(), HOMES[0].2.lines().count() - 3);
    }
}

/// The first block of the history was cut without a word. In a home of an earlier version nothing tells how many jobs were
/// before the oldest one left.
#[test]
fn the_oldest_block_of_the_history_is_told_by_its_numbers_or_by_where_the_rest_begins() {
    for is_noted in [true, false] {
        let home = home();
        archive_all(home.path());
        let day = files(home.path(), "archive")[0].clone();
        flip(&day, 100);
        if !is_noted {
            fs::remove_file(home.path().join("archive/GAPS")).unwrap();
        }
        let diagnosis = sick(home.path());
        let path = format!("archive/{}", day.file_name().unwrap().to_str().unwrap());
        let expected = if is_noted {
            Loss::History { first: 1, last: 3 }
        } else {
            Loss::OldestHistory { path, before: 4 }
        };
        assert_eq!(diagnosis.losses, [expected]);
        let left = accept(home.path(), diagnosis);
        assert_eq!(left.lines().count(), HOMES[0].2.lines().count() - 3);
    }
}

/// `verify` sent to the doctor for it, and the doctor, who had not read it, to `verify`.
#[test]
fn a_block_of_the_history_that_does_not_read_is_told_and_given_up_if_that_is_accepted() {
    let home = home();
    archive_all(home.path());
    let day = files(home.path(), "archive")[0].clone();
    let bytes = fs::read(&day).unwrap();
    let next = (512..bytes.len()).step_by(512).find(|at| bytes[*at..].starts_with(b"LSa1")).unwrap();
    flip(&day, bytes[..next].iter().rposition(|byte| *byte != 0).unwrap());
    stop(&open(home.path(), options(&Clock::default())).expect("it starts").0);
    let found = verify(home.path(), &mut |_, _| ()).unwrap().findings;
    assert_eq!(found.len(), 1, "{found:?}");
    let mut read = 0;
    let diagnosis = diagnose(home.path(), &mut |bytes, _| read = bytes).unwrap();
    assert!(diagnosis.starts() && !diagnosis.is_well() && read > 0, "{diagnosis:?}");
    assert_eq!(diagnosis.unreadable, found);
    assert_eq!(diagnosis.losses, [Loss::History { first: 1, last: 3 }]);
    let left = accept(home.path(), diagnosis);
    assert_eq!(left.lines().count(), HOMES[0].2.lines().count() - 3);
    assert!(verify(home.path(), &mut |_, _| ()).unwrap().findings.is_empty());
}

/// Each of its blocks was found, cut and looked for again by itself.
#[test]
fn a_day_under_another_name_is_put_aside_as_a_copy_or_named_by_verify() {
    let home = home();
    archive_all(home.path());
    let day = files(home.path(), "archive")[0].clone();
    let other = home.path().join("archive/1999-12-31");
    fs::copy(&day, &other).unwrap();
    let diagnosis = sick(home.path());
    assert_eq!(diagnosis.refusals.len(), 1, "{:?}", diagnosis.refusals);
    assert_eq!(diagnosis.losses, [Loss::File { path: "archive/1999-12-31".to_owned() }]);
    assert_eq!(accept(home.path(), diagnosis).lines().count(), HOMES[0].2.lines().count());

    fs::rename(&day, &other).unwrap();
    let found = verify(home.path(), &mut |_, _| ()).unwrap().findings;
    assert_eq!(found.len(), 1, "{found:?}");
    let name = day.file_name().unwrap().to_str().unwrap();
    assert!(found[0].what.ends_with(&format!("rename it to archive/{name}")), "{found:?}");
    fs::rename(&other, &day).unwrap();
    assert!(verify(home.path(), &mut |_, _| ()).unwrap().findings.is_empty());
}

/// Puts what has finished into the history, as a second block.
fn archive_all(home: &Path) {
    let clock = Clock::default();
    let engine = open(home, options(&clock)).unwrap().0;
    let mut client = Client::connect(&engine);
    clock.advance(Duration::from_secs(61));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let Message::StatusReport(report) = client.ask(Status {}) else { panic!("no status") };
        if report.archived > 3 {
            break;
        }
        assert!(Instant::now() < deadline, "{report:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    stop(&engine);
}

#[test]
fn what_can_be_written_again_costs_nothing() {
    for path in ["FORMAT", "seg"] {
        let home = home();
        let damaged = if path == "seg" {
            files(home.path(), path).into_iter().find(|path| !commits(path).is_empty()).unwrap()
        } else {
            home.path().join(path)
        };
        flip(&damaged, 3);
        let diagnosis = sick(home.path());
        assert!(matches!(diagnosis.losses[..], [Loss::Mended { .. }]), "{:?}", diagnosis.losses);
        accept(home.path(), diagnosis);
        assert_eq!(described(home.path()), HOMES[0].2, "{path}");
    }
    let home = home();
    fs::remove_file(home.path().join("FORMAT")).unwrap();
    accept(home.path(), sick(home.path()));
    assert_eq!(described(home.path()), HOMES[0].2);
}

/// Without its segments a home looked like a new one, and its history was dropped as ahead of the journal.
#[test]
fn a_history_without_any_commit_is_not_a_new_home() {
    let home = home();
    for directory in ["seg", "snap"] {
        files(home.path(), directory).into_iter().for_each(|path| fs::remove_file(path).unwrap());
    }
    let error = open(home.path(), options(&Clock::default())).map(drop).unwrap_err();
    assert!(error.to_string().contains("it has no commits, but the archive holds their jobs"), "{error}");
    let diagnosis = diagnose(home.path(), &mut |_, _| ()).unwrap();
    assert_eq!(diagnosis.losses, [Loss::State { history_jobs: 3 }]);
    assert_eq!(accept(home.path(), diagnosis).lines().count(), 3);
}

#[test]
fn a_home_of_a_newer_format_is_left_alone() {
    let home = home();
    fs::write(home.path().join("FORMAT"), "lineshaft home 2\n").unwrap();
    let error = diagnose(home.path(), &mut |_, _| ()).map(drop).unwrap_err();
    assert!(error.to_string().contains("use the newer version"), "{error}");
}

/// What a restore left half done looks damaged, but mending its `FORMAT` would make it pass for whole.
#[test]
fn a_home_that_was_not_restored_to_its_end_is_not_mended() {
    let home = tempfile::tempdir().unwrap();
    drop(lineshaft_store::Home::begin_restore(lineshaft_store::FileDisk::new(home.path())).unwrap());
    let error = diagnose(home.path(), &mut |_, _| ()).map(drop).unwrap_err();
    assert!(error.to_string().contains("restore again"), "{error}");
}
