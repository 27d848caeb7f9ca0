//! Damage to a journal: what was durable is missed, what was not is cut.

use std::slice::from_ref;

use lineshaft_store::{Disk, Error, Journal, JournalHandle, Location, NewSnapshot, Options};
use lineshaft_testkit::conformance::journal::{Writer, body};
use lineshaft_testkit::disk::SimulatedDisk;

use crate::support::{open, refusal, small, writer};

const COMMITS: u64 = 5;
const BODY_BYTES: usize = 900;

/// A journal of some commits in two segments or more, sealed. The seal says that all before it were durable.
fn journal() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let options = Options { segment_bytes_max: 4 << 10, ..small() };
    let mut writer = Writer::new(open(&disk, options).unwrap());
    (0..COMMITS).for_each(|_| drop(writer.append_bytes(BODY_BYTES)));
    writer.journal.seal().unwrap();
    drop(writer);
    disk
}

fn segments(disk: &SimulatedDisk) -> Vec<String> {
    let names = disk.list("seg").unwrap().into_iter().map(|entry| entry.name);
    names.filter(|name| !name.starts_with("spare")).map(|name| format!("seg/{name}")).collect()
}

/// Opens a damaged journal: it must refuse, or give back every durable commit.
fn refuses_or_is_whole(disk: &SimulatedDisk, context: &str) -> bool {
    let (journal, recovery) = match open(disk, small()) {
        Ok(opened) => opened,
        Err(error @ (Error::DamagedCommits { .. } | Error::Damaged { .. })) => {
            assert!(error.to_string().contains("store doctor"), "{context}: {error}");
            assert!(error.to_string().contains("seg/"), "{context}: {error}");
            return true;
        }
        Err(error) => panic!("{context}: {error}"),
    };
    assert!(recovery.head.lsn >= COMMITS, "{context}: cut durable commits: {recovery:?}");
    let mut writer = Writer::new((journal, recovery));
    for (lsn, commit) in writer.replay(0).unwrap().into_iter().take(COMMITS as usize) {
        assert_eq!(commit, body(lsn, BODY_BYTES), "{context}: commit {lsn}");
    }
    false
}

#[test]
fn a_flipped_byte_anywhere_is_refused_or_harmless() {
    let original = journal();
    let (mut refused, mut bytes) = (0, 0);
    for path in segments(&original) {
        for offset in 0..original.content(&path).len() {
            let disk = original.restart();
            disk.flip(&path, offset as u64, 0x41);
            refused += usize::from(refuses_or_is_whole(&disk, &format!("{path} byte {offset}")));
            bytes += 1;
        }
    }
    let covered = COMMITS as usize * BODY_BYTES;
    assert!(refused >= covered, "only {refused} of {bytes} flips were refused, {covered} hit a body");
}

#[test]
fn the_refusal_names_the_lost_commits() {
    let disk = journal();
    let path = &segments(&disk)[0];
    disk.flip(path, 512 + 100, 1);
    let error = refusal(open(&disk, small()));
    let Error::DamagedCommits { first_lsn, last_lsn, file, .. } = &error else { panic!("{error}") };
    assert_eq!((*first_lsn, *last_lsn, file), (1, COMMITS, path));
    assert!(error.to_string().starts_with("commits 1 to 5 are damaged or missing"), "{error}");
}

#[test]
fn a_missing_segment_is_refused() {
    let original = journal();
    for path in segments(&original) {
        let disk = original.restart();
        disk.remove_file(&path).unwrap();
        refuses_or_is_whole(&disk, &format!("without {path}"));
    }
    let disk = original.restart();
    disk.remove_file(&segments(&original)[0]).unwrap();
    assert!(open(&disk, small()).is_err(), "the first segment holds durable commits");
}

#[test]
fn trimmed_segments_may_be_missing_but_no_others() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    for _ in 0..2 {
        let head = (0..20).map(|_| writer.append_bytes(BODY_BYTES).0).last().unwrap();
        writer.journal.handle().put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, b"state")).unwrap();
    }
    writer.journal.trim(10).unwrap();
    writer.append_bytes(1);
    drop(writer);
    let (journal, recovery) = open(&disk, small()).expect("trimming is no damage");
    assert!((2..=10).contains(&recovery.oldest_lsn), "{recovery:?}");
    drop(journal);
    // Everything there is may be needed by a payload, although a snapshot covers it.
    disk.remove_file(&segments(&disk)[0]).unwrap();
    let error = refusal(open(&disk, small()));
    assert!(matches!(error, Error::DamagedCommits { .. }), "{error}");
}

