//! Full disks.

use lineshaft_store::{Error, Journal, JournalHandle};
use lineshaft_testkit::disk::{Loss, SimulatedDisk};

use crate::support::{open, small, writer};

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
    assert!(matches!(handle.put_snapshot(head.lsn, head.crc, &[7; 5_000]), Err(Error::Full { .. })));
    assert_eq!(disk.used_bytes(), used);
    handle.put_snapshot(head.lsn, head.crc, &[7; 500]).unwrap();
}
