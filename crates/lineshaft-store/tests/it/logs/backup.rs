//! What a backup has of logs, and what is said of damaged ones.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use lineshaft_store::backup::{Backup, Facts, Manifest, Watch, take, take_stopped};
use lineshaft_store::disk::{DirEntry, Disk, DiskFile, LockAttempt, OpenMode};
use lineshaft_store::journal::extent;
use lineshaft_store::logs::{Limits, LogStore, check_logs};
use lineshaft_store::{Error, FileDisk, Home, Journal, Options, SegmentJournal};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};

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

fn back_up_stopped<S: Disk, D: Disk>(home: &S, backup: &D) -> Manifest {
    let home = Home::open(home.clone()).unwrap();
    let end = extent(home.disk()).unwrap().end();
    take_stopped(&home, backup, end, facts(true), &mut ()).unwrap()
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

/// A crash leaves blocks that the tail has too, and blocks that are not whole; a power cut also a tail that was closed, under
/// chunks of the next one, and chunks without those before them. A backup lacked blocks of a tail of which a part came back, and
/// the check of a home called such chunks damaged.
#[test]
fn a_backup_of_every_image_of_a_crash_has_what_the_home_has() {
    let several = Limits { tail_bytes: 600, tail_records: 9, ..small() };
    for limits in [small(), several] {
        let whole = SimulatedDisk::new();
        begin(&whole);
        let began = whole.operations();
        crash_history(&whole, limits).unwrap();
        for operation in began + 1..=whole.operations() {
            let disk = SimulatedDisk::new();
            begin(&disk);
            disk.crash_at(operation);
            let _ = crash_history(&disk, limits);
            check_image(&disk.restart(), &format!("operation {operation}, process died"));
            check_image(&disk.power_loss(Loss::Everything), &format!("operation {operation}, all lost"));
            // Others for each operation, since what is lost of the first change depends on the seed alone.
            for seed in 4 * operation..4 * (operation + 1) {
                check_image(
                    &disk.power_loss(Loss::Some(seed)),
                    &format!("operation {operation}, seed {seed}"),
                );
            }
        }
    }
}

/// Tails that are closed, some of them synced before, and a time at which nothing is kept.
fn crash_history(disk: &SimulatedDisk, limits: Limits) -> Result<(), Error> {
    let store = LogStore::open(&Home::open(disk.clone())?)?;
    store.set_limits(limits);
    for (piece, records) in (0..72).map(record).collect::<Vec<_>>().chunks(3).enumerate() {
        store.append(records)?;
        if piece % 11 == 9 {
            store.sync()?;
        }
        if piece == 15 {
            store.drop_before(DAY_US + 2 * 86_400_000_000)?;
        }
    }
    Ok(())
}

/// A home that nobody has opened, its backup, and what an opening of either shows are the same, and no damage.
fn check_image(image: &SimulatedDisk, context: &str) {
    let (backup, restored) = (SimulatedDisk::new(), SimulatedDisk::new());
    back_up_stopped(image, &backup);
    put_back(&backup, &restored);
    let found = [image, &restored].map(damage);
    let shown = [image, &restored].map(|disk| all(&open(&disk.restart())));
    assert_eq!(shown[1], shown[0], "{context}");
    let count = shown[0].len() as u64;
    assert_eq!(found, [(count, vec![]), (count, vec![])], "{context}");
}

/// What stood in a block was not looked at where the beginning of the tail that it was made of had come back.
#[test]
fn a_damaged_block_is_told_though_a_part_of_its_tail_came_back() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    filled(&store, &(0..18).map(record).collect::<Vec<_>>());
    let before = disk.content("logs/open");
    store.append(&[record(18)]).unwrap();
    drop(store);
    let tail = disk.open("logs/open", OpenMode::Write).unwrap();
    tail.write_all_at(0, &before[..512]).unwrap();
    tail.set_len(512).unwrap();
    drop(tail);
    assert_eq!(damage(&disk), (18, vec![]));
    disk.flip("logs/2026-11-28", 300, 1);
    let (_, said) = damage(&disk);
    assert!(said.len() == 1 && said[0].contains("fail their check: 18 records of 2026-11-28"), "{said:?}");
}

/// Drops all logs once a backup knows what it is going to copy.
struct Dropping(LogStore<SimulatedDisk>);

impl Watch for Dropping {
    fn began(&mut self, _files: u64, _bytes: u64) {
        self.0.drop_before(DAY_US + 2 * 86_400_000_000).unwrap();
    }
}

/// Numbers began anew in a home that was restored, and cursors pointed to other records.
#[test]
fn a_backup_knows_which_numbers_were_given_though_all_logs_go_meanwhile() {
    let disk = SimulatedDisk::new();
    begin(&disk);
    let store = open(&disk);
    filled(&store, &(0..18).map(record).collect::<Vec<_>>());
    let cursor = after(&store, None).1;
    // The tail becomes a block, and is empty since this is refused.
    let mut large = record(18);
    large.fields = (0..5).map(|_| ("x".into(), format!("\"{}\"", "y".repeat(60_000)).into())).collect();
    assert!(matches!(store.append(&[large]), Err(Error::TooLarge { .. })));
    assert!(disk.content("logs/open").is_empty());
    let (backup, restored) = (SimulatedDisk::new(), SimulatedDisk::new());
    let end = extent(&disk).unwrap().end();
    take(&disk, &backup, end, facts(true), &mut Dropping(store)).unwrap();
    put_back(&backup, &restored);
    let store = open(&restored);
    store.append(&[record(19)]).unwrap();
    let found = after(&store, None);
    assert_eq!(found.0, [record(19)]);
    assert!(found.1 > cursor, "{found:?}");
}

