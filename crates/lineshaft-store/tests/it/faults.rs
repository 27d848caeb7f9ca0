//! Parts of a home that are missing: each is told by name, with what would be lost, and nothing is touched.

use lineshaft_store::disk::{DiskFile, OpenMode};
use lineshaft_store::{Archive, Block, BlockArchive, Disk, Error, Home, Journal, JournalHandle, NewSnapshot};
use lineshaft_testkit::conformance::archive::job;
use lineshaft_testkit::disk::SimulatedDisk;

use crate::support::{open, refusal, small, writer};

const DAY_MS: u64 = 86_400_000;
const BODY_BYTES: usize = 900;

fn segments(disk: &SimulatedDisk) -> Vec<String> {
    let names = disk.list("seg").unwrap().into_iter().map(|entry| entry.name);
    names.filter(|name| name.starts_with('0')).map(|name| format!("seg/{name}")).collect()
}

fn write(disk: &SimulatedDisk, path: &str, text: &str) {
    disk.open(path, OpenMode::Create).unwrap().write_all_at(0, text.as_bytes()).unwrap();
}

fn copy_file(disk: &SimulatedDisk, from: &str, to: &str) {
    let file = disk.open(from, OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.length().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    disk.open(to, OpenMode::Create).unwrap().write_all_at(0, &bytes).unwrap();
}

/// Forty commits in many segments, all durable; a snapshot of the thirtieth.
fn journal() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    let head = (0..30).map(|_| writer.append_bytes(BODY_BYTES).0).last().unwrap();
    writer.journal.handle().put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, b"state")).unwrap();
    (0..10).for_each(|_| drop(writer.append_bytes(BODY_BYTES)));
    writer.journal.seal().unwrap();
    drop(writer);
    disk
}

#[test]
fn a_missing_segment_is_named_with_its_commits() {
    let disk = journal();
    let missing = segments(&disk)[1].clone();
    disk.remove_file(&missing).unwrap();
    let before = disk.list("seg").unwrap();
    let error = refusal(open(&disk, small()));
    let Error::DamagedCommits { first_lsn, file, reason, .. } = &error else { panic!("{error}") };
    assert_eq!((file, reason.as_str()), (&missing, "the segment is missing"));
    assert!((2..30).contains(first_lsn), "{error}");
    assert!(error.to_string().contains("store doctor"), "{error}");
    assert_eq!(disk.list("seg").unwrap(), before, "nothing is touched");
}

#[test]
fn commits_that_were_given_up_may_be_missing_and_the_rest_is_there() {
    let disk = journal();
    let missing = segments(&disk)[1].clone();
    disk.remove_file(&missing).unwrap();
    let Error::DamagedCommits { first_lsn, .. } = refusal(open(&disk, small())) else { panic!() };
    // One too few is still missing.
    let last_lsn = first_lsn + 7;
    for last in first_lsn..last_lsn {
        let disk = disk.restart();
        write(&disk, "seg/GAPS", &format!("{first_lsn} {last}\n"));
        if open(&disk, small()).is_ok() {
            return check_rest(&disk, first_lsn, last);
        }
    }
    panic!("no gap of up to {last_lsn} commits opens the journal");
}

fn check_rest(disk: &SimulatedDisk, first_missing: u64, last_missing: u64) {
    for _ in 0..2 {
        let mut writer = writer(disk);
        let lsns: Vec<u64> = writer.replay(last_missing).unwrap().into_iter().map(|(lsn, _)| lsn).collect();
        assert_eq!(lsns[0], last_missing + 1);
        assert!(lsns.len() as u64 >= 41 - last_missing && lsns.is_sorted(), "{lsns:?}");
        let lsns: Vec<u64> = writer.replay(0).unwrap().into_iter().map(|(lsn, _)| lsn).collect();
        assert!(lsns.iter().all(|lsn| !(first_missing..=last_missing).contains(lsn)), "{lsns:?}");
        writer.append_bytes(10);
    }
}

