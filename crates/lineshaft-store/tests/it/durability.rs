//! Failing syncs, and what each level of durability promises.

use std::time::{Duration, Instant};

use lineshaft_store::disk::{Disk, DiskFile, OpenMode};
use lineshaft_store::{
    Durability, Error, FileDisk, Home, Journal, JournalHandle, Location, NewSnapshot, Options, SegmentJournal,
};
use lineshaft_testkit::conformance::journal::{Writer, body};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};

use crate::support::{open, small, small_os, writer};

/// Every operation of an append fails once, in turn.
#[test]
fn a_failed_write_or_sync_stops_the_journal_for_good() {
    for offset in 1..=2 {
        let disk = SimulatedDisk::new();
        let mut writer = writer(&disk);
        writer.append(b"one").unwrap();
        disk.fail_at(disk.operations() + offset);
        assert!(matches!(writer.append(b"two"), Err(Error::Io { .. })), "operation {offset}");
        assert!(matches!(writer.append(b"three"), Err(Error::Poisoned)));
        assert!(matches!(writer.journal.seal(), Err(Error::Poisoned)));
        assert!(matches!(writer.journal.sync(), Err(Error::Poisoned)));
        assert!(matches!(writer.journal.handle().put_blob(1, b""), Err(Error::Poisoned)));
        assert_eq!(writer.journal.handle().durable_lsn(), 1);
    }
}

/// After a failed sync the pages look written but are not; recovery must not trust them.
#[test]
fn what_a_failed_sync_pretended_is_made_true_by_the_next_start() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    writer.append(b"one").unwrap();
    disk.fail_at(disk.operations() + 2);
    writer.append(b"two").unwrap_err();
    drop(writer);
    let disk = disk.restart();
    let (_, recovery) = open(&disk, small()).unwrap();
    assert_eq!(recovery.head.lsn, 2, "the page cache still has the commit");
    let (_, recovery) = open(&disk.power_loss(Loss::Everything), small()).unwrap();
    assert_eq!(recovery.head.lsn, 2, "the first start wrote it again");
}

/// A process that dies between renaming a snapshot and syncing the directory leaves a name that may still vanish.
#[test]
fn a_snapshot_that_was_found_once_stays() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    let (head, _) = writer.append_bytes(100);
    // Creation, two writes, sync, renaming; the sync of the directory is what fails.
    disk.crash_at(disk.operations() + 6);
    writer.journal.handle().put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, b"state")).unwrap_err();
    let disk = disk.restart();
    for image in [disk.clone(), disk.power_loss(Loss::Everything), disk] {
        let found = open(&image, small()).unwrap().1.snapshot;
        let again = open(&image.power_loss(Loss::Everything), small()).unwrap().1.snapshot;
        assert_eq!(found, again);
    }
}

#[test]
fn commits_are_durable_on_return() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    for lsn in 1..30 {
        writer.append_bytes(500);
        let (_, recovery) = open(&disk.power_loss(Loss::Everything), small()).unwrap();
        assert_eq!((recovery.head.lsn, recovery.cut), (lsn, None));
    }
}

#[test]
fn commits_left_to_the_system_survive_the_process() {
    let disk = SimulatedDisk::new();
    let mut writer = Writer::new(open(&disk, small_os()).unwrap());
    (0..20).for_each(|_| drop(writer.append_bytes(500)));
    assert_eq!(writer.journal.handle().durable_lsn(), 0);
    let (_, recovery) = open(&disk.restart(), small_os()).unwrap();
    assert_eq!(recovery.head.lsn, 20);
    writer.journal.sync().unwrap();
    assert_eq!(writer.journal.handle().durable_lsn(), 20);
    let (_, recovery) = open(&disk.power_loss(Loss::Everything), small_os()).unwrap();
    assert_eq!(recovery.head.lsn, 20);
}

#[test]
fn a_thread_syncs_behind_the_writer() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::open(FileDisk::new(directory.path())).unwrap();
    let options = Options { durability: Durability::Os, ..Options::default() };
    let mut writer = Writer::new(SegmentJournal::open(&home, options).unwrap());
    (0..1_000).for_each(|_| drop(writer.append_bytes(2_000)));
    let deadline = Instant::now() + Duration::from_secs(20);
    while writer.journal.handle().durable_lsn() < 1_000 {
        assert!(Instant::now() < deadline, "only {} are durable", writer.journal.handle().durable_lsn());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Old commits in a file that is used again must not be taken for new ones.
#[test]
fn used_files_come_back_with_another_salt() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    for round in 1..=12 {
        let head = (0..10).map(|_| writer.append_bytes(900).0).last().unwrap();
        writer.journal.handle().put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, b"state")).unwrap();
        writer.journal.trim(head.lsn).unwrap();
        let (journal, recovery) = open(&disk.restart(), small()).unwrap();
        assert_eq!((recovery.head.lsn, recovery.cut), (10 * round, None));
        drop(journal);
    }
    let files = disk.list("seg").unwrap();
    assert!(files.len() < 10, "files are used again: {files:?}");
}

/// A reader that pins a segment sees its commits although the file was to be used again.
#[test]
fn trimming_does_not_disturb_a_reader() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::open(FileDisk::new(directory.path())).unwrap();
    let mut writer =
        Writer::new(SegmentJournal::open(&home, Options { background: true, ..small() }).unwrap());
    let handle = writer.journal.handle();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            for _ in 0..20_000 {
                let lsn = handle.durable_lsn().saturating_sub(40).max(1);
                let location = Location { lsn, offset: 3, length: 50 };
                match handle.read_at(location) {
                    Ok(bytes) => assert_eq!(bytes, body(lsn, 300)[3..53]),
                    Err(Error::NoCommit { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        for _ in 0..30 {
            let head = (0..20).map(|_| writer.append_bytes(300).0).last().unwrap();
            writer
                .journal
                .handle()
                .put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, b"state"))
                .unwrap();
            writer.journal.trim(head.lsn).unwrap();
        }
        reader.join().unwrap();
    });
}

#[test]
fn a_torn_write_of_the_format_file_leaves_a_new_home() {
    let disk = SimulatedDisk::new();
    disk.open("FORMAT.tmp", OpenMode::Create).unwrap().write_all_at(0, b"lines").unwrap();
    assert!(Home::open(disk).is_ok());
}
