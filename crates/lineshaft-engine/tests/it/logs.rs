//! What attempts logged, as those who send it and ask for it find it.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lineshaft_engine::{Clock, Handle, Options, backup, open};
use lineshaft_store::backup::Facts;
use lineshaft_store::logs::{Limits, LogStore};
use lineshaft_store::{FileDisk, Home};
use lineshaft_wire::message::{AddLogs, ListLogs, Logs, Message, RefusalCode};
use lineshaft_wire::{JobId, LogFilter, LogRecord};

use crate::live::{Client, stop};
use crate::world::long_leases;

fn engine(home: &Path) -> (Handle, Client) {
    let engine = open(home, long_leases()).unwrap().0;
    let client = Client::connect(&engine);
    (engine, client)
}

/// An hour before the tests began: records of a time that is over do not stay.
fn began_us() -> u64 {
    static BEGAN: OnceLock<u64> = OnceLock::new();
    *BEGAN.get_or_init(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64 - 3_600_000_000)
}

/// Records of a child with these numbers.
fn batch(first: u64, last: u64) -> AddLogs {
    let record = |number: u64| LogRecord {
        time_us: began_us() + number,
        level: 20,
        job: JobId::direct(1_000, 0, 1, 1),
        attempt: 1,
        task: "shop.send".into(),
        worker: "worker".into(),
        logger: "shop".into(),
        message: number.to_string().into(),
        fields: Vec::new(),
        place: None,
        exception: None,
        attachment: None,
    };
    AddLogs { worker: 7, child: 1, first, records: (first..=last).map(record).collect() }
}

fn kept(client: &mut Client) -> Vec<u64> {
    let list = ListLogs { count: 1_000, ..ListLogs::default() };
    let Message::Logs(Logs { records, .. }) = client.ask(list) else { panic!("no logs") };
    records.iter().map(|record| record.message.parse().unwrap()).collect()
}

#[test]
fn what_is_sent_again_is_kept_once() {
    let home = tempfile::tempdir().unwrap();
    let (engine, mut client) = engine(home.path());
    for (first, last) in [(1, 3), (1, 3), (2, 5), (6, 6)] {
        assert!(matches!(client.ask(batch(first, last)), Message::Done(_)));
    }
    assert_eq!(kept(&mut client), (1..=6).collect::<Vec<_>>());
    stop(&engine);
}

/// What was refused for want of room was taken for known when a later batch had found room.
#[test]
fn nothing_is_kept_behind_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let (engine, mut client) = engine(home.path());
    client.ask(batch(1, 2));
    let Message::Refused(refused) = client.ask(batch(4, 5)) else { panic!("it was taken") };
    assert_eq!(
        (refused.code, &*refused.message),
        (RefusalCode::WrongState, "records from 3 on are missing before 4")
    );
    client.ask(batch(3, 5));
    assert_eq!(kept(&mut client), (1..=5).collect::<Vec<_>>());
    stop(&engine);
}

/// An engine that begins does not know what the one before it has had of a child; only of the first batch was it looked at.
#[test]
fn what_an_engine_could_not_confirm_is_known_to_the_next_one() {
    let home = tempfile::tempdir().unwrap();
    let (before, mut client) = engine(home.path());
    client.ask(batch(1, 4));
    client.ask(batch(5, 6));
    drop(client);
    stop(&before);
    let (engine, mut client) = engine(home.path());
    for (first, last) in [(3, 4), (5, 8)] {
        assert!(matches!(client.ask(batch(first, last)), Message::Done(_)));
    }
    assert_eq!(kept(&mut client), (1..=8).collect::<Vec<_>>());
    stop(&engine);
}

/// What a killed server had stored with an attachment and not confirmed was not known again, since it is found without.
#[test]
fn an_attachment_is_kept_once_over_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let attached = || {
        let mut batch = batch(1, 2);
        batch.records.iter_mut().for_each(|record| record.attachment = Some(b"profile".as_slice().into()));
        batch
    };
    for _ in 0..2 {
        let (engine, mut client) = engine(home.path());
        assert!(matches!(client.ask(attached()), Message::Done(_)));
        assert_eq!(kept(&mut client), [1, 2]);
        let filter = LogFilter { attached: true, ..LogFilter::default() };
        let list = ListLogs { filter, count: 10, ..ListLogs::default() };
        let Message::Logs(Logs { records, .. }) = client.ask(list) else { panic!("no logs") };
        assert_eq!(records, attached().records);
        stop(&engine);
    }
}

