//! Full disks.

use lineshaft_store::{
    Appended, Disk, Error, Journal, JournalHandle, NewSnapshot, Options, Recovery, Shortage,
};
use lineshaft_testkit::conformance::journal::Writer;
use lineshaft_testkit::disk::{Loss, SimulatedDisk};

use crate::support::{SimulatedJournal, open, small, writer};

#[test]
fn a_full_disk_is_said_before_anything_is_written_and_is_not_the_end() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    writer.append_bytes(100);
    assert!(!writer.journal.handle().space().low);
    disk.set_capacity(Some(disk.used_bytes()));
    let mut acknowledged = writer.journal.head();
    let error = loop {
        let body = [7; 700];
        match writer.append(&body) {
            Ok(appended) => acknowledged = appended,
            Err(error) => break error,
        }
        assert!(acknowledged.lsn < 1_000, "the disk is never full");
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(writer.journal.handle().space().low);
    assert_eq!(writer.journal.head(), acknowledged);
    let (_, recovery) = {
        let image = disk.power_loss(Loss::Everything);
        image.set_capacity(None);
        open(&image, small()).unwrap()
    };
    assert_eq!(recovery.head, acknowledged);
    disk.set_capacity(None);
    assert_eq!(writer.append(b"goes on").unwrap().lsn, acknowledged.lsn + 1);
}

/// The segment prepared ahead is the reserve: the warning comes while it is still empty.
#[test]
fn space_is_low_while_there_is_still_a_reserve() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    disk.set_capacity(Some(disk.used_bytes()));
    let mut appended_when_low = 0;
    while writer.append(&[7; 700]).is_ok() {
        appended_when_low += u64::from(writer.journal.handle().space().low);
    }
    assert!(appended_when_low >= 4, "{appended_when_low} commits went into the reserve");
    assert!(writer.journal.handle().space().ready_bytes < 1_024);
}

#[test]
fn a_commit_larger_than_a_segment_needs_room_for_itself() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    writer.append_bytes(100);
    disk.set_capacity(Some(disk.used_bytes() + 50_000));
    assert!(matches!(writer.append(&vec![7; 200_000]), Err(Error::Full { .. })));
    writer.append_bytes(10_000);
    assert!(matches!(writer.append(&vec![7; 200_000]), Err(Error::Full { .. })));
    disk.set_capacity(None);
    writer.append(&vec![7; 200_000]).unwrap();
    let (_, recovery) = open(&disk.power_loss(Loss::Everything), small()).unwrap();
    assert_eq!((recovery.head, recovery.cut), (writer.journal.head(), None));
}

#[test]
fn snapshots_and_blobs_leave_nothing_behind_on_a_full_disk() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    let (head, _) = writer.append_bytes(100);
    let used = disk.used_bytes();
    disk.set_capacity(Some(used + 1_000));
    let handle = writer.journal.handle();
    assert!(matches!(handle.put_blob(1, &[7; 5_000]), Err(Error::Full { .. })));
    assert!(matches!(
        handle.put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, &[7; 5_000])),
        Err(Error::Full { .. })
    ));
    assert_eq!(disk.used_bytes(), used);
    handle.put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, &[7; 500])).unwrap();
}

/// Appends until the disk takes no more, and gives the newest commit that it took.
fn append_until_full(writer: &mut Writer<SimulatedJournal>) -> Appended {
    while writer.append(&[7; 700]).is_ok() {
        assert!(writer.journal.head().lsn < 1_000, "the disk is never full");
    }
    writer.journal.head()
}

/// It asked for 512 bytes more, and there was no way to start it but to free space by hand.
#[test]
fn a_journal_that_died_on_a_full_disk_opens_again_and_again() {
    let disk = SimulatedDisk::new();
    let options = || Options { segment_bytes_first: 4 << 20, segment_bytes_max: 8 << 20, ..small() };
    let (journal, _) = open(&disk, options()).unwrap();
    let mut writer = Writer::new((journal, Recovery::default()));
    writer.append_bytes(100);
    disk.set_capacity(Some(disk.used_bytes()));
    let (mut disk, mut head) = (disk, writer.journal.head());
    for start in 1..=10 {
        disk = disk.power_loss(Loss::Everything);
        let (journal, recovery) = open(&disk, options()).unwrap_or_else(|error| panic!("{start}: {error}"));
        assert_eq!(recovery.head, head, "start {start}");
        let mut writer = Writer::new((journal, recovery));
        // What the server itself writes, and a few ends.
        for _ in 0..5 {
            writer.append_bytes(400);
        }
        let left = disk.free_bytes().unwrap();
        assert!(left >= 4096, "start {start}: {left} bytes for address and log");
        head = writer.journal.head();
    }
}

