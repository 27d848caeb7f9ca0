//! Full disks and retention.

use lineshaft_store::disk::Disk;
use lineshaft_store::logs::{Limits, LogStore};
use lineshaft_store::{Error, Home};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};

use super::support::{DAY_US, after, all, filled, open, record, small};

#[test]
fn a_full_disk_refuses_whole_appends_and_the_store_goes_on() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    filled(&store, &(0..30).map(record).collect::<Vec<_>>());
    let mut stored = 30;
    for room in (0..6_000).step_by(300) {
        disk.set_capacity(Some(disk.used_bytes() + room));
        // Smaller appends than the room there is, and larger ones.
        for size in [1, 9, 40] {
            let records: Vec<_> = (stored..stored + size).map(record).collect();
            match store.append(&records) {
                Ok(()) => stored += size,
                Err(error) => assert!(matches!(error, Error::Full { .. }), "{error}"),
            }
            assert_eq!(all(&store).len() as u64, stored, "room for {room}");
        }
        let found = all(&open(&disk.restart()));
        assert!(found == (0..stored).map(record).collect::<Vec<_>>(), "room for {room}");
    }
    disk.set_capacity(None);
    filled(&store, &(stored..stored + 100).map(record).collect::<Vec<_>>());
    assert!(all(&store) == (0..stored + 100).map(record).collect::<Vec<_>>());
}

/// The look for room says that there is some, and then there is not.
#[test]
fn a_write_that_does_not_fit_is_taken_back() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    filled(&store, &(0..18).map(record).collect::<Vec<_>>());
    disk.fill(700, 1);
    let _ = disk.free_bytes();
    for stored in 18..30 {
        disk.fill(300, 3);
        let refused = store.append(&(100..140).map(record).collect::<Vec<_>>());
        assert!(matches!(refused, Err(Error::Full { .. })));
        disk.set_capacity(None);
        store.append(&[record(stored)]).unwrap();
    }
    assert!(all(&open(&disk.restart())) == (0..30).map(record).collect::<Vec<_>>());
}

#[test]
fn days_are_dropped() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let day = 24 * 3_600 * 1_000_000;
    filled(&store, &(0..400).map(record).collect::<Vec<_>>());
    let files = |disk: &SimulatedDisk| disk.list("logs").unwrap().len() - 1;
    assert_eq!(files(&disk), 5);
    let before = store.counts();
    assert_eq!(store.drop_before(DAY_US).unwrap(), 0);
    let freed = store.drop_before(DAY_US + 2 * day + 5).unwrap();
    assert_eq!(files(&disk), 3);
    let counts = store.counts();
    assert_eq!(counts.bytes + freed, before.bytes);
    let found = all(&store);
    // A block is in the file of the day in the middle of its times.
    assert!(found[0].time_us.abs_diff(DAY_US + 2 * day) < day / 5);
    assert!(found == (400 - found.len() as u64..400).map(record).collect::<Vec<_>>());
    assert_eq!((counts.records, counts.oldest_us), (found.len() as u64, Some(found[0].time_us)));
    assert_eq!(all(&open(&disk.power_loss(Loss::Everything))).first(), all(&store).first());
}

/// The newest day stayed for ever where nothing was logged any more, and so did the tail.
#[test]
fn what_nobody_adds_to_goes_too_and_its_numbers_are_not_given_again() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    filled(&store, &(0..60).map(record).collect::<Vec<_>>());
    let (_, cursor) = after(&store, None);
    let tail = disk.content("logs/open").len();
    assert!(tail > 0);
    assert_eq!(store.drop_before(DAY_US + 60 * 900_000_000).unwrap(), 0, "its day is not over");
    assert_eq!(disk.content("logs/open").len(), tail);
    let bytes = store.counts().bytes;
    assert!(store.drop_before(DAY_US + 2 * 86_400_000_000).unwrap() > bytes / 2);
    let names: Vec<String> = disk.list("logs").unwrap().into_iter().map(|file| file.name).collect();
    assert_eq!(names, ["NEXT", "open"]);
    assert_eq!((disk.content("logs/open").len(), store.counts().records), (0, 0));
    for store in [store, open(&disk.power_loss(Loss::Everything))] {
        store.append(&[record(500)]).unwrap();
        assert_eq!(all(&store), [record(500)]);
        // Who follows hears of it.
        assert_eq!(after(&store, cursor).0, [record(500)]);
    }
}

/// A crash at any operation of that leaves all of it, or less, and no number is given again.
#[test]
fn a_crash_while_the_last_day_goes_gives_no_number_again() {
    let full = SimulatedDisk::new();
    let store = open(&full);
    filled(&store, &(0..60).map(record).collect::<Vec<_>>());
    store.sync().unwrap();
    drop(store);
    let whole = full.restart();
    let before = whole.operations();
    open(&whole).drop_before(u64::MAX).unwrap();
    let operations = before + 1..=whole.operations();
    assert!(operations.clone().count() > 8);
    for operation in operations {
        let disk = full.restart();
        let (_, cursor) = after(&open(&disk), None);
        let disk = full.restart();
        disk.crash_at(operation);
        let home = Home::open(disk.clone());
        let _ = home.and_then(|home| LogStore::open(&home)?.drop_before(u64::MAX));
        for image in
            [disk.restart(), disk.power_loss(Loss::Everything), disk.power_loss(Loss::Some(operation))]
        {
            let store = open(&image);
            let found = all(&store);
            // A part of it, and nothing else.
            let first = found.first().map_or(0, |first| (first.time_us - DAY_US) / 900_000_000);
            assert!(
                found == (first..first + found.len() as u64).map(record).collect::<Vec<_>>(),
                "{operation}"
            );
            store.append(&[record(500)]).unwrap();
            assert_eq!(after(&store, cursor).0, [record(500)], "operation {operation}");
        }
    }
}

#[test]
fn the_oldest_go_until_there_is_little_enough_and_the_newest_file_stays() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    store.set_limits(Limits { file_bytes: 1 << 12, ..small() });
    filled(&store, &(0..300).map(record).collect::<Vec<_>>());
    let bytes = store.counts().bytes;
    assert!(disk.list("logs").unwrap().len() > 3);
    assert_eq!(store.drop_oldest_until(bytes).unwrap(), 0);
    let freed = store.drop_oldest_until(bytes / 2).unwrap();
    assert!(freed > 0 && store.counts().bytes <= bytes / 2 && store.counts().bytes + freed == bytes);
    let found = all(&store);
    assert!(found == (300 - found.len() as u64..300).map(record).collect::<Vec<_>>());
    store.drop_oldest_until(0).unwrap();
    assert_eq!(disk.list("logs").unwrap().len(), 2);
    assert!(all(&store).len() >= 16);
}

/// A worker whose clock is years ahead made a file that no retention reached, or that of today went before it.
#[test]
fn what_is_oldest_is_told_by_the_order_of_appending() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let ahead = |number| {
        let mut record = record(number);
        record.time_us += 400 * 24 * 3_600 * 1_000_000;
        record
    };
    filled(&store, &(0..18).map(ahead).collect::<Vec<_>>());
    filled(&store, &(18..60).map(record).collect::<Vec<_>>());
    store.drop_oldest_until(0).unwrap();
    assert!(all(&store).iter().all(|record| record.time_us < DAY_US + 100 * 900_000_000));
    assert_eq!(all(&store).last(), Some(&record(59)));
}
