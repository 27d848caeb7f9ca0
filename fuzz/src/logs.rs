//! A day of what attempts logged, damaged or forged.

use std::sync::OnceLock;
use std::time::Duration;

use crc32c::crc32c;
use lineshaft_store::Home;
use lineshaft_store::logs::{Limits, LogPageRequest, LogStore};
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::{JobId, LogFilter, LogPlace, LogRecord};

use crate::bounded;
use crate::damage::{damage, overwrite};

const DAY: &str = "logs/2026-11-28";
/// The beginning of that day, UTC.
const DAY_US: u64 = 1_795_824_000_000_000;
const RECORDS: u64 = 40;
/// Bytes of a block's header, the CRC at its end included, where its sections are told of, and how many there are;
/// `docs/format.md`.
const HEADER_BYTES: usize = 256;
const SECTIONS_OFFSET: usize = 80;
const SECTION_BYTES: usize = 12;
const SECTIONS: usize = 13;
/// Beside the bytes: what one section may claim to be, several times over, and headers.
const BESIDE: usize = 32 << 20;

/// Damages a day as the orders in `data` say: what is found is what was logged, and the rest is passed over. With an odd
/// first byte the second one says which section of the first block the rest of `data` takes the place of, its checksums
/// being right.
pub(crate) fn logs(data: &[u8]) -> bool {
    let Some((mode, rest)) = data.split_first() else { return false };
    if mode % 2 == 0 {
        return damaged(rest);
    }
    let Some((section, content)) = rest.split_first() else { return false };
    let disk = forged(usize::from(*section) % SECTIONS, content);
    bounded(BESIDE + 1024 * data.len(), || search(&disk).is_ok_and(|found| !found.is_empty()))
}

fn record(number: u64) -> LogRecord {
    LogRecord {
        time_us: DAY_US + number,
        level: [20, 30, 40][number as usize % 3],
        job: JobId::direct(number, 0, number as u32 / 4, 1),
        attempt: 1 + number as u32 % 2,
        task: format!("shop.task-{}", number % 5).into(),
        worker: "worker".into(),
        logger: ["shop.mail", "shop"][number as usize % 2].into(),
        message: format!("sent a letter {number}").into(),
        fields: vec![("order".into(), number.to_string().into())],
        place: number.is_multiple_of(2).then(|| LogPlace {
            file: "shop.py".into(),
            line: 7,
            function: "send".into(),
        }),
        exception: (number % 7 == 6).then(|| "ValueError: no stamp".into()),
        attachment: (number % 5 == 4).then(|| vec![number as u8; 100].into()),
    }
}

fn original() -> &'static SimulatedDisk {
    static ORIGINAL: OnceLock<SimulatedDisk> = OnceLock::new();
    ORIGINAL.get_or_init(|| {
        let disk = SimulatedDisk::new();
        let store = open(&disk);
        let records: Vec<LogRecord> = (0..RECORDS).map(record).collect();
        records.chunks(4).for_each(|records| store.append(records).expect("the disk takes it"));
        store.sync().expect("the disk keeps it");
        disk
    })
}

/// With blocks of some sixteen records. Whatever is in its files, it opens: logs are passed over, never in the way.
fn open(disk: &SimulatedDisk) -> LogStore<SimulatedDisk> {
    let home = Home::open(disk.clone()).expect("nothing else of the home is touched");
    let store = LogStore::open(&home).expect("logs are never in the way");
    let (tail_bytes, file_bytes) = (1 << 20, 64 << 20);
    store.set_limits(Limits { tail_records: 16, tail_bytes, tail_age: Duration::MAX, file_bytes });
    store
}

fn filters() -> [LogFilter; 5] {
    let none = LogFilter::default;
    [
        none(),
        LogFilter { attached: true, ..none() },
        LogFilter { texts: vec!["letter 1".into()], task: Some("shop.task-1".into()), ..none() },
        LogFilter { fields: vec![("order".into(), "20".into())], logger: Some("shop".into()), ..none() },
        LogFilter {
            level: Some(30),
            attempt: Some(2),
            since_us: Some(DAY_US + 9),
            worker: Some("worker".into()),
            ..none()
        },
    ]
}