#[test]
fn an_unfinished_last_commit_is_cut_and_reported() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    (0..3).for_each(|_| drop(writer.append_bytes(100)));
    drop(writer);
    let path = segments(&disk)[0].clone();
    // Each commit takes 512 bytes; this is in the body of the third.
    disk.flip(&path, 512 * 3 + 100, 0xff);
    let (journal, recovery) = open(&disk, small()).unwrap();
    let cut = recovery.cut.expect("the cut is reported");
    assert_eq!((cut.first_lsn, cut.last_lsn, &cut.file), (3, 3, &path));
    assert_eq!((recovery.head.lsn, recovery.synced_lsn), (2, 2));
    drop(journal);
    let (_, recovery) = open(&disk, small()).unwrap();
    assert_eq!(recovery.head.lsn, 2, "what was cut stays cut");
}

#[test]
fn nothing_after_a_cut_comes_back() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    (0..2).for_each(|_| drop(writer.append_bytes(100)));
    drop(writer);
    disk.flip(&segments(&disk)[0], 512 * 2 + 100, 0xff);
    let mut writer = crate::support::writer(&disk);
    assert_eq!(writer.append(b"other").unwrap().lsn, 2);
    drop(writer);
    // The damage heals by magic: the old commit 2 is readable again, but its place is taken.
    disk.flip(&segments(&disk)[0], 512 * 2 + 100, 0xff);
    let mut writer = crate::support::writer(&disk);
    assert_eq!(writer.replay(1).unwrap(), [(2, b"other".to_vec())]);
}

/// A tail written again lies in two segments; the older copy ends before what was acknowledged since.
#[test]
fn an_older_copy_of_the_tail_does_not_stand_in_for_a_damaged_one() {
    let disk = SimulatedDisk::new();
    let mut first = writer(&disk);
    (0..3).for_each(|_| _ = first.append_bytes(100));
    drop(first);
    let mut second = writer(&disk);
    second.append_bytes(100);
    drop(second);
    disk.flip(&segments(&disk)[1], 512 + 20, 1);
    let error = refusal(open(&disk, small()));
    assert!(matches!(error, Error::DamagedCommits { first_lsn: 3, last_lsn: 3, .. }), "{error}");
}

#[test]
fn a_damaged_snapshot_falls_back_to_the_one_before() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    for _ in 0..2 {
        let (head, _) = writer.append_bytes(100);
        writer
            .journal
            .handle()
            .put_snapshot(NewSnapshot::of_tables(
                head.lsn,
                head.crc,
                format!("state {}", head.lsn).as_bytes(),
            ))
            .unwrap();
    }
    drop(writer);
    disk.flip("snap/00000000000000000002", 35, 1);
    let (journal, recovery) = open(&disk, small()).unwrap();
    assert_eq!(recovery.snapshot.unwrap().tables, "state 1");
    drop(journal);
    disk.flip("snap/00000000000000000001", 35, 1);
    let (_, recovery) = open(&disk, small()).unwrap();
    assert_eq!((recovery.snapshot, recovery.oldest_lsn), (None, 1), "the whole journal is still there");
}

/// Three snapshots: page 0 changes every time, page 1 stays in the file of the first.
fn snapshots_with_pages(trim: bool) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    for round in 0..3u64 {
        let head = (0..10).map(|_| writer.append_bytes(BODY_BYTES).0).last().unwrap();
        let page = |number: u64| (number, body(head.lsn + number, 3_000));
        let changed = Box::new((0..if round == 0 { 2 } else { 1 }).map(page));
        let pages = from_ref(&(0..2));
        let snapshot = NewSnapshot { lsn: head.lsn, crc: head.crc, tables: b"tables", pages, changed };
        writer.journal.handle().put_snapshot(snapshot).unwrap();
    }
    if trim {
        writer.journal.trim(u64::MAX).unwrap();
    }
    writer.append_bytes(1);
    disk
}

fn found(disk: &SimulatedDisk) -> Option<u64> {
    let snapshot = open(disk, small()).expect("it opens").1.snapshot?;
    assert_eq!(snapshot.pages[0].1, body(snapshot.lsn, 3_000));
    assert_eq!(snapshot.pages[1].1, body(11, 3_000));
    Some(snapshot.lsn)
}

#[test]
fn a_flipped_byte_of_a_snapshot_with_pages_is_noticed_wherever_it_is() {
    let original = snapshots_with_pages(false);
    assert_eq!(found(&original), Some(30));
    let path = "snap/00000000000000000030";
    let bytes = original.content(path).len();
    // Header and ends, and a sample of the rest: a page is checked as a whole.
    for offset in (0..bytes).filter(|offset| *offset < 64 || offset % 97 == 0 || bytes - offset < 100) {
        let disk = original.restart();
        disk.flip(path, offset as u64, 0x10);
        assert_eq!(found(&disk), Some(20), "byte {offset}");
    }
}

