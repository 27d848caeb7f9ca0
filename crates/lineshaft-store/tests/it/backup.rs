//! Backups: taken while the writer goes on, interrupted, damaged, and put back.

use std::slice::from_ref;

use lineshaft_store::backup::{Backup, Facts, MANIFEST, Manifest, take};
use lineshaft_store::journal::extent;
use lineshaft_store::{
    Appended, Archive, Block, BlockArchive, Disk, DiskFile, Error, HeldFiles, Home, Journal, JournalEnd,
    JournalHandle, NewSnapshot, SegmentJournal,
};
use lineshaft_testkit::conformance::{
    archive::job,
    journal::{Writer, body},
};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};

use crate::support::{SimulatedJournal, refusal, small};

const COMMIT_BYTES: usize = 900;

/// A home with an open journal and archive.
struct Open {
    disk: SimulatedDisk,
    writer: Writer<SimulatedJournal>,
    archive: BlockArchive<SimulatedDisk>,
}

impl Open {
    fn new(disk: SimulatedDisk) -> Self {
        let home = Home::open(disk.clone()).unwrap();
        let writer = Writer::new(SegmentJournal::open(&home, small()).unwrap());
        Self { disk, writer, archive: BlockArchive::open(&home).unwrap() }
    }

    /// A journal over many segments, trimmed, with snapshots and a blob, and an archive.
    fn with_history() -> Self {
        let mut open = Self::new(SimulatedDisk::new());
        for round in 1..=4 {
            open.append(6);
            open.snapshot();
            open.writer.journal.trim(u64::MAX).unwrap();
            open.archive(round);
        }
        open.handle().put_blob(1, &body(1, 1_500)).unwrap();
        open.append(3);
        assert!(open.first_lsn() > 1, "something was trimmed");
        open
    }

    fn append(&mut self, count: usize) {
        (0..count).for_each(|_| drop(self.writer.append_bytes(COMMIT_BYTES)));
    }

    fn snapshot(&mut self) {
        let Appended { lsn, crc } = self.writer.journal.head();
        let put = |count: u64| {
            let changed = Box::new((0..count).map(|page| (page, body(lsn + page, 300))));
            let (tables, pages) = (&body(lsn, 700), from_ref(&(0..2)));
            self.handle().put_snapshot(NewSnapshot { lsn, crc, tables, pages, changed })
        };
        // One page changes every time, the other is written by the first snapshot alone.
        put(1).or_else(|_| put(2)).unwrap();
    }

    fn archive(&self, number: u64) {
        let lsn = self.writer.journal.head().lsn;
        self.archive.put(&Block { lsn, jobs: vec![job(number)] }).unwrap();
    }

    fn handle(&self) -> <SimulatedJournal as Journal>::Handle {
        self.writer.journal.handle()
    }

    fn first_lsn(&self) -> u64 {
        extent(&self.disk).unwrap().first_lsn()
    }

    fn segments(&self) -> Vec<String> {
        let listed = self.disk.list("seg").unwrap().into_iter().map(|entry| entry.name);
        listed.filter(|name| !name.starts_with("spare")).collect()
    }
}

fn facts() -> Facts {
    Facts { version: "1.2.3".into(), created_ms: 1_790_000_000_000, logs: true }
}

/// A backup of a stopped home.
fn backup_of(home: &SimulatedDisk) -> (SimulatedDisk, Manifest) {
    let backup = SimulatedDisk::new();
    let end = extent(home).unwrap().end();
    let manifest = take(home, &backup, end, facts(), &mut ()).unwrap();
    (backup, manifest)
}

fn put_back(backup: &SimulatedDisk, lsn: Option<u64>, home: &SimulatedDisk) -> Result<JournalEnd, Error> {
    let backup = Backup::open(backup.clone())?;
    backup.check(&mut ())?;
    let end = backup.end(lsn)?;
    let home = Home::begin_restore(home.clone())?;
    backup.put_back(&home, &end, &mut ())?;
    home.finish_restore()?;
    Ok(end)
}