/// What the filters find together, from both ends.
fn search(disk: &SimulatedDisk) -> Result<Vec<LogRecord>, lineshaft_store::Error> {
    let store = open(disk);
    let mut found = Vec::new();
    for filter in filters() {
        for newest_first in [false, true] {
            // A page that ran out of time would be short.
            let budget = Duration::from_secs(60);
            let request =
                LogPageRequest { filter: filter.clone(), count: 1_000, newest_first, budget, after: None };
            found.extend(store.page(&request)?.records);
        }
    }
    Ok(found)
}

fn damaged(orders: &[u8]) -> bool {
    let disk = original().restart();
    let done = damage(&disk, &[DAY.to_owned(), "logs/open".to_owned()], orders);
    let found = search(&disk).expect("what does not read is passed over");
    for record_found in &found {
        let number = record_found.time_us.wrapping_sub(DAY_US);
        let bare = |record: &LogRecord| LogRecord { attachment: None, ..record.clone() };
        assert!(
            number < RECORDS && bare(record_found) == bare(&record(number)),
            "{record_found:?} was not logged"
        );
    }
    let is_untouched = done.changed + done.lost == 0;
    assert!(!is_untouched || found.len() >= 2 * RECORDS as usize, "{} records are gone", 2 * RECORDS);
    is_untouched
}

/// A day whose first block has this content in one of its sections.
fn forged(section: usize, content: &[u8]) -> SimulatedDisk {
    let disk = original().restart();
    let before = disk.content(DAY);
    let (mut header, mut parts) = (before[..HEADER_BYTES].to_vec(), Vec::new());
    let mut start = HEADER_BYTES;
    for number in 0..SECTIONS {
        let place = place_of(number);
        let bytes = u32::from_le_bytes(header[place..place + 4].try_into().expect("four bytes")) as usize;
        let stored = if number == section { content } else { &before[start..start + bytes] };
        if number == section {
            for (at, value) in
                [stored.len() as u32, stored.len() as u32, crc32c(stored)].into_iter().enumerate()
            {
                header[place + 4 * at..][..4].copy_from_slice(&value.to_le_bytes());
            }
        }
        parts.extend_from_slice(stored);
        start += bytes;
    }
    let crc = crc32c(&header[..HEADER_BYTES - 4]);
    header[HEADER_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    let end = before.len().min(start + (64 << 10));
    let mut block = [&header[..], &parts, &before[start..end]].concat();
    block.resize(block.len().next_multiple_of(512), 0);
    overwrite(&disk, DAY, &block);
    disk
}

/// Where the header tells of a section: of the last one behind the length of the attachments.
fn place_of(section: usize) -> usize {
    SECTIONS_OFFSET + SECTION_BYTES * section + if section + 1 == SECTIONS { 8 } else { 0 }
}

/// What [`logs`] takes for the first block with the column of levels as it was.
pub fn forged_logs_seed() -> Vec<u8> {
    /// The place of levels among the sections.
    const LEVELS: usize = 4;
    let content = original().content(DAY);
    let bytes = |number: usize, at: usize| {
        let place = place_of(number) + at;
        u32::from_le_bytes(content[place..place + 4].try_into().expect("four bytes")) as usize
    };
    let start = HEADER_BYTES + (0..LEVELS).map(|number| bytes(number, 0)).sum::<usize>();
    let stored = &content[start..start + bytes(LEVELS, 0)];
    let levels = match bytes(LEVELS, 4) {
        unpacked if unpacked == stored.len() => stored.to_vec(),
        unpacked => lz4_flex::block::decompress(stored, unpacked).expect("the product packed it"),
    };
    [&[1, LEVELS as u8], &levels[..]].concat()
}