#[test]
fn a_page_in_an_older_file_that_both_snapshots_need_is_damage() {
    let older = "snap/00000000000000000010";
    let damages: [fn(&SimulatedDisk, &str); 2] =
        [|disk, path| disk.flip(path, 64 + 3_000 + 5, 1), |disk, path| disk.remove_file(path).unwrap()];
    for damage in damages {
        let disk = snapshots_with_pages(false);
        damage(&disk, older);
        assert_eq!(found(&disk), None, "the whole journal is still there");
        let disk = snapshots_with_pages(true);
        assert_eq!(found(&disk), Some(30));
        damage(&disk, older);
        let error = refusal(open(&disk, small()));
        assert!(matches!(error, Error::SnapshotsLost { newest_lsn: 30, .. }), "{error}");
    }
}

#[test]
fn a_missing_newest_snapshot_is_passed_over() {
    let disk = snapshots_with_pages(true);
    disk.remove_file("snap/00000000000000000030").unwrap();
    assert_eq!(found(&disk), Some(20));
    // The next one builds upon what was found, not upon what was there once.
    let mut writer = writer(&disk);
    let head = writer.append_bytes(1).0;
    let changed = Box::new(std::iter::once((0, body(head.lsn, 3_000))));
    let snapshot =
        NewSnapshot { lsn: head.lsn, crc: head.crc, tables: b"", pages: from_ref(&(0..2)), changed };
    writer.journal.handle().put_snapshot(snapshot).unwrap();
    drop(writer);
    assert_eq!(found(&disk), Some(head.lsn));
}

/// Pages that hardly ever change must not keep every file alive that they were once written to.
#[test]
fn snapshots_stay_small_on_disk_however_many_there_are() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    let (mut largest, mut written) = (0, 0);
    for round in 0..400u64 {
        let head = writer.append_bytes(10).0;
        let count = if round == 0 { 100 } else { 4 };
        let number = |at: u64| if at == 0 { round % 100 } else { at };
        let changed = Box::new((0..count).map(move |at| (number(at), body(at, 2_000))));
        let snapshot =
            NewSnapshot { lsn: head.lsn, crc: head.crc, tables: b"", pages: from_ref(&(0..100)), changed };
        written += writer.journal.handle().put_snapshot(snapshot).unwrap();
        let used: u64 = disk.list("snap").unwrap().iter().map(|entry| entry.bytes).sum();
        largest = largest.max(used);
    }
    let (live, changed) = (100 * 2_000, 400 * 4 * 2_000);
    assert!(largest < 3 * live, "{largest} bytes on disk for {live}");
    assert!(written < 2 * changed + 400 * 100 * 40, "{written} bytes written for {changed}");
    drop(writer);
    assert_eq!(open(&disk, small()).unwrap().1.snapshot.unwrap().pages.len(), 100);
}

#[test]
fn a_snapshot_newer_than_the_journal_is_refused() {
    let disk = journal();
    let mut writer = writer(&disk);
    let (head, _) = writer.append_bytes(100);
    writer.journal.handle().put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, b"state")).unwrap();
    drop(writer);
    let newest = segments(&disk);
    for path in newest.iter().skip(1).rev() {
        disk.remove_file(path).unwrap();
    }
    let error = refusal(open(&disk, small()));
    assert!(matches!(error, Error::DamagedCommits { last_lsn, .. } if last_lsn == head.lsn), "{error}");
}

#[test]
fn damage_is_noticed_when_a_payload_is_read() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    writer.append_bytes(3_000);
    writer.append_bytes(200_000);
    // Fills the cache of newest commits.
    writer.append_bytes(3_000);
    let segments = segments(&disk);
    disk.flip(&segments[0], 1_000, 1);
    disk.flip(&segments[1], 512 + 72 + 16 + 100_000, 1);
    let handle = writer.journal.handle();
    let read = |lsn, offset| handle.read_at(Location { lsn, offset, length: 10 });
    assert!(matches!(read(1, 0), Err(Error::Damaged { .. })));
    assert!(matches!(read(2, 100_000), Err(Error::Damaged { .. })));
    assert_eq!(read(2, 0).unwrap(), body(2, 200_000)[..10], "other parts of a large commit are still good");
    assert_eq!(read(2, 140_000).unwrap(), body(2, 200_000)[140_000..140_010]);
}

#[test]
fn damaged_blobs_are_noticed() {
    let disk = SimulatedDisk::new();
    let writer = writer(&disk);
    let handle = writer.journal.handle();
    handle.put_blob(0xab, &[7; 100]).unwrap();
    disk.flip("blob/00000000000000ab", 50, 1);
    let error = handle.get_blob(0xab).unwrap_err();
    assert!(matches!(&error, Error::Damaged { file, .. } if file == "blob/00000000000000ab"), "{error}");
}