/// The restored home has exactly the commits up to `end`, and the blob.
fn check_restored(home: &SimulatedDisk, end: Appended) -> Open {
    let mut open = Open::new(home.clone());
    let head = open.writer.journal.head();
    assert_eq!(head, end);
    let snapshot_lsn = extent(home).unwrap().snapshot_lsn.unwrap_or(0);
    let commits = open.writer.replay(snapshot_lsn).unwrap();
    assert_eq!(commits.len() as u64, end.lsn - snapshot_lsn);
    for (lsn, commit) in commits {
        assert_eq!(commit, body(lsn, COMMIT_BYTES), "commit {lsn}");
    }
    assert_eq!(open.handle().get_blob(1).unwrap(), body(1, 1_500));
    open
}

#[test]
fn a_stopped_home_comes_back_as_it_was() {
    let Open { disk, writer, .. } = Open::with_history();
    let head = writer.journal.head();
    drop(writer);
    let (backup, manifest) = backup_of(&disk);
    assert_eq!((manifest.lsn, manifest.crc), (head.lsn, head.crc));
    // As after a power cut right then: everything is durable.
    let home = SimulatedDisk::new();
    put_back(&backup.power_loss(Loss::Everything), None, &home).unwrap();
    let open = check_restored(&home.power_loss(Loss::Everything), head);
    assert_eq!(open.archive.head().last_finish_number, 4);
    assert!(Home::open(backup).is_err(), "nobody serves a backup in place of restoring it");
}

/// Whatever the writer does while files are held, the copy has the state of the beginning, to the commit.
#[test]
fn a_backup_of_a_home_that_goes_on_has_what_was_there_when_it_began() {
    let mut open = Open::with_history();
    let HeldFiles { end, hold } = open.handle().hold().unwrap();
    assert_eq!(end.newest, open.writer.journal.head());
    let before = open.segments();
    for round in 5..=8 {
        open.append(7);
        open.snapshot();
        open.writer.journal.trim(u64::MAX).unwrap();
        open.archive(round);
    }
    assert!(matches!(open.handle().drop_blob(1), Err(Error::Held)));
    assert_eq!(open.archive.drop_oldest_until(0).unwrap().jobs, 0, "there is only one file");
    assert!(matches!(open.archive.drop_before(u64::MAX), Err(Error::Held)));
    assert!(before.iter().all(|name| open.segments().contains(name)), "held segments stay");

    let backup = SimulatedDisk::new();
    let manifest = take(&open.disk, &backup, end, facts(), &mut ()).unwrap();
    assert!(manifest.files.iter().all(|file| !file.path.contains("spare")), "{manifest:?}");
    let home = SimulatedDisk::new();
    put_back(&backup, None, &home).unwrap();
    let restored = check_restored(&home, end.newest);
    assert_eq!(restored.archive.drop_beyond(end.newest.lsn).unwrap().jobs, 4, "the archive went on");
    assert_eq!(restored.archive.head().last_finish_number, 4);

    drop(hold);
    open.append(1);
    assert!(!open.segments().contains(&before[0]), "then they go");
    open.handle().drop_blob(1).unwrap();
    open.archive.drop_oldest_until(0).unwrap();
}

/// Half a commit beyond the end looks like damage, so it must not be in the copy.
#[test]
fn what_is_being_written_beyond_the_end_is_not_copied() {
    let mut open = Open::with_history();
    let HeldFiles { end, hold } = open.handle().hold().unwrap();
    open.append(1);
    let path = format!("seg/{:020}", end.last_segment);
    open.disk.flip(&path, end.last_segment_bytes + 100, 0xff);
    let backup = SimulatedDisk::new();
    take(&open.disk, &backup, end, facts(), &mut ()).unwrap();
    drop(hold);
    assert_eq!(backup.content(&path).len() as u64, end.last_segment_bytes);
    let home = SimulatedDisk::new();
    put_back(&backup, None, &home).unwrap();
    check_restored(&home, end.newest);
}