#[test]
fn a_crash_anywhere_on_a_full_disk_loses_nothing() {
    let run = |disk: &SimulatedDisk| {
        let mut head = Appended::default();
        let Ok(opened) = open(disk, small()) else { return head };
        let mut writer = Writer::new(opened);
        for _ in 0..4 {
            let Ok(appended) = writer.append(&[7; 700]) else { return head };
            head = appended;
        }
        disk.set_capacity(Some(disk.used_bytes()));
        while let Ok(appended) = writer.append(&[7; 700]) {
            head = appended;
        }
        head
    };
    let quiet = SimulatedDisk::new();
    run(&quiet);
    for operation in 1..=quiet.operations() {
        let disk = SimulatedDisk::new();
        disk.crash_at(operation);
        let head = run(&disk);
        for loss in [Loss::Everything, Loss::Some(operation), Loss::Some(operation + 1_000)] {
            let found = disk.power_loss(loss);
            // A reserve of this size lasts for one start at most.
            found.set_capacity(None);
            let (_, recovery) = open(&found, small()).unwrap_or_else(|error| panic!("{operation}: {error}"));
            assert!(recovery.head.lsn >= head.lsn, "crash at {operation}: {head:?} became {recovery:?}");
        }
    }
}

#[test]
fn the_reserve_comes_back_with_the_space() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    let whole = writer.journal.handle().space().reserve_bytes;
    assert_eq!(whole, 4 << 10);
    disk.set_capacity(Some(disk.used_bytes()));
    append_until_full(&mut writer);
    assert_eq!(writer.journal.handle().space().reserve_bytes, 0);
    disk.set_capacity(None);
    writer.append_bytes(700);
    writer.journal.look_for_space();
    let space = writer.journal.handle().space();
    assert_eq!((space.reserve_bytes, space.tight, space.low), (whole, false, false));
}

#[test]
fn what_the_next_segment_lacks_is_said_and_is_enough() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    assert_eq!(writer.journal.handle().space().shortage, None);
    disk.set_capacity(Some(disk.used_bytes() + 100));
    append_until_full(&mut writer);
    let error = writer.append(&[7; 700]).unwrap_err();
    let Some(shortage) = writer.journal.handle().space().shortage else { panic!("nothing is said") };
    assert!(shortage.free_bytes <= 100 && shortage.needed_bytes >= 4 << 10, "{shortage:?}");
    let Shortage { needed_bytes, free_bytes } = shortage;
    assert!(
        error.to_string().contains(&format!("{needed_bytes} bytes have to be free, and {free_bytes} are;"))
    );
    disk.set_capacity(Some(disk.used_bytes() + needed_bytes));
    writer.journal.look_for_space();
    assert_eq!(writer.journal.handle().space().shortage, None);
    writer.append(&[7; 700]).unwrap();
}

#[test]
fn a_commit_that_does_not_fit_is_known_before_it_is_decided_on() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    assert!(writer.journal.has_room(100_000));
    disk.set_capacity(Some(disk.used_bytes()));
    assert!(!writer.journal.has_room(100_000), "it would have to grow");
    while writer.journal.has_room(700) {
        writer.append_bytes(700);
    }
    assert_eq!(writer.journal.handle().space().reserve_bytes, 4 << 10, "the reserve was touched");
}

/// What is kept back for records beside a request was larger than the whole reserve of small segments, so nothing fitted.
#[test]
fn what_is_said_to_fit_into_the_reserve_does_however_small_it_is() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    disk.set_capacity(Some(disk.used_bytes()));
    while !writer.journal.handle().space().low {
        writer.append_bytes(300);
    }
    let fits = |writer: &mut Writer<SimulatedJournal>| {
        writer.journal.look_for_space();
        writer.journal.handle().space().fits_reserved(300)
    };
    let mut fitted = 0;
    while fits(&mut writer) {
        writer.append(&[7; 300]).unwrap();
        fitted += 1;
    }
    assert!(fitted >= 6, "{fitted} commits fitted");
    assert_eq!(writer.journal.handle().space().reserve_bytes, 0, "the reserve was not used");
}

/// Dead segments were kept as spares, so that trimming freed nothing.
#[test]
fn what_is_dead_leaves_a_full_disk() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    for _ in 0..40 {
        writer.append_bytes(700);
    }
    disk.set_capacity(Some(disk.used_bytes()));
    while !writer.journal.handle().space().tight {
        writer.append_bytes(700);
    }
    disk.set_capacity(Some(disk.used_bytes() + 1_000));
    let before = disk.used_bytes();
    let handle = writer.journal.handle();
    for _ in 0..2 {
        let head = writer.append(b"one more").unwrap();
        handle.put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, b"everything")).unwrap();
    }
    writer.journal.trim(u64::MAX).unwrap();
    writer.append_bytes(10);
    assert!(disk.used_bytes() < before / 2, "{before} bytes became {}", disk.used_bytes());
    writer.journal.look_for_space();
    assert!(!writer.journal.handle().space().tight);
}

/// It is the snapshot after which dead segments may go.
#[test]
fn a_snapshot_without_room_takes_it_from_the_reserve() {
    let disk = SimulatedDisk::new();
    let mut writer = writer(&disk);
    let (head, _) = writer.append_bytes(100);
    disk.set_capacity(Some(disk.used_bytes()));
    let handle = writer.journal.handle();
    assert!(matches!(
        handle.put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, &[7; 5_000])),
        Err(Error::Full { .. })
    ));
    assert_eq!(writer.journal.handle().space().reserve_bytes, 4 << 10, "it would not have been enough");
    handle.put_snapshot(NewSnapshot::of_tables(head.lsn, head.crc, &[7; 500])).unwrap();
    writer.append_bytes(10);
    let left = writer.journal.handle().space().reserve_bytes;
    assert!((2_000..3_000).contains(&left), "{left}: as much as it needs");
}
