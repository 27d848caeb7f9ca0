//! Cold files that are damaged, written by half or do not fit: never a wrong byte, never half a file.

use bytes::Bytes;
use lineshaft_store::inspect::check_cold_files;
use lineshaft_store::{ColdLocation, Disk, Error, Journal, JournalHandle};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};

use crate::support::{open, small, writer};

const FILE: &str = "cold/00000000000000000007";
const PAYLOADS: [&[u8]; 3] = [b"first", &[7; 2_000], b"last"];

fn put(handle: &impl JournalHandle) -> Result<Vec<ColdLocation>, Error> {
    let mut payloads = PAYLOADS.iter().map(|payload| Ok(Bytes::from_static(payload)));
    let offsets = handle.put_cold(7, &mut payloads)?;
    let location =
        |(payload, offset): (&&[u8], u32)| ColdLocation { file: 7, offset, length: payload.len() as u32 };
    Ok(PAYLOADS.iter().zip(offsets).map(location).collect())
}

#[test]
fn a_flipped_byte_anywhere_is_noticed_by_whoever_reads_it() {
    let disk = SimulatedDisk::new();
    let locations = put(&writer(&disk).journal.handle()).unwrap();
    let mut noticed = 0;
    for offset in 0..disk.content(FILE).len() as u64 {
        let damaged = disk.restart();
        damaged.flip(FILE, offset, 0x41);
        let handle = writer(&damaged).journal.handle();
        for (location, payload) in locations.iter().zip(PAYLOADS) {
            match handle.read_cold(*location) {
                Ok(bytes) => assert_eq!(bytes, payload, "byte {offset} makes another payload"),
                Err(Error::Damaged { file, .. }) => {
                    assert_eq!(file, FILE);
                    noticed += 1;
                }
                Err(error) => panic!("byte {offset}: {error}"),
            }
        }
    }
    let stored: usize = PAYLOADS.iter().map(|payload| payload.len() + 8).sum();
    assert_eq!(noticed, stored + 3 * 32, "each record once, the header by everyone");
}

#[test]
fn a_check_of_the_whole_file_notices_a_flipped_byte_anywhere() {
    let disk = SimulatedDisk::new();
    put(&writer(&disk).journal.handle()).unwrap();
    let checked = |disk: &SimulatedDisk| {
        let mut files = Vec::new();
        check_cold_files(disk, &mut |file| files.push(file)).unwrap();
        assert_eq!((files.len(), files[0].path.as_str()), (1, FILE));
        files.remove(0).error
    };
    assert!(checked(&disk).is_none());
    for offset in 0..disk.content(FILE).len() as u64 {
        for mask in [1, 0x80] {
            let damaged = disk.restart();
            damaged.flip(FILE, offset, mask);
            assert!(matches!(checked(&damaged), Some(Error::Damaged { .. })), "byte {offset}");
        }
    }
}

#[test]
fn a_cold_file_cut_short_is_noticed() {
    let disk = SimulatedDisk::new();
    let locations = put(&writer(&disk).journal.handle()).unwrap();
    for length in 0..disk.content(FILE).len() as u64 {
        let damaged = disk.restart();
        let file = damaged.open(FILE, lineshaft_store::disk::OpenMode::Write).unwrap();
        lineshaft_store::disk::DiskFile::set_len(&file, length).unwrap();
        let result = writer(&damaged).journal.handle().read_cold(locations[0]);
        assert!(matches!(result, Err(Error::Damaged { .. })), "length {length}: {result:?}");
    }
}

#[test]
fn a_crash_at_any_operation_leaves_the_whole_file_or_none_and_no_other() {
    let quiet = SimulatedDisk::new();
    let journal = writer(&quiet).journal;
    let before = quiet.operations();
    put(&journal.handle()).unwrap();
    let operations = quiet.operations() - before;
    assert!(operations >= 5, "creation, writes, syncs, name: {operations}");
    for operation in 1..=operations {
        let disk = SimulatedDisk::new();
        let journal = writer(&disk).journal;
        disk.crash_at(before + operation);
        assert!(put(&journal.handle()).is_err(), "operation {operation} is a part of it");
        let losses = (0..8).map(Loss::Some).chain([Loss::Everything]);
        let found = losses.map(|loss| disk.power_loss(loss)).chain([disk.restart()]);
        found.for_each(|disk| check_whole_or_absent(&disk, operation));
    }
}

fn check_whole_or_absent(disk: &SimulatedDisk, operation: u64) {
    let handle = open(disk, small()).unwrap().0.handle();
    let names: Vec<String> = disk.list("cold").unwrap().into_iter().map(|entry| entry.name).collect();
    if handle.cold_files().unwrap().is_empty() {
        assert_eq!(names, [""; 0], "operation {operation} leaves something behind");
        return;
    }
    let mut offset = 32;
    for payload in PAYLOADS {
        offset += 8;
        let location = ColdLocation { file: 7, offset, length: payload.len() as u32 };
        assert_eq!(handle.read_cold(location).unwrap(), payload, "operation {operation}");
        offset += payload.len() as u32;
    }
}

#[test]
fn what_was_put_survives_the_power() {
    let disk = SimulatedDisk::new();
    let journal = writer(&disk).journal;
    let locations = put(&journal.handle()).unwrap();
    let handle = writer(&disk.power_loss(Loss::Everything)).journal.handle();
    for (location, payload) in locations.into_iter().zip(PAYLOADS) {
        assert_eq!(handle.read_cold(location).unwrap(), payload);
    }
}

#[test]
fn a_full_disk_keeps_the_file_out_and_the_journal_going() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    writer.append_bytes(100);
    let used = disk.used_bytes();
    disk.set_capacity(Some(used + 1_000));
    assert!(matches!(put(&writer.journal.handle()), Err(Error::Full { .. })));
    assert_eq!(disk.used_bytes(), used);
    writer.append_bytes(100);
    disk.set_capacity(None);
    put(&writer.journal.handle()).unwrap();
}