#[test]
fn a_damaged_home_gives_no_backup() {
    let open = Open::with_history();
    let end = extent(&open.disk).unwrap().end();
    open.disk.flip(&format!("seg/{:020}", end.last_segment), 700, 1);
    let backup = SimulatedDisk::new();
    let error = take(&open.disk, &backup, end, facts(), &mut ()).unwrap_err();
    assert!(error.to_string().contains("seg/"), "{error}");
    assert!(Backup::open(backup).is_err());
}

#[test]
fn every_damaged_missing_or_longer_file_of_a_backup_is_named_before_anything_is_written() {
    let (original, manifest) = backup_of(&Open::with_history().disk);
    assert!(manifest.files.iter().any(|file| file.path.starts_with("archive/")));
    for file in &manifest.files {
        let damage: [&dyn Fn(&SimulatedDisk); 4] = [
            &|disk| disk.flip(&file.path, file.bytes - 1, 1),
            &|disk| disk.remove_file(&file.path).unwrap(),
            &|disk| open_file(disk, &file.path).set_len(file.bytes - 1).unwrap(),
            &|disk| open_file(disk, &file.path).write_all_at(file.bytes, b"x").unwrap(),
        ];
        for damage in damage {
            let (backup, home) = (original.restart(), SimulatedDisk::new());
            damage(&backup);
            let error = put_back(&backup, None, &home).unwrap_err();
            let Error::Backup { file: named, .. } = &error else { panic!("{error}") };
            assert_eq!((named, home.used_bytes()), (&file.path, 0), "{error}");
        }
    }
}

fn open_file(disk: &SimulatedDisk, path: &str) -> impl DiskFile + use<> {
    disk.open(path, lineshaft_store::disk::OpenMode::Write).unwrap()
}

/// Whatever the moment, an interrupted backup is none, and a whole one is whole.
#[test]
fn a_backup_interrupted_at_any_operation_is_unfinished_or_whole() {
    let home = Open::with_history().disk;
    let end = extent(&home).unwrap().end();
    let operations = backup_of(&home).0.operations();
    assert!(operations > 20, "there is something to interrupt");
    let (mut unfinished, mut whole) = (0, 0);
    for operation in 1..=operations {
        let backup = SimulatedDisk::new();
        backup.crash_at(operation);
        take(&home, &backup, end, facts(), &mut ()).unwrap_err();
        let images =
            [backup.restart(), backup.power_loss(Loss::Everything), backup.power_loss(Loss::Some(operation))];
        for image in images {
            match Backup::open(image.clone()) {
                Err(Error::Backup { file, .. }) => {
                    assert_eq!(file, MANIFEST);
                    unfinished += 1;
                }
                Err(error) => panic!("operation {operation}: {error}"),
                Ok(_) => {
                    put_back(&image, None, &SimulatedDisk::new())
                        .unwrap_or_else(|error| panic!("operation {operation}: {error}"));
                    whole += 1;
                }
            }
        }
    }
    assert!(unfinished > 40 && whole > 0, "{unfinished} {whole}");
}

#[test]
fn no_room_for_a_backup_is_an_error_and_the_home_is_as_it_was() {
    let home = Open::with_history().disk;
    let end = extent(&home).unwrap().end();
    let backup = SimulatedDisk::new();
    backup.set_capacity(Some(10_000));
    let error = take(&home, &backup, end, facts(), &mut ()).unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(Backup::open(backup).is_err());
    backup_of(&home);
}

