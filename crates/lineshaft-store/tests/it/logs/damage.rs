//! Damage: what does not read is passed over and counted, and never believed.

use lineshaft_store::disk::{Disk, DiskFile, OpenMode};
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::{LogFilter, LogRecord};

use super::support::{all, filled, open, read, record};

const DAY: &str = "logs/2026-11-28";

/// Three blocks of a day and a tail.
fn three_blocks() -> (SimulatedDisk, Vec<LogRecord>) {
    let records: Vec<_> = (0..60).map(record).collect();
    let disk = SimulatedDisk::new();
    filled(&open(&disk), &records);
    (disk, records)
}

/// Where blocks begin, found by their magic number.
fn starts(disk: &SimulatedDisk) -> Vec<usize> {
    let content = disk.content(DAY);
    (0..content.len()).step_by(512).filter(|at| content[*at..].starts_with(b"LSl3")).collect()
}

#[test]
fn a_tail_that_ends_anywhere_keeps_what_is_before() {
    let (original, records) = three_blocks();
    let length = original.content("logs/open").len();
    for cut in (0..length).step_by(61) {
        let disk = original.restart();
        disk.open("logs/open", OpenMode::Write).unwrap().set_len(cut as u64).unwrap();
        let store = open(&disk);
        let found = all(&store);
        assert!(found.len() >= 54 && records.starts_with(&found), "cut at {cut}");
        store.append(&[record(100)]).unwrap();
        assert_eq!(all(&open(&disk.restart())).len(), found.len() + 1);
    }
}

#[test]
fn a_flipped_bit_anywhere_costs_its_block_or_chunk_alone_and_is_counted() {
    let (original, records) = three_blocks();
    let starts = starts(&original);
    assert_eq!(starts.len(), 3);
    let filters = [
        LogFilter::default(),
        LogFilter { texts: vec!["letter".into()], ..LogFilter::default() },
        LogFilter { fields: vec![("order".into(), "20".into())], ..LogFilter::default() },
        LogFilter { level: Some(30), job: Some(records[25].job), ..LogFilter::default() },
    ];
    let mut damaged = 0;
    for at in (0..original.content(DAY).len()).step_by(7) {
        let disk = original.restart();
        disk.flip(DAY, at as u64, 0x10);
        let store = open(&disk);
        for filter in &filters {
            let expected: Vec<_> = records.iter().filter(|record| filter.takes(record)).cloned().collect();
            let found = read(&store, filter, 7, false);
            assert!(found.iter().all(|record| expected.contains(record)), "byte {at}");
            // Eighteen records are in a block.
            assert!(
                found.len() + 18 >= expected.len(),
                "byte {at}: {} are missing",
                expected.len() - found.len()
            );
            let mut newest_first = read(&store, filter, 7, true);
            newest_first.reverse();
            assert_eq!(newest_first, found, "byte {at}");
        }
        let is_whole = all(&store).len() == records.len();
        // A flip in the zeros between blocks harms nobody, nor does one in a filter that none of these looks into.
        assert!(is_whole || store.counts().damaged_blocks == 1 || at >= starts[2], "byte {at}");
        damaged += usize::from(!is_whole);
        store.append(&[record(200)]).unwrap();
        assert_eq!(all(&open(&disk.restart())).last(), Some(&record(200)), "byte {at}");
    }
    assert!(damaged > 100, "{damaged}");
}

#[test]
fn a_flipped_bit_in_the_tail_cuts_it_there() {
    let (original, records) = three_blocks();
    for at in (0..original.content("logs/open").len()).step_by(3) {
        let disk = original.restart();
        disk.flip("logs/open", at as u64, 1);
        let found = all(&open(&disk));
        assert!(found.len() >= 54 && records.starts_with(&found), "byte {at}");
    }
}

#[test]
fn a_file_that_was_copied_shows_nothing_twice() {
    let (disk, records) = three_blocks();
    let copy = disk.open("logs/2026-11-28.1", OpenMode::Create).unwrap();
    copy.write_all_at(0, &disk.content(DAY)).unwrap();
    let store = open(&disk.restart());
    assert_eq!(all(&store), records);
    assert_eq!(store.counts().damaged_blocks, 3);
    filled(&store, &(60..200).map(record).collect::<Vec<_>>());
    assert_eq!(all(&store).len(), 200);
}

/// The numbers of a block whose header is gone were given out again, so that a cursor pointed to other records.
#[test]
fn numbers_of_a_block_that_was_lost_are_not_given_out_again() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    filled(&store, &(0..54).map(record).collect::<Vec<_>>());
    store.append(&[record(54)]).unwrap();
    let page = |store: &lineshaft_store::logs::LogStore<SimulatedDisk>, after| {
        let request = lineshaft_store::logs::LogPageRequest { after, ..Default::default() };
        store.page(&request).unwrap()
    };
    let after = page(&store, None).next;
    drop(store);
    let disk = disk.restart();
    disk.flip(DAY, starts(&disk)[2] as u64, 1);
    disk.open("logs/open", OpenMode::Write).unwrap().set_len(0).unwrap();
    let store = open(&disk);
    assert_eq!(all(&store).len(), 36);
    store.append(&[record(60)]).unwrap();
    assert_eq!(page(&store, after).records, [record(60)]);
}

#[test]
fn foreign_bytes_are_no_logs() {
    let mut rng = fastrand::Rng::with_seed(7);
    for round in 0..200 {
        let (disk, _) = three_blocks();
        let file = if round % 2 == 0 { DAY } else { "logs/open" };
        let noise: Vec<u8> = (0..rng.usize(0..3_000)).map(|_| rng.u8(..)).collect();
        let at = rng.u64(0..4_000);
        disk.open(file, OpenMode::Write).unwrap().write_all_at(at, &noise).unwrap();
        let disk = disk.restart();
        let store = open(&disk);
        let found = all(&store);
        assert!(found.iter().all(|found| *found == record(found.fields[0].1.parse().unwrap())));
    }
}