/// A break in the middle of a segment: the row goes on behind the gap in the same file.
#[test]
fn a_gap_may_lie_within_a_segment() {
    let disk = journal();
    let path = segments(&disk)[2].clone();
    // The second commit of the segment: its header.
    disk.flip(&path, 512 + 1024 + 20, 1);
    let Error::DamagedCommits { first_lsn, .. } = refusal(open(&disk, small())) else { panic!() };
    write(&disk, "seg/GAPS", &format!("{first_lsn} {first_lsn}\n"));
    check_rest(&disk, first_lsn, first_lsn);
}

#[test]
fn a_trimmed_journal_without_a_readable_snapshot_is_refused_for_that_reason() {
    let original = SimulatedDisk::new();
    let mut writer = writer(&original);
    for _ in 0..2 {
        let head = (0..20).map(|_| writer.append_bytes(BODY_BYTES).0).last().unwrap();
        writer.journal.handle().put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, b"state")).unwrap();
    }
    writer.journal.trim(21).unwrap();
    writer.append_bytes(1);
    drop(writer);
    let names: Vec<String> = original.list("snap").unwrap().into_iter().map(|entry| entry.name).collect();
    for damage in [true, false] {
        let disk = original.restart();
        for name in &names {
            let path = format!("snap/{name}");
            if damage { disk.flip(&path, 33, 1) } else { disk.remove_file(&path).unwrap() }
        }
        let error = refusal(open(&disk, small()));
        assert!(matches!(error, Error::SnapshotsLost { oldest_lsn: 2.., .. }), "{error}");
        assert!(error.to_string().starts_with("no snapshot of the state can be read"), "{error}");
        assert_eq!(error.code().unwrap().to_string(), "LS0025");
    }
}

/// Four blocks on three days.
fn history() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let archive = BlockArchive::open(&Home::open(disk.clone()).unwrap()).unwrap();
    for (first, day) in [(1, 100), (11, 101), (21, 101), (31, 102)] {
        archive.put(&finished(first, day)).unwrap();
    }
    drop(archive);
    disk
}

fn finished(first: u64, day: u64) -> Block {
    let mut block = Block { lsn: first, jobs: (first..first + 10).map(job).collect() };
    for job in &mut block.jobs {
        job.record.finalized_at = Some(day * DAY_MS + job.finish_number);
    }
    block
}

fn days(disk: &SimulatedDisk) -> Vec<String> {
    let names = disk.list("archive").unwrap().into_iter().map(|entry| entry.name);
    names.filter(|name| name != "GAPS").collect()
}

fn open_after(disk: &SimulatedDisk, archived: u64) -> Result<BlockArchive<SimulatedDisk>, Error> {
    BlockArchive::open_after(&Home::open(disk.clone())?, archived)
}