/// Whatever the moment, an interrupted restore leaves a home that nobody opens, or a whole one.
#[test]
fn a_restore_interrupted_at_any_operation_leaves_no_home_or_a_whole_one() {
    let source = Open::with_history();
    let head = source.writer.journal.head();
    let (backup, _) = backup_of(&source.disk);
    let whole = SimulatedDisk::new();
    put_back(&backup, None, &whole).unwrap();
    for operation in 1..=whole.operations() {
        let home = SimulatedDisk::new();
        home.crash_at(operation);
        put_back(&backup, None, &home).unwrap_err();
        for image in
            [home.restart(), home.power_loss(Loss::Everything), home.power_loss(Loss::Some(operation))]
        {
            match Home::open(image.clone()) {
                Err(Error::Format { hint, .. }) => assert!(hint.contains("restore"), "{hint}"),
                // Not even the mark was there.
                Ok(_) if image.list("seg").unwrap().is_empty() => {}
                Ok(home) => {
                    drop(home);
                    check_restored(&image, head);
                }
                Err(error) => panic!("operation {operation}: {error}"),
            }
        }
    }
}

#[test]
fn every_commit_that_the_backup_gives_can_be_restored_and_no_other() {
    let source = Open::with_history();
    let (backup, manifest) = backup_of(&source.disk);
    let (first_lsn, last_lsn) = (manifest.first_lsn, manifest.lsn);
    assert!(first_lsn > source.first_lsn() && first_lsn < last_lsn, "{first_lsn} {last_lsn}");
    for lsn in first_lsn..=last_lsn {
        let home = SimulatedDisk::new();
        let end = put_back(&backup, Some(lsn), &home).unwrap();
        assert_eq!(end.newest.lsn, lsn);
        let mut open = check_restored(&home, end.newest);
        open.append(2);
    }
    for lsn in [0, 1, first_lsn - 1, last_lsn + 1, u64::MAX] {
        let home = SimulatedDisk::new();
        let error = put_back(&backup, Some(lsn), &home).unwrap_err();
        let range = format!("to commit {lsn}: it gives the states from {first_lsn} to {last_lsn}");
        assert!(error.to_string().ends_with(&range), "{error}");
        assert_eq!(home.used_bytes(), 0);
    }
}

/// A tail that was written again at a start lies in two segments; the one that counts ends the copy.
#[test]
fn a_journal_with_tails_written_again_can_be_cut_at_every_commit() {
    let mut disk = SimulatedDisk::new();
    for _ in 0..5 {
        let mut open = Open::new(disk.clone());
        open.append(3);
        open.handle().put_blob(1, &body(1, 1_500)).unwrap();
        drop(open);
        disk = disk.restart();
    }
    let (backup, manifest) = backup_of(&disk);
    assert_eq!((manifest.first_lsn, manifest.lsn), (1, 15));
    for lsn in 1..=15 {
        let home = SimulatedDisk::new();
        let end = put_back(&backup, Some(lsn), &home).unwrap();
        check_restored(&home, end.newest);
    }
}

#[test]
fn an_empty_home_has_a_backup_too() {
    let disk = SimulatedDisk::new();
    drop(Open::new(disk.clone()));
    let (backup, manifest) = backup_of(&disk);
    assert_eq!((manifest.first_lsn, manifest.lsn), (0, 0));
    let home = SimulatedDisk::new();
    put_back(&backup, None, &home).unwrap();
    assert_eq!(Open::new(home).writer.journal.head(), Appended::default());
    assert!(matches!(put_back(&backup, Some(1), &SimulatedDisk::new()), Err(Error::NotInBackup { .. })));
}

#[test]
fn whoever_watches_can_stop_it() {
    struct Impatient(u64);
    impl lineshaft_store::backup::Watch for Impatient {
        fn advanced(&mut self, bytes: u64) -> Result<(), Error> {
            self.0 += bytes;
            if self.0 > 10_000 { Err(Error::GivenUp { reason: "enough".into() }) } else { Ok(()) }
        }
    }
    let home = Open::with_history().disk;
    let end = extent(&home).unwrap().end();
    let backup = SimulatedDisk::new();
    let error = take(&home, &backup, end, facts(), &mut Impatient(0)).unwrap_err();
    assert_eq!(error.to_string(), "enough");
    refusal(Backup::open(backup));
}