/// A disk on which something happens while the tail is read for the first time, of which half is read then.
#[derive(Clone)]
struct Racing {
    disk: SimulatedDisk,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

type Meanwhile = Box<dyn FnOnce() + Send>;

struct RacingFile {
    file: <SimulatedDisk as Disk>::File,
    meanwhile: Option<Arc<Mutex<Option<Meanwhile>>>>,
}

impl Disk for Racing {
    type File = RacingFile;
    type Lock = <SimulatedDisk as Disk>::Lock;

    fn create_dir_all(&self, path: &str) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn open(&self, path: &str, mode: OpenMode) -> io::Result<RacingFile> {
        let meanwhile = (path == "logs/open").then(|| self.meanwhile.clone());
        Ok(RacingFile { file: self.disk.open(path, mode)?, meanwhile })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn list(&self, path: &str) -> io::Result<Vec<DirEntry>> {
        self.disk.list(path)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &str, owner: &str) -> io::Result<LockAttempt<Self::Lock>> {
        self.disk.lock(path, owner)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }
}

impl DiskFile for RacingFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let meanwhile = self.meanwhile.as_ref().and_then(|meanwhile| meanwhile.lock().unwrap().take());
        let Some(meanwhile) = meanwhile else { return self.file.read_at(offset, buffer) };
        let half = buffer.len() / 2;
        let count = self.file.read_at(offset, &mut buffer[..half])?;
        meanwhile();
        // What is longer by now than it was before is read up to where that is.
        Ok(count)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(offset, bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
}

/// The chunks that were read first counted as the whole tail, and blocks of later records as too new.
#[test]
fn a_tail_that_is_cut_while_it_is_read_costs_a_backup_nothing() {
    let disk = SimulatedDisk::new();
    begin(&disk);
    let store = open(&disk);
    filled(&store, &(0..15).map(record).collect::<Vec<_>>());
    let writer = store.clone();
    let meanwhile: Meanwhile = Box::new(move || filled(&writer, &(15..45).map(record).collect::<Vec<_>>()));
    let racing = Racing { disk, meanwhile: Arc::new(Mutex::new(Some(meanwhile))) };
    let (backup, restored) = (SimulatedDisk::new(), SimulatedDisk::new());
    back_up(&racing, &backup, true);
    assert!(racing.meanwhile.lock().unwrap().is_none(), "it was read");
    put_back(&backup, &restored);
    assert_eq!(all(&open(&restored)), (0..45).map(record).collect::<Vec<_>>());
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
    let store = open(&original);
    filled(&store, &(0..57).map(record).collect::<Vec<_>>());
    // The next chunk says that this one is durable.
    store.sync().unwrap();
    filled(&store, &(57..60).map(record).collect::<Vec<_>>());
    drop(store);
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

/// What a crash leaves is no damage. Where only the zeros behind a chunk were missing, a check and a backup panicked.
#[test]
fn an_end_that_was_not_written_is_no_damage() {
    let disk = SimulatedDisk::new();
    begin(&disk);
    filled(&open(&disk), &(0..60).map(record).collect::<Vec<_>>());
    let tail = disk.open("logs/open", OpenMode::Write).unwrap();
    for (cut, count) in [(1, 60), (100, 57)] {
        tail.set_len(tail.length().unwrap() - cut).unwrap();
        assert_eq!(damage(&disk), (count, vec![]));
        let (backup, restored) = (SimulatedDisk::new(), SimulatedDisk::new());
        back_up(&disk, &backup, true);
        put_back(&backup, &restored);
        assert_eq!(all(&open(&restored)).len() as u64, count);
    }
}

/// A power cut while the tail is closed leaves zeros in place of its block, or a part of that: it was called lost.
#[test]
fn a_block_that_was_not_written_to_its_end_is_no_damage_while_the_tail_has_its_records() {
    let original = SimulatedDisk::new();
    filled(&open(&original), &(0..60).map(record).collect::<Vec<_>>());
    let content = original.content("logs/2026-11-28");
    let part = &content[..1_024];
    let records = (0..60).map(record).collect::<Vec<_>>();
    // Behind the blocks of a day, or in a file of its own.
    for (path, is_new) in [("logs/2026-11-28", false), ("logs/2026-11-28.1", true)] {
        for bytes in [&[0; 1_024][..], part] {
            let disk = original.restart();
            let file = disk.open(path, if is_new { OpenMode::Create } else { OpenMode::Write }).unwrap();
            file.write_all_at(file.length().unwrap(), bytes).unwrap();
            drop(file);
            assert_eq!(damage(&disk), (60, vec![]), "{path}");
            assert_eq!(all(&open(&disk)), records);
        }
    }
    // The last block is gone, and the tail does not have what was in it.
    let mut starts = (0..content.len()).step_by(512).filter(|at| content[*at..].starts_with(b"LSl3"));
    let last = starts.next_back().unwrap();
    let disk = original.restart();
    let file = disk.open("logs/2026-11-28", OpenMode::Write).unwrap();
    file.write_all_at(last as u64, &vec![0; content.len() - last]).unwrap();
    drop(file);
    let (_, said) = damage(&disk);
    assert!(said.len() == 1 && said[0].contains("are no block of logs: up to"), "{said:?}");
    // A file of which nothing reads any more, of days before the tail's.
    let disk = SimulatedDisk::new();
    filled(&open(&disk), &(0..18).chain(200..210).map(record).collect::<Vec<_>>());
    assert_eq!(damage(&disk), (28, vec![]));
    disk.flip("logs/2026-11-28", 0, 1);
    let (whole, said) = damage(&disk);
    assert_eq!((whole, said.len()), (10, 1), "{said:?}");
    assert!(said[0].contains("what 2026-11-28 had there is lost"), "{said:?}");
}