/// The last records of a home in which nobody logs any more stayed until others came.
#[test]
fn what_was_logged_goes_when_its_time_is_over_though_nobody_logs_any_more() {
    let home = tempfile::tempdir().unwrap();
    // In a block of its own, of a day before that of the others.
    let store = LogStore::open(&Home::open(FileDisk::new(home.path())).unwrap()).unwrap();
    store.set_limits(Limits { tail_records: 1, ..Limits::default() });
    let [mut older, newer] = [batch(0, 0), batch(1, 1)].map(|batch| batch.records);
    older[0].time_us -= 5 * 86_400_000_000;
    [older, newer].iter().for_each(|records| store.append(records).unwrap());
    drop(store);
    let clock = Clock::default();
    let options = || Options { clock: clock.clone(), ..long_leases() };
    let engine = open(home.path(), options()).unwrap().0;
    let mut client = Client::connect(&engine);
    client.ask(batch(2, 3));
    assert_eq!(kept(&mut client), [0, 1, 2, 3]);
    let files = || days_in(home.path());
    assert_eq!(files().len(), 1);
    clock.advance(Duration::from_secs(6 * 86_400));
    let deadline = Instant::now() + Duration::from_secs(60);
    // That it goes shows that whoever looks after records has looked.
    while !files().is_empty() {
        assert!(Instant::now() < deadline, "it stays");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(kept(&mut client), [1, 2, 3]);
    clock.advance(Duration::from_secs(2 * 86_400 + 1));
    while std::fs::metadata(home.path().join("logs/open")).unwrap().len() > 0 {
        assert!(Instant::now() < deadline, "they stay");
        std::thread::sleep(Duration::from_millis(50));
    }
    stop(&engine);
    assert_eq!(files(), [] as [String; 0]);
    let engine = open(home.path(), options()).unwrap().0;
    let mut client = Client::connect(&engine);
    assert_eq!(kept(&mut client), [] as [u64; 0]);
    stop(&engine);
}

/// Nothing was kept any more until the server was started again.
#[test]
fn a_file_that_somebody_removes_costs_the_records_in_it_and_no_later_ones() {
    let home = tempfile::tempdir().unwrap();
    let (engine, mut client) = engine(home.path());
    let mut add = |numbers: std::ops::Range<u64>| {
        for first in numbers.clone().step_by(500) {
            assert!(matches!(client.ask(batch(first, numbers.end.min(first + 500) - 1)), Message::Done(_)));
        }
    };
    let tail = Limits::default().tail_records;
    add(1..tail + 600);
    let days = days_in(home.path());
    assert_eq!(days.len(), 1);
    std::fs::remove_file(home.path().join("logs").join(&days[0])).unwrap();
    add(tail + 600..3 * tail);
    let list = ListLogs { count: 1_000, newest_first: true, ..ListLogs::default() };
    let Message::Logs(Logs { records, .. }) = client.ask(list) else { panic!("no logs") };
    assert_eq!(records[0].message.parse(), Ok(3 * tail - 1));
    assert_eq!(days_in(home.path()).len(), 1);
    stop(&engine);
}

/// The names of the files of days.
fn days_in(home: &Path) -> Vec<String> {
    let files = std::fs::read_dir(home.join("logs")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(|first: char| first.is_ascii_digit())).collect()
}

/// A worker that finds a restored home sends what it could not tell, and what the backup has already.
#[test]
fn a_restored_home_repeats_and_refuses_nothing_that_is_sent_again() {
    let (home, copy, again) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (before, mut client) = engine(home.path());
    client.ask(batch(1, 4));
    client.ask(batch(5, 6));
    drop(client);
    stop(&before);
    let facts = Facts { version: "test".into(), created_ms: 1_000, logs: true };
    let backup_disk = FileDisk::new(copy.path());
    backup::of_stopped(home.path(), &backup_disk, facts, &mut ()).unwrap();
    let checked = backup::check(backup_disk, None, &mut ()).unwrap();
    checked.restore(FileDisk::new(again.path()), 1_000, &mut ()).unwrap();
    let (engine, mut client) = engine(again.path());
    assert_eq!(kept(&mut client), (1..=6).collect::<Vec<_>>());
    for (first, last) in [(5, 7), (8, 9), (8, 9)] {
        assert!(matches!(client.ask(batch(first, last)), Message::Done(_)));
    }
    assert_eq!(kept(&mut client), (1..=9).collect::<Vec<_>>());
    stop(&engine);
}
