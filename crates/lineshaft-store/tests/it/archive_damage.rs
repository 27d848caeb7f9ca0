//! Damage to an archive: torn ends are cut, anything else is said.

use crate::support::refusal;
use lineshaft_store::disk::{Disk, DiskFile, OpenMode};
use lineshaft_store::{Archive, Block, BlockArchive, Error, Home, PageRequest};
use lineshaft_testkit::conformance::archive::job;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::JobId;

/// The day of the first jobs of the suite.
const DAY: &str = "archive/2024-10-04";

/// Three blocks of ten jobs in one day; returns where each ends.
fn archive() -> (SimulatedDisk, Vec<usize>) {
    let disk = SimulatedDisk::new();
    let archive = BlockArchive::open(&Home::open(disk.clone()).unwrap()).unwrap();
    let mut ends = Vec::new();
    for first in [1, 11, 21] {
        archive.put(&Block { lsn: first, jobs: (first..first + 10).map(job).collect() }).unwrap();
        ends.push(disk.content(DAY).len());
    }
    (disk, ends)
}

fn open(disk: &SimulatedDisk) -> Result<BlockArchive<SimulatedDisk>, Error> {
    BlockArchive::open(&Home::open(disk.restart())?)
}

#[test]
fn a_block_that_ends_anywhere_is_cut() {
    let (original, ends) = archive();
    for length in (ends[1]..ends[2]).step_by(37) {
        let disk = original.restart();
        disk.open(DAY, OpenMode::Write).unwrap().set_len(length as u64).unwrap();
        let archive = open(&disk).unwrap_or_else(|error| panic!("length {length}: {error}"));
        assert_eq!((archive.head().last_finish_number, archive.counts().bytes as usize), (20, ends[1]));
        archive.put(&Block { lsn: 21, jobs: vec![job(21)] }).unwrap();
        assert_eq!(archive.get(job(21).record.id).unwrap(), Some(job(21)));
    }
}

#[test]
fn every_flipped_byte_is_cut_or_said_and_never_believed() {
    let (original, ends) = archive();
    for offset in (0..ends[2]).step_by(11) {
        let disk = original.restart();
        disk.flip(DAY, offset as u64, 0x10);
        let archive = match open(&disk) {
            Ok(archive) => archive,
            Err(Error::Damaged { .. }) => continue,
            Err(error) => panic!("byte {offset}: {error}"),
        };
        assert!(archive.head().last_finish_number >= 20, "byte {offset}: good blocks were cut");
        for number in 1..=archive.head().last_finish_number {
            match archive.get(job(number).record.id) {
                Ok(found) => assert_eq!(found, Some(job(number)), "byte {offset}"),
                Err(Error::Damaged { file, .. }) => assert_eq!(file, DAY),
                Err(error) => panic!("byte {offset}: {error}"),
            }
        }
        match archive.page(&PageRequest::default()) {
            Ok(page) => {
                let listed = page.jobs.iter();
                listed.for_each(|listed| assert_eq!(listed.record, job(listed.finish_number).record));
            }
            Err(error) => assert!(matches!(error, Error::Damaged { .. }), "byte {offset}: {error}"),
        }
    }
}

#[test]
fn a_bad_header_with_good_blocks_behind_it_is_refused() {
    let (disk, ends) = archive();
    disk.flip(DAY, ends[0] as u64 + 10, 1);
    let error = refusal(open(&disk));
    assert!(matches!(&error, Error::Damaged { offset, .. } if *offset == ends[0] as u64), "{error}");
}

#[test]
fn a_full_disk_leaves_the_archive_as_it_was() {
    let (disk, ends) = archive();
    let archive = open(&disk).unwrap();
    drop(archive);
    let disk = disk.restart();
    let archive = BlockArchive::open(&Home::open(disk.clone()).unwrap()).unwrap();
    disk.set_capacity(Some(disk.used_bytes() + 700));
    let block = Block { lsn: 31, jobs: (31..49).map(job).collect() };
    assert!(matches!(archive.put(&block), Err(Error::Full { .. })));
    assert_eq!(disk.content(DAY).len(), ends[2]);
    disk.set_capacity(None);
    archive.put(&block).unwrap();
    assert_eq!(archive.get(job(48).record.id).unwrap(), Some(job(48)));
}

#[test]
fn a_failed_sync_stops_writing_but_not_reading() {
    let (disk, _) = archive();
    let disk = disk.restart();
    let archive = BlockArchive::open(&Home::open(disk.clone()).unwrap()).unwrap();
    disk.fail_at(disk.operations() + 2);
    assert!(matches!(archive.put(&Block { lsn: 31, jobs: vec![job(31)] }), Err(Error::Io { .. })));
    assert!(matches!(archive.put(&Block { lsn: 31, jobs: vec![job(31)] }), Err(Error::Poisoned)));
    assert_eq!(archive.head().last_finish_number, 30);
    assert_eq!(archive.get(job(30).record.id).unwrap(), Some(job(30)));
}

/// A block that a search has read is not read again for who is surely not there. That it does not read any more shows
/// who does.
#[test]
fn a_search_passes_by_blocks_that_cannot_have_the_job() {
    let (disk, ends) = archive();
    let archive = BlockArchive::open(&Home::open(disk.clone()).unwrap()).unwrap();
    let absent = |number: u64| {
        let record = job(number).record;
        JobId::direct(record.created_at, 3, number as u32, 6)
    };
    assert!((12..20).all(|number| archive.get(absent(number)).unwrap().is_none()));
    // The index of the second block begins behind its header.
    disk.flip(DAY, ends[0] as u64 + 192, 0x10);
    assert!((12..20).all(|number| archive.get(absent(number)).unwrap().is_none()));
    assert!(matches!(archive.get(job(15).record.id), Err(Error::Damaged { .. })));
    let after_a_start = BlockArchive::open(&Home::open(disk.restart()).unwrap()).unwrap();
    assert!(matches!(after_a_start.get(absent(15)), Err(Error::Damaged { .. })));
}
