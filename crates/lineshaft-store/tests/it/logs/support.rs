//! Records that differ in everything, and small stores of them.

use std::time::Duration;

use lineshaft_store::Home;
use lineshaft_store::logs::{Limits, LogCursor, LogPageRequest, LogStore};
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::{JobId, LogFilter, LogPlace, LogRecord};

/// The beginning of 2026-11-28, UTC.
pub(crate) const DAY_US: u64 = 1_795_824_000_000_000;

/// One record of a row that spans two days within two hundred of them.
pub(crate) fn record(number: u64) -> LogRecord {
    let time_us = DAY_US + number * 900_000_000;
    LogRecord {
        time_us,
        level: [20, 20, 10, 30, 20, 20, 40][number as usize % 7],
        job: JobId::direct(time_us / 1_000, 0, (number / 5) as u32, 1),
        attempt: 1 + (number % 3) as u32 / 2,
        task: format!("shop.task-{}", number % 11).into(),
        worker: format!("worker-{}", number % 3).into(),
        logger: ["shop.mail", "shop", "shopping", "lineshaft.worker"][number as usize % 4].into(),
        message: format!("Sent a letter {number} to somebody").into(),
        fields: vec![
            ("order".into(), number.to_string().into()),
            ("to".into(), format!("\"ada\\n{}\"", number % 9).into()),
        ],
        place: (!number.is_multiple_of(5)).then(|| LogPlace {
            file: "shop.py".into(),
            line: 1 + number as u32 % 4,
            function: "send".into(),
        }),
        exception: (number % 7 == 6).then(|| format!("ValueError: no stamp for {number}").into()),
        attachment: None,
    }
}

/// The same with an attachment, but for every third.
pub(crate) fn attached(number: u64) -> LogRecord {
    let bytes = (0..=number * 7 % 900).map(|at| (number * at) as u8);
    let attachment = (number % 3 != 1).then(|| bytes.collect::<Vec<u8>>().into());
    LogRecord { attachment, ..record(number) }
}

/// Blocks of some sixteen records.
pub(crate) fn small() -> Limits {
    Limits { tail_records: 16, tail_bytes: 1 << 20, tail_age: Duration::MAX, file_bytes: 64 << 20 }
}

pub(crate) fn open(disk: &SimulatedDisk) -> LogStore<SimulatedDisk> {
    let store = LogStore::open(&Home::open(disk.clone()).unwrap()).unwrap();
    store.set_limits(small());
    store
}

/// Appends records by threes.
pub(crate) fn filled(store: &LogStore<SimulatedDisk>, records: &[LogRecord]) {
    records.chunks(3).for_each(|records| store.append(records).unwrap());
}

/// What a filter finds, page by page.
pub(crate) fn read<D: lineshaft_store::Disk>(
    store: &LogStore<D>,
    filter: &LogFilter,
    count: usize,
    newest_first: bool,
) -> Vec<LogRecord> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let budget = Duration::from_millis(20);
        let request = LogPageRequest { filter: filter.clone(), after, count, newest_first, budget };
        let page = store.page(&request).unwrap();
        assert!(page.records.len() <= count.max(1));
        assert_eq!(page.next.is_none(), newest_first && page.is_end);
        found.extend(page.records);
        if page.is_end {
            return found;
        }
        after = page.next;
    }
}

pub(crate) fn all<D: lineshaft_store::Disk>(store: &LogStore<D>) -> Vec<LogRecord> {
    read(store, &LogFilter::default(), 100, false)
}

/// What comes after a cursor, and where that ends, however long it takes.
pub(crate) fn after<D: lineshaft_store::Disk>(
    store: &LogStore<D>,
    after: Option<LogCursor>,
) -> (Vec<LogRecord>, Option<LogCursor>) {
    let budget = Duration::from_secs(60);
    let request = LogPageRequest { after, count: 1_000, budget, ..LogPageRequest::default() };
    let page = store.page(&request).unwrap();
    assert!(page.is_end);
    (page.records, page.next)
}
