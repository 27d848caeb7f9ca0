//! The store of logs: what was appended is found, once and in order, whatever happens in between.

mod attachments;
mod backup;
mod crash;
mod damage;
mod model;
mod old;
mod space;
mod support;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lineshaft_store::logs::{LogCursor, LogPageRequest, LogStore, RECORD_BYTES_MAX};
use lineshaft_store::{Error, FileDisk, Home};
use lineshaft_testkit::disk::SimulatedDisk;
use lineshaft_wire::log_record::LOG_TEXT_BYTES_MAX;
use lineshaft_wire::{LogFilter, LogRecord};

use support::{DAY_US, all, filled, open, read, record, small};

/// Two hundred records of two days, in blocks of some sixteen and a tail.
fn two_days() -> (SimulatedDisk, LogStore<SimulatedDisk>, Vec<LogRecord>) {
    let records: Vec<LogRecord> = (0..200).map(record).collect();
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    filled(&store, &records);
    (disk, store, records)
}

#[test]
fn everything_is_found_in_order_by_each_condition_and_in_both_directions() {
    let (disk, store, records) = two_days();
    let files = disk.files().into_iter().filter(|file| file.starts_with("logs/")).collect::<Vec<_>>();
    assert_eq!(files, ["logs/2026-11-28", "logs/2026-11-29", "logs/open"]);
    let check = |name: &str, change: &dyn Fn(&mut LogFilter)| {
        let mut filter = LogFilter::default();
        change(&mut filter);
        let expected: Vec<_> = records.iter().filter(|record| filter.takes(record)).cloned().collect();
        assert!(!expected.is_empty() && (name == "all" || expected.len() < records.len()), "{name}");
        for store in [store.clone(), open(&disk.restart())] {
            assert_eq!(read(&store, &filter, 1_000, false), expected, "{name}");
            let mut newest_first = read(&store, &filter, 1_000, true);
            newest_first.reverse();
            assert_eq!(newest_first, expected, "{name}, newest first");
        }
    };
    let some = &records[77];
    check("all", &|_| {});
    check("job", &|filter| filter.job = Some(some.job));
    check("attempt", &|filter| filter.attempt = Some(2));
    check("task", &|filter| filter.task = Some(some.task.clone()));
    check("worker", &|filter| filter.worker = Some(some.worker.clone()));
    check("logger", &|filter| filter.logger = Some("shop".into()));
    check("level", &|filter| filter.level = Some(40));
    check("since", &|filter| filter.since_us = Some(some.time_us));
    check("until", &|filter| filter.until_us = Some(some.time_us));
    check("field", &|filter| filter.fields = vec![("order".into(), "77".into())]);
    check("field's text", &|filter| filter.fields = vec![("to".into(), "ada\n3".into())]);
    check("field's JSON", &|filter| filter.fields = vec![("to".into(), "\"ada\\n3\"".into())]);
    check("text", &|filter| filter.texts = vec!["LETTER 77".into()]);
    check("short text", &|filter| filter.texts = vec!["7".into()]);
    check("exception", &|filter| filter.texts = vec!["no STAMP".into()]);
    check("many", &|filter| {
        filter.task = Some(some.task.clone());
        filter.level = Some(20);
        filter.texts = vec!["sent".into(), "letter".into()];
    });
}

#[test]
fn nothing_is_found_where_nothing_matches() {
    let (_, store, _) = two_days();
    let check = |change: &dyn Fn(&mut LogFilter)| {
        let mut filter = LogFilter::default();
        change(&mut filter);
        assert_eq!(read(&store, &filter, 10, false), []);
        assert_eq!(read(&store, &filter, 10, true), []);
    };
    check(&|filter| filter.task = Some("shop.receive".into()));
    check(&|filter| filter.logger = Some("sho".into()));
    check(&|filter| filter.level = Some(41));
    check(&|filter| filter.fields = vec![("order".into(), "200".into())]);
    check(&|filter| filter.fields = vec![("to".into(), "77".into())]);
    check(&|filter| filter.texts = vec!["received".into()]);
    check(&|filter| filter.until_us = Some(DAY_US));
}

#[test]
fn pages_of_every_size_have_each_record_exactly_once() {
    let (_, store, records) = two_days();
    let warnings = LogFilter { level: Some(30), ..LogFilter::default() };
    for filter in [LogFilter::default(), warnings] {
        let expected: Vec<_> = records.iter().filter(|record| filter.takes(record)).cloned().collect();
        for count in 0..=expected.len() + 1 {
            assert_eq!(read(&store, &filter, count, false), expected, "pages of {count}");
            let mut newest_first = read(&store, &filter, count, true);
            newest_first.reverse();
            assert_eq!(newest_first, expected, "pages of {count}, newest first");
        }
    }
}

#[test]
fn a_search_without_time_looks_at_one_piece_and_says_where_to_go_on() {
    let (_, store, records) = two_days();
    let filter = LogFilter { fields: vec![("order".into(), "150".into())], ..LogFilter::default() };
    let (mut after, mut found, mut pages) = (None, Vec::new(), 0);
    loop {
        let budget = Duration::ZERO;
        let request = LogPageRequest { filter: filter.clone(), after, budget, ..LogPageRequest::default() };
        let page = store.page(&request).unwrap();
        found.extend(page.records);
        (after, pages) = (page.next, pages + 1);
        if page.is_end {
            break;
        }
    }
    assert_eq!(found, records[150..151]);
    assert!(pages > 10, "{pages}");
}

