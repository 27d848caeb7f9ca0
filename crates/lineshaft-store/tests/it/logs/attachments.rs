//! What is kept with records beside their texts.

use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::log_record::LOG_ATTACHMENT_BYTES_MAX;
use lineshaft_wire::{LogFilter, LogRecord};

use super::support::{all, attached, filled, open, read};

fn with_attachments(change: impl FnOnce(&mut LogFilter)) -> LogFilter {
    let mut filter = LogFilter { attached: true, ..LogFilter::default() };
    change(&mut filter);
    filter
}

#[test]
fn attachments_come_with_their_records_where_they_are_asked_for() {
    let records: Vec<LogRecord> = (0..200).map(attached).collect();
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    filled(&store, &records);
    let filters = [
        with_attachments(|_| {}),
        with_attachments(|filter| filter.task = Some(records[77].task.clone())),
        with_attachments(|filter| filter.job = Some(records[77].job)),
        with_attachments(|filter| filter.texts = vec!["letter 77".into()]),
        with_attachments(|filter| filter.level = Some(40)),
    ];
    for store in [store, open(&disk.restart())] {
        for filter in &filters {
            let expected: Vec<_> = records.iter().filter(|record| filter.takes(record)).cloned().collect();
            assert!(!expected.is_empty() && expected.len() < records.len());
            for count in [1, 7, 1_000] {
                assert_eq!(read(&store, filter, count, false), expected, "{filter:?}");
                let mut newest_first = read(&store, filter, count, true);
                newest_first.reverse();
                assert_eq!(newest_first, expected, "{filter:?}, newest first");
            }
        }
        let plain: Vec<_> = records.iter().map(LogRecord::without_attachment).collect();
        assert_eq!(all(&store), plain);
    }
}

#[test]
fn one_that_is_too_large_or_empty_is_left_out() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let sized = |number, length| LogRecord { attachment: Some(vec![7; length].into()), ..attached(number) };
    store
        .append(&[sized(1, LOG_ATTACHMENT_BYTES_MAX), sized(2, LOG_ATTACHMENT_BYTES_MAX + 1), sized(3, 0)])
        .unwrap();
    for store in [store, open(&disk.restart())] {
        let found = read(&store, &with_attachments(|_| {}), 10, false);
        assert_eq!((found.len(), found[0].attachment.as_ref().unwrap().len()), (1, LOG_ATTACHMENT_BYTES_MAX));
        assert_eq!(all(&store).len(), 3);
    }
}

/// A damaged one costs its block, as everything else in it does, but only whoever asks for attachments notices.
#[test]
fn a_flipped_bit_in_an_attachment_is_noticed() {
    let records: Vec<LogRecord> = (0..60).map(attached).collect();
    let original = SimulatedDisk::new();
    filled(&open(&original), &records);
    let day = "logs/2026-11-28";
    let filter = with_attachments(|_| {});
    let expected: Vec<_> = records.iter().filter(|record| filter.takes(record)).cloned().collect();
    let mut noticed = 0;
    for at in (0..original.content(day).len()).step_by(97) {
        let disk = original.restart();
        disk.flip(day, at as u64, 0x10);
        let store = open(&disk);
        let found = read(&store, &filter, 7, false);
        assert!(found.iter().all(|record| expected.contains(record)), "byte {at}");
        if found.len() < expected.len() && store.counts().damaged_blocks == 1 {
            noticed += usize::from(all(&store).len() == records.len());
        }
    }
    assert!(noticed > 10, "{noticed}");
}
