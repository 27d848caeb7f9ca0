//! Histories of appends crashed at every operation of the disk.

use lineshaft_store::logs::{Limits, LogStore};
use lineshaft_store::{Error, Home};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use lineshaft_wire::{LogFilter, LogRecord};

use super::support::{all, attached, read, record, small};

/// What was acknowledged before the crash.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// Records given to the store, and those that it said it has.
    given: usize,
    appended: usize,
    /// Records that are durable.
    synced: usize,
}

fn open(disk: &SimulatedDisk, limits: Limits) -> Result<LogStore<SimulatedDisk>, Error> {
    let store = LogStore::open(&Home::open(disk.clone())?)?;
    store.set_limits(limits);
    Ok(store)
}

/// Appends pieces of different sizes from the record `from` on, some of them synced.
fn history(
    store: &LogStore<SimulatedDisk>,
    from: usize,
    pieces: usize,
    told: &mut Told,
) -> Result<(), Error> {
    told.given = from;
    for piece in 0..pieces {
        let records: Vec<LogRecord> =
            (told.given..told.given + 1 + piece % 4).map(|number| attached(number as u64)).collect();
        told.given += records.len();
        store.append(&records)?;
        told.appended = told.given;
        if piece % 5 == 3 {
            store.sync()?;
            told.synced = told.appended;
        }
    }
    Ok(())
}

/// What is found is a prefix of what was given, with all that has to be there, each record once.
fn check(disk: &SimulatedDisk, limits: Limits, told: Told, at_least: usize, context: &str) {
    let store = open(disk, limits).unwrap_or_else(|error| panic!("{context}: {error}"));
    let found = all(&store);
    let expected: Vec<_> = (0..found.len() as u64).map(record).collect();
    assert!(found == expected, "{context}: no prefix");
    let with_attachments = read(&store, &LogFilter { attached: true, ..LogFilter::default() }, 100, false);
    let expected = (0..found.len() as u64).map(attached).filter(|record| record.attachment.is_some());
    assert!(with_attachments == expected.collect::<Vec<_>>(), "{context}: other attachments");
    assert!((at_least..=told.given).contains(&found.len()), "{context}: {} of {told:?}", found.len());
    assert_eq!(store.counts().records, found.len() as u64, "{context}");
    // It goes on from there, and nothing of before comes again.
    let mut after = Told::default();
    history(&store, found.len(), 8, &mut after).unwrap_or_else(|error| panic!("{context}: {error}"));
    store.sync().unwrap();
    drop(store);
    let found = all(&open(&disk.power_loss(Loss::Everything), limits).unwrap());
    assert!(found == (0..after.appended as u64).map(record).collect::<Vec<_>>(), "{context}: went on wrong");
}

fn check_images(disk: &SimulatedDisk, limits: Limits, told: Told, context: &str) {
    check(&disk.restart(), limits, told, told.appended, &format!("{context}, process died"));
    check(&disk.power_loss(Loss::Everything), limits, told, told.synced, &format!("{context}, all lost"));
    for seed in 0..8 {
        let context = format!("{context}, seed {seed}");
        check(&disk.power_loss(Loss::Some(seed)), limits, told, told.synced, &context);
    }
}

fn crash_everywhere(limits: Limits, pieces: usize) {
    let run = |disk: &SimulatedDisk, told: &mut Told| history(&open(disk, limits)?, 0, pieces, told);
    let whole = SimulatedDisk::new();
    run(&whole, &mut Told::default()).unwrap();
    assert!(whole.operations() > 40, "the history does something");
    for operation in 1..=whole.operations() {
        let disk = SimulatedDisk::new();
        disk.crash_at(operation);
        let mut told = Told::default();
        let _ = run(&disk, &mut told);
        check_images(&disk, limits, told, &format!("operation {operation}"));
    }
}

#[test]
fn a_crash_at_any_write_loses_nothing_that_was_synced_and_shows_nothing_twice() {
    crash_everywhere(small(), 40);
}

/// Blocks so small that a tail becomes several of them at once.
#[test]
fn nor_where_a_tail_becomes_several_blocks() {
    crash_everywhere(Limits { tail_bytes: 600, tail_records: 9, ..small() }, 30);
}

/// The opening after a crash crashes too, at any of its operations.
#[test]
fn nor_when_the_next_opening_crashes() {
    let whole = SimulatedDisk::new();
    history(&open(&whole, small()).unwrap(), 0, 30, &mut Told::default()).unwrap();
    for operation in 1..=whole.operations() {
        let disk = SimulatedDisk::new();
        disk.crash_at(operation);
        let mut told = Told::default();
        let _ = open(&disk, small()).and_then(|store| history(&store, 0, 30, &mut told));
        let (image, at_least) = match operation % 3 {
            0 => (disk.restart(), told.appended),
            1 => (disk.power_loss(Loss::Everything), told.synced),
            _ => (disk.power_loss(Loss::Some(operation)), told.synced),
        };
        let before = image.operations();
        let probe = image.restart();
        drop(open(&probe, small()).unwrap());
        for second in before + 1..=probe.operations() {
            let image = image.restart();
            image.crash_at(second);
            drop(open(&image, small()));
            // A process that died wrote what it wrote; a power cut leaves what was synced.
            let context = format!("operations {operation} and {second}");
            check(&image.restart(), small(), told, at_least, &context);
            for seed in 0..3 {
                check(&image.power_loss(Loss::Some(seed)), small(), told, told.synced, &context);
            }
        }
    }
}

/// A sync that fails leaves pages in memory that look written, and ends writing; what is read after a restart is made
/// durable before the tail forgets it.
#[test]
fn a_failed_sync_ends_writing_and_loses_nothing_that_was_synced_before() {
    let whole = SimulatedDisk::new();
    history(&open(&whole, small()).unwrap(), 0, 40, &mut Told::default()).unwrap();
    for sync in 1..=whole.syncs() {
        let disk = SimulatedDisk::new();
        let store = open(&disk, small()).unwrap();
        disk.fail_sync(sync);
        let mut told = Told::default();
        if history(&store, 0, 40, &mut told).is_ok() {
            break;
        }
        assert!(matches!(store.append(&[record(0)]), Err(Error::Poisoned)));
        assert_eq!(all(&store).len(), told.appended, "it is read on");
        drop(store);
        check(&disk.power_loss(Loss::Everything), small(), told, told.synced, &format!("sync {sync}"));
        let restarted = disk.restart();
        let found = all(&open(&restarted, small()).unwrap()).len();
        assert!((told.appended..=told.given).contains(&found), "sync {sync}");
        check(
            &restarted.power_loss(Loss::Everything),
            small(),
            told,
            told.synced,
            &format!("restart after {sync}"),
        );
    }
}