#[test]
fn a_follower_goes_on_from_the_end() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let mut after = None;
    for number in 0..40 {
        let page = store.page(&LogPageRequest { after, ..LogPageRequest::default() }).unwrap();
        assert!(page.is_end && page.next.is_some());
        assert_eq!(page.records.len(), usize::from(number > 0));
        after = page.next.map(|cursor| cursor.to_string().parse::<LogCursor>().unwrap());
        store.append(&[record(number)]).unwrap();
    }
}

/// A cursor from before records were lost by a power cut pointed beyond what came later.
#[test]
fn a_follower_whose_records_were_lost_gets_the_next_ones() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    store.sync().unwrap();
    store.append(&[record(1), record(2), record(3)]).unwrap();
    let after = store.page(&LogPageRequest::default()).unwrap().next;
    let store = open(&disk.power_loss(lineshaft_testkit::disk::Loss::Everything));
    assert_eq!(all(&store), []);
    let request = LogPageRequest { after, ..LogPageRequest::default() };
    let after = store.page(&request).unwrap().next;
    store.append(&[record(4)]).unwrap();
    let page = store.page(&LogPageRequest { after, ..LogPageRequest::default() }).unwrap();
    assert_eq!(page.records, [record(4)]);
}

#[test]
fn who_searches_while_others_append_sees_a_prefix_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::open(FileDisk::new(directory.path())).unwrap();
    let store = LogStore::open(&home).unwrap();
    store.set_limits(small());
    let records: Vec<_> = (0..3_000).map(record).collect();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let follow = || {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let was_done = is_done.load(Ordering::Acquire);
                let request = LogPageRequest { after, count: 70, ..LogPageRequest::default() };
                let page = store.page(&request).unwrap();
                found.extend(page.records);
                after = page.next;
                if page.is_end && was_done {
                    return found;
                }
            }
        };
        let followers = [scope.spawn(follow), scope.spawn(follow)];
        let backwards = scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                let filter = LogFilter { level: Some(40), ..LogFilter::default() };
                let found = read(&store, &filter, 13, true);
                let numbers: BTreeSet<_> = found.iter().map(|record| record.time_us).collect();
                assert_eq!(numbers.len(), found.len(), "a record came twice");
            }
        });
        for part in records.chunks(7) {
            store.append(part).unwrap();
        }
        is_done.store(true, Ordering::Release);
        for follower in followers {
            assert!(follower.join().unwrap() == records, "a follower saw something else");
        }
        backwards.join().unwrap();
    });
}

#[test]
fn long_texts_are_cut_and_larger_records_refused_with_the_limit() {
    let disk = SimulatedDisk::new();
    let store = open(&disk);
    let mut long = record(1);
    long.message = "é".repeat(LOG_TEXT_BYTES_MAX).into();
    store.append(&[long]).unwrap();
    assert_eq!(all(&store)[0].message.len(), LOG_TEXT_BYTES_MAX);
    let mut large = record(2);
    large.fields = (0..5).map(|_| ("x".into(), format!("\"{}\"", "y".repeat(60_000)).into())).collect();
    let error = store.append(&[record(3), large]).unwrap_err();
    let limit = RECORD_BYTES_MAX as u64;
    assert!(matches!(error, Error::TooLarge { max_bytes, .. } if max_bytes == limit), "{error}");
    assert!(error.to_string().contains("a log record") && error.to_string().contains("262144"), "{error}");
    store.append(&[record(4)]).unwrap();
    assert_eq!(all(&open(&disk.restart())).len(), 2);
}

#[test]
fn an_append_of_many_becomes_many_blocks_and_one_above_the_limit_is_refused() {
    let disk = SimulatedDisk::new();
    let store = LogStore::open(&Home::open(disk.clone()).unwrap()).unwrap();
    let mut wide = record(1);
    wide.message = "w".repeat(60_000).into();
    let many: Vec<_> = (0..9_000).map(record).chain(vec![wide.clone(); 40]).collect();
    store.append(&many).unwrap();
    assert!(all(&store) == many);
    let error = store.append(&vec![wide; 300]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    assert!(all(&open(&disk.restart())) == many);
    store.append(&[record(7)]).unwrap();
    assert_eq!(disk.content("logs/open").len(), 512);
    assert!(all(&open(&disk.restart()))[..many.len()] == many);
}

#[test]
fn a_tail_becomes_a_block_when_it_is_old() {
    let disk = SimulatedDisk::new();
    let store = LogStore::open(&Home::open(disk.clone()).unwrap()).unwrap();
    store.append(&[record(1)]).unwrap();
    store.append(&[record(2)]).unwrap();
    assert_eq!(disk.content("logs/open").len(), 1_024);
    store.set_limits(lineshaft_store::logs::Limits { tail_age: Duration::ZERO, ..Default::default() });
    store.append(&[record(3)]).unwrap();
    assert_eq!(disk.content("logs/open").len(), 512);
    assert_eq!(all(&store), [record(1), record(2), record(3)]);
}

#[test]
fn counts_say_what_there_is() {
    let (disk, store, records) = two_days();
    let counts = store.counts();
    let in_files: usize = disk
        .files()
        .iter()
        .filter(|file| file.starts_with("logs/"))
        .map(|file| disk.content(file).len())
        .sum();
    assert_eq!(counts.records, records.len() as u64);
    assert_eq!((counts.bytes, counts.damaged_blocks), (in_files as u64, 0));
    assert_eq!(counts.oldest_us, Some(records[0].time_us));
    assert_eq!(open(&disk.restart()).counts(), counts);
}
