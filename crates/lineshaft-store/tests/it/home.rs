//! One process per home, and homes of other formats.

use std::time::{Duration, Instant};

use crate::support::refusal;
use lineshaft_store::{BlockArchive, Disk, DiskFile, Error, FileDisk, Home, Options, SegmentJournal};
use lineshaft_testkit::disk::SimulatedDisk;

use lineshaft_store::disk::OpenMode;

#[test]
fn the_second_opener_is_told_the_pid_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    check_second_opener(&FileDisk::new(directory.path()));
    check_second_opener(&SimulatedDisk::new());
}

fn check_second_opener<D: Disk>(disk: &D) {
    let home = Home::open(disk.clone()).unwrap();
    let (journal, _) = SegmentJournal::open(&home, Options::default()).unwrap();
    drop(home);
    let error = refusal(Home::open(disk.clone()));
    assert!(matches!(error, Error::Locked { pid, .. } if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(journal);
    Home::open(disk.clone()).expect("the lock went with the journal");
}

#[test]
fn a_home_of_another_format_is_refused_and_left_alone() {
    let disk = SimulatedDisk::new();
    drop(Home::open(disk.clone()).unwrap());
    let file = disk.open("FORMAT", OpenMode::Create).unwrap();
    file.write_all_at(0, b"lineshaft home 7\n").unwrap();
    let error = refusal(Home::open(disk.clone()));
    assert!(matches!(error, Error::Format { supported: 1, .. }), "{error}");
    assert!(error.to_string().contains("has format 7"), "{error}");
}

#[test]
fn a_journal_without_a_format_is_not_taken_for_a_new_home() {
    let disk = SimulatedDisk::new();
    drop(SegmentJournal::open(&Home::open(disk.clone()).unwrap(), Options::default()).unwrap());
    disk.remove_file("FORMAT").unwrap();
    let error = refusal(Home::open(disk));
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

/// Opening takes some twenty syncs' time; the bound leaves room for a busy disk, so the best of a few counts.
#[test]
fn an_empty_home_opens_fast() {
    let open = || {
        let directory = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let home = Home::open(FileDisk::new(directory.path())).unwrap();
        let _journal = SegmentJournal::open(&home, Options::default()).unwrap();
        let _archive = BlockArchive::open(&home).unwrap();
        began.elapsed()
    };
    let best = (0..5).map(|_| open()).min().unwrap();
    assert!(best < Duration::from_millis(50), "{best:?}");
}