fn check_missing(disk: &SimulatedDisk, archived: u64, expected: (u64, u64), words: &str) {
    let error = refusal(open_after(disk, archived));
    let Error::HistoryMissing { first, last, .. } = &error else { panic!("{error}") };
    assert_eq!((*first, *last), expected, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(error.code().unwrap().to_string(), "LS0026");
}

#[test]
fn a_day_of_the_history_that_was_deleted_is_missed() {
    let original = history();
    let days = days(&original);
    let disk = original.restart();
    disk.remove_file(&format!("archive/{}", days[1])).unwrap();
    check_missing(&disk, 40, (11, 30), &format!("between archive/{} and archive/{}", days[0], days[2]));
    let disk = original.restart();
    disk.remove_file(&format!("archive/{}", days[2])).unwrap();
    check_missing(&disk, 40, (31, 40), &format!("behind the last block of archive/{}", days[1]));
    days.iter().for_each(|day| _ = disk.remove_file(&format!("archive/{day}")));
    check_missing(&disk, 40, (1, 40), "no block is there");
}

/// It was taken for one that retention had dropped.
#[test]
fn the_oldest_day_of_the_history_is_missed_too_unless_retention_took_it() {
    let original = history();
    let days = days(&original);
    let delete = |disk: &SimulatedDisk, number: usize| {
        disk.remove_file(&format!("archive/{}", days[number])).unwrap();
    };
    let disk = original.restart();
    delete(&disk, 0);
    check_missing(&disk, 40, (1, 10), &format!("before the first block of archive/{}", days[1]));

    let disk = original.restart();
    let dropped = open_after(&disk, 40).unwrap().drop_oldest_until(1).unwrap();
    assert_eq!(dropped.jobs, 30);
    open_after(&disk, 40).unwrap();

    // A home of a version that did not write down what retention took: this one does so from its first start on.
    let disk = original.restart();
    disk.remove_file("archive/GAPS").unwrap();
    delete(&disk, 0);
    open_after(&disk, 40).unwrap();
    delete(&disk, 1);
    check_missing(&disk, 40, (11, 30), &format!("before the first block of archive/{}", days[2]));
}

/// Each of its blocks was another round of the doctor, which took minutes.
#[test]
fn a_copy_of_a_day_under_another_name_is_told_as_a_whole() {
    let original = history();
    let days = days(&original);
    for (name, copy) in [("1999-12-31".to_owned(), 0), (format!("{}.1", days[1]), 1)] {
        let disk = original.restart();
        copy_file(&disk, &format!("archive/{}", days[copy]), &format!("archive/{name}"));
        let error = open_after(&disk, 40).unwrap_err();
        let Error::Copied { file, other } = error else { panic!("{error}") };
        assert_eq!((file, other), (format!("archive/{name}"), format!("archive/{}", days[copy])));
    }
}

#[test]
fn a_day_under_another_name_is_found_and_reads() {
    let original = history();
    let days = days(&original);
    let disk = original.restart();
    disk.rename(&format!("archive/{}", days[1]), "archive/1999-12-31").unwrap();
    let archive = open_after(&disk, 40).unwrap();
    assert_eq!(archive.counts().jobs(), 40);
    let right = format!("archive/{}", days[1]);
    assert_eq!(archive.misnamed(), [("archive/1999-12-31".to_owned(), right)]);
    assert_eq!(open_after(&original.restart(), 40).unwrap().misnamed(), []);
}

#[test]
fn history_that_was_given_up_or_dropped_is_not_missed() {
    let original = history();
    let disk = original.restart();
    disk.remove_file(&format!("archive/{}", days(&original)[1])).unwrap();
    write(&disk, "archive/GAPS", "11 30\n");
    let archive = open_after(&disk, 40).unwrap();
    assert_eq!(archive.counts().jobs(), 20);

    // Everything is beyond retention, and a new block comes.
    let disk = original.restart();
    let archive = open_after(&disk, 40).unwrap();
    archive.drop_before(200 * DAY_MS).unwrap();
    drop(archive);
    let archive = open_after(&disk, 40).unwrap();
    archive.put(&finished(41, 201)).unwrap();
    drop(archive);
    open_after(&disk, 50).unwrap();

    // Days out of order, as after a clock that was set back: the older day goes first.
    let disk = SimulatedDisk::new();
    let archive = open_after(&disk, 0).unwrap();
    for (first, day) in [(1, 102), (11, 101), (21, 103)] {
        archive.put(&finished(first, day)).unwrap();
    }
    archive.drop_before(102 * DAY_MS).unwrap();
    drop(archive);
    open_after(&disk, 30).unwrap();
}

/// No job was archived any more until the next start, which refuses the file.
#[test]
fn a_list_of_gaps_that_does_not_read_holds_up_no_block() {
    let disk = SimulatedDisk::new();
    let archive = open_after(&disk, 0).unwrap();
    write(&disk, "archive/GAPS", "no range\n");
    archive.put(&finished(1, 100)).unwrap();
    assert_eq!(archive.counts().jobs(), 10);
    drop(archive);
    let error = refusal(open_after(&disk, 10));
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

/// All jobs of a day stood in one file, and the newest day always stays: a home through which many jobs passed in a day took
/// any amount of the disk, whatever its history might take.
#[test]
fn a_day_with_many_jobs_has_files_of_which_the_oldest_go_first() {
    let disk = SimulatedDisk::new();
    let archive = open_after(&disk, 0).unwrap();
    let empty = archive.counts().bytes;
    archive.put(&finished(1, 100)).unwrap();
    let block = archive.counts().bytes - empty;
    archive.set_file_bytes(block * 3 / 2);
    for first in [11, 21, 31, 41, 51, 61] {
        archive.put(&finished(first, 100)).unwrap();
    }
    assert_eq!(days(&disk), ["1970-04-11", "1970-04-11.1", "1970-04-11.2", "1970-04-11.3"]);
    assert_eq!(archive.days().len(), 1);
    let dropped = archive.drop_oldest_until(4 * block).unwrap();
    assert_eq!((dropped.jobs, archive.head().last_finish_number), (40, 70));
    assert_eq!(days(&disk), ["1970-04-11.2", "1970-04-11.3"]);
    drop(archive);

    // It goes on behind what is there, at the end of the last file and then in another one.
    let archive = open_after(&disk, 70).unwrap();
    archive.set_file_bytes(block * 3 / 2);
    archive.put(&finished(71, 100)).unwrap();
    archive.put(&finished(81, 100)).unwrap();
    assert_eq!(days(&disk), ["1970-04-11.2", "1970-04-11.3", "1970-04-11.4"]);
    assert_eq!(archive.drop_beyond(60).unwrap().jobs, 30);
    assert_eq!(days(&disk), ["1970-04-11.2"]);
    assert_eq!(archive.drop_before(101 * DAY_MS).unwrap().jobs, 20);
    drop(archive);

    // One that is missing between others shows.
    let disk = SimulatedDisk::new();
    let archive = open_after(&disk, 0).unwrap();
    archive.set_file_bytes(1);
    [1, 11, 21].iter().for_each(|first| archive.put(&finished(*first, 100)).unwrap());
    drop(archive);
    disk.remove_file("archive/1970-04-11.1").unwrap();
    check_missing(&disk, 30, (11, 20), "between archive/1970-04-11 and archive/1970-04-11.2");
}

/// They had 64 MiB on a disk of 64 MiB too: there was only ever the newest, so nothing could go, and a home that had once
/// been full took no new jobs any more.
#[test]
fn where_there_is_little_room_the_history_has_small_files_that_can_go() {
    let disk = SimulatedDisk::new();
    disk.set_capacity(Some(64 << 20));
    let archive = open_after(&disk, 0).unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    for first in [1, 11, 21, 31, 41] {
        let mut block = finished(first, 100);
        block.jobs[0].arguments = (0..1 << 20).map(|_| rng.u8(..)).collect::<Vec<u8>>().into();
        archive.put(&block).unwrap();
    }
    assert_eq!(days(&disk), ["1970-04-11", "1970-04-11.1", "1970-04-11.2"]);
    let bytes = archive.counts().bytes;
    let dropped = archive.drop_oldest_until(bytes - 1).unwrap();
    assert_eq!((dropped.jobs, archive.head().last_finish_number), (20, 50));
}

/// A block that does not check at the end of a day was cut with a word in the log, although its jobs had been archived
/// and were nowhere else.
#[test]
fn a_damaged_end_of_a_day_is_cut_only_if_nobody_knows_of_it() {
    let original = history();
    let path = format!("archive/{}", days(&original)[2]);
    original.flip(&path, 250, 1);
    let disk = original.restart();
    let before = disk.content(&path);
    check_missing(&disk, 40, (31, 40), "behind the last block");
    assert!(disk.content(&path) == before, "it is not cut");
    assert_eq!(open_after(&disk, 30).unwrap().head().last_finish_number, 30);
}
