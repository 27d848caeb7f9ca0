//! Blocks that an earlier version wrote are read as its own.

use lineshaft_store::disk::{Disk, DiskFile, OpenMode};
use lineshaft_store::logs::check_logs;
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::{LogFilter, LogRecord};

use super::support::{attached, filled, open, read};

/// Three blocks of the sixty records of `attached`, with texts and fields in one piece, and without a filter of words.
const BLOCKS: &[u8] = include_bytes!("../../golden/logs/blocks-2");
const TAIL: &[u8] = include_bytes!("../../golden/logs/open");

fn old() -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.create_dir_all("logs").unwrap();
    for (path, content) in [("logs/2026-11-28", BLOCKS), ("logs/open", TAIL)] {
        disk.open(path, OpenMode::Create).unwrap().write_all_at(0, content).unwrap();
    }
    disk
}

#[test]
fn everything_in_old_blocks_is_found_and_new_ones_follow_them() {
    assert!(BLOCKS.starts_with(b"LSl2"));
    let disk = old();
    let store = open(&disk);
    filled(&store, &(60..120).map(attached).collect::<Vec<_>>());
    assert!(disk.content("logs/2026-11-28").windows(4).any(|bytes| bytes == b"LSl3"));
    let records: Vec<LogRecord> = (0..120).map(attached).collect();
    let filter = LogFilter::default;
    for wanted in [
        filter(),
        LogFilter { attached: true, ..filter() },
        LogFilter { texts: vec![" LETTER 2".into()], ..filter() },
        LogFilter { texts: vec!["a letter 27 to".into()], ..filter() },
        LogFilter {
            texts: vec!["no stamp for".into()],
            fields: vec![("to".into(), "ada\n2".into())],
            ..filter()
        },
        LogFilter { fields: vec![("order".into(), "20".into())], ..filter() },
        LogFilter { level: Some(30), logger: Some("shop".into()), ..filter() },
    ] {
        let expected = records
            .iter()
            .filter(|record| wanted.takes(record))
            .map(|record| if wanted.attached { record.clone() } else { record.without_attachment() });
        let expected: Vec<_> = expected.collect();
        assert!(!expected.is_empty(), "{wanted:?}");
        assert_eq!(read(&store, &wanted, 7, false), expected, "{wanted:?}");
    }
    let mut damage = Vec::new();
    check_logs(&disk, &mut |part| damage.extend(part.error)).unwrap();
    assert!(damage.is_empty(), "{damage:?}");
}
