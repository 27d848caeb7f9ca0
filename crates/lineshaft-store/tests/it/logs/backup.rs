//! What a backup has of logs, and what is said of damaged ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lineshaft_store::backup::{Backup, Facts, Manifest, take};
use lineshaft_store::disk::{Disk, DiskFile, OpenMode};
use lineshaft_store::journal::extent;
use lineshaft_store::logs::{LogStore, check_logs};
use lineshaft_store::{Error, FileDisk, Home, Journal, Options, SegmentJournal};
use lineshaft_testkit::disk::SimulatedDisk;

use super::support::{DAY_US, after, all, attached, filled, open, record, small};

fn facts(logs: bool) -> Facts {
    Facts { version: "1.2.3".into(), created_ms: 1_790_000_000_000, logs }
}

/// A home with an empty journal.
fn begin<D: Disk>(disk: &D) {
    let options = Options { segment_bytes_first: 4 << 10, background: false, ..Options::default() };
    let (mut journal, _) = SegmentJournal::open(&Home::open(disk.clone()).unwrap(), options).unwrap();
    journal.seal().unwrap();
}

fn back_up<S: Disk, D: Disk>(home: &S, backup: &D, logs: bool) -> Manifest {
    take(home, backup, extent(home).unwrap().end(), facts(logs), &mut ()).unwrap()
}

fn put_back<S: Disk, D: Disk>(backup: &S, home: &D) {
    let backup = Backup::open(backup.clone()).unwrap();
    backup.check(&mut ()).unwrap();
    let home = Home::begin_restore(home.clone()).unwrap();
    backup.put_back(&home, &backup.end(None).unwrap(), &mut ()).unwrap();
    home.finish_restore().unwrap();
}

#[test]
fn a_backup_has_all_records_or_none_as_it_is_asked_for() {
    let disk = SimulatedDisk::new();
    begin(&disk);
    filled(&open(&disk), &(0..200).map(attached).collect::<Vec<_>>());
    for logs in [true, false] {
        let (backup, restored) = (SimulatedDisk::new(), SimulatedDisk::new());
        let manifest = back_up(&disk, &backup, logs);
        assert_eq!((manifest.has_logs(), manifest.backup), (logs, if logs { 2 } else { 1 }));
        put_back(&backup, &restored);
        let store = open(&restored);
        let count = if logs { 200 } else { 0 };
        assert_eq!(all(&store), (0..count).map(record).collect::<Vec<_>>());
        // Numbers go on.
        let (_, cursor) = after(&store, None);
        store.append(&[record(500)]).unwrap();
        assert_eq!(after(&store, cursor).0, [record(500)]);
    }
}

/// After a crash between blocks and tail both have the records: a backup has them once.
#[test]
fn a_backup_of_every_image_of_a_crash_has_what_the_home_has() {
    let history = |disk: &SimulatedDisk| -> Result<(), Error> {
        let store = LogStore::open(&Home::open(disk.clone())?)?;
        store.set_limits(small());
        (0..60).map(record).collect::<Vec<_>>().chunks(3).try_for_each(|records| store.append(records))
    };
    let whole = SimulatedDisk::new();
    begin(&whole);
    let began = whole.operations();
    history(&whole).unwrap();
    for operation in began + 1..=whole.operations() {
        let disk = SimulatedDisk::new();
        begin(&disk);
        disk.crash_at(operation);
        let _ = history(&disk);
        let image = disk.restart();
        let (backup, restored) = (SimulatedDisk::new(), SimulatedDisk::new());
        back_up(&image, &backup, true);
        put_back(&backup, &restored);
        assert_eq!(all(&open(&restored)), all(&open(&image)), "operation {operation}");
    }
}

/// Days go, tails are closed and blocks written while it is copied.
#[test]
fn a_backup_beside_one_who_logs_has_everything_up_to_a_record_that_is_not_older_than_it() {
    let scratch = tempfile::tempdir().unwrap();
    let home = FileDisk::new(scratch.path().join("home"));
    begin(&home);
    let store = LogStore::open(&Home::open(home.clone()).unwrap()).unwrap();
    store.set_limits(small());
    let done = AtomicBool::new(false);
    // A thousand of them make a day.
    let near = |number: u64| {
        let mut record = record(number);
        record.time_us = DAY_US + number * 86_400_000;
        record
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for first in (0..).step_by(5) {
                store.append(&(first..first + 5).map(near).collect::<Vec<_>>()).unwrap();
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for round in 0..20 {
            let before = store.counts().records;
            let place = scratch.path().join(format!("backup-{round}"));
            back_up(&home, &FileDisk::new(&place), true);
            let after = store.counts().records;
            let again = FileDisk::new(scratch.path().join(format!("again-{round}")));
            put_back(&FileDisk::new(&place), &again);
            let restored = LogStore::open(&Home::open(again).unwrap()).unwrap();
            let found = all(&restored);
            assert!((before..=after + 5).contains(&(found.len() as u64)), "{before} {} {after}", found.len());
            assert!(found == (0..found.len() as u64).map(near).collect::<Vec<_>>(), "round {round}");
            assert_eq!(restored.counts().damaged_blocks, 0);
        }
        done.store(true, Ordering::Relaxed);
    });
}

fn damage(disk: &SimulatedDisk) -> (u64, Vec<String>) {
    let (mut whole, mut found) = (0, Vec::new());
    check_logs(disk, &mut |part| match part.error {
        Some(error) => found.push(error.to_string()),
        None => whole += part.records,
    })
    .unwrap();
    (whole, found)
}

#[test]
fn damage_is_told_with_its_file_and_what_is_lost() {
    let original = SimulatedDisk::new();
    filled(&open(&original), &(0..60).map(record).collect::<Vec<_>>());
    assert_eq!(damage(&original), (60, vec![]));
    let content = original.content("logs/2026-11-28");
    let starts: Vec<usize> =
        (0..content.len()).step_by(512).filter(|at| content[*at..].starts_with(b"LSl3")).collect();
    let check = |path: &str, at: usize, whole: u64, expected: &[&str]| {
        let disk = original.restart();
        disk.flip(path, at as u64, 1);
        let (found, said) = damage(&disk);
        assert_eq!((found, said.len()), (whole, 1), "{said:?}");
        assert!(expected.iter().all(|part| said[0].contains(part)), "{said:?}");
        // It opens all the same.
        open(&disk).append(&[record(100)]).unwrap();
    };
    let day = "logs/2026-11-28";
    check(day, starts[1] + 300, 42, &[day, "fail their check: 18 records of 2026-11-28 are lost"]);
    check(day, starts[0], 42, &[day, "are no block of logs: what 2026-11-28 had there is lost"]);
    check(day, starts[1], 42, &[day, "are no block of logs: up to 18 records of 2026-11-28 are lost"]);
    check(day, starts[2] + 9, 42, &[day, "are no block of logs: up to 18 records of 2026-11-28 are lost"]);
    check(
        "logs/open",
        40,
        54,
        &["logs/open", "a chunk of the newest logs fails its check: 3 records behind it"],
    );
}

/// What a crash leaves is no damage.
#[test]
fn an_end_that_was_not_written_is_no_damage() {
    let disk = SimulatedDisk::new();
    filled(&open(&disk), &(0..60).map(record).collect::<Vec<_>>());
    let tail = disk.open("logs/open", OpenMode::Write).unwrap();
    tail.set_len(tail.length().unwrap() - 100).unwrap();
    assert_eq!(damage(&disk), (57, vec![]));
}
