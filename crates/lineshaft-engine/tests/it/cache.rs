//! The cache from outside: what outlives a power cut, and who goes for room.

use bytes::Bytes;
use lineshaft_engine::ConnectionId;
use lineshaft_jobs::Limits;
use lineshaft_testkit::disk::{Loss, SimulatedDisk};
use lineshaft_wire::message::{
    CacheFound, CacheGet, CacheInvalidate, CacheReport, CacheSet, Changed, FoundEntry, Message, NewEntry,
    RefusalCode, Refused, Sequence,
};

use crate::crashes::World;
use crate::world::{Mailbox, hello};

const ONE: ConnectionId = ConnectionId(1);
const VALUE: &str = "value";

/// A program that uses the cache.
struct Client {
    world: World,
    number: u64,
}

impl Client {
    fn open(disk: SimulatedDisk, limits: Limits) -> Self {
        let mut world = World::open_with(disk, limits).unwrap();
        world.core.connected(ONE, Mailbox::new());
        world.ask(ONE, hello(), Bytes::new()).unwrap();
        Self { world, number: 0 }
    }

    fn sequence(&mut self) -> Sequence {
        self.number += 1;
        Sequence { number: self.number, lowest: self.number }
    }

    fn set(&mut self, entry: NewEntry) {
        let request = CacheSet { sequence: self.sequence(), entries: vec![entry] };
        let told = self.world.ask(ONE, request.into(), Bytes::from(VALUE)).unwrap();
        assert_eq!(told, Changed { jobs: 1, ..Changed::default() }.into());
    }

    fn invalidate(&mut self, tag: &str) {
        let sequence = self.sequence();
        let request = CacheInvalidate { sequence, keys: Vec::new(), tags: vec![tag.into()], all: false };
        self.world.ask(ONE, request.into(), Bytes::new()).unwrap();
    }

    fn has(&mut self, key: &str) -> bool {
        let request = CacheGet { keys: vec![key.into()], peek: false };
        let told = self.world.ask(ONE, request.into(), Bytes::new()).unwrap();
        let Message::CacheFound(CacheFound { entries, .. }) = told else { panic!("{told:?}") };
        let found = FoundEntry { length: VALUE.len() as u32, is_stale: false };
        assert!(entries == [None] || entries == [Some(found)], "{entries:?}");
        entries[0].is_some()
    }

    fn report(&mut self) -> CacheReport {
        self.world.core.cache_report()
    }
}

fn entry(key: &str) -> NewEntry {
    NewEntry { key: key.into(), length: VALUE.len() as u32, ..NewEntry::default() }
}

#[test]
fn entries_and_what_made_others_untrue_outlive_a_power_cut() {
    let disk = SimulatedDisk::new();
    let mut client = Client::open(disk.clone(), Limits::default());
    client.set(NewEntry { tags: vec!["red".into()], ..entry("a") });
    client.set(entry("b"));
    client.invalidate("red");
    drop(client);
    let mut client = Client::open(disk.power_loss(Loss::Everything), Limits::default());
    assert_eq!((client.has("a"), client.has("b")), (false, true));
    assert_eq!(client.report().entries, 1, "what is untrue went when it was asked for");
}

/// They stayed until somebody asked for each of them, and had others go that were true.
#[test]
fn what_is_untrue_goes_though_nobody_asks_for_it() {
    let mut client = Client::open(SimulatedDisk::new(), Limits::default());
    (0..10)
        .for_each(|number| client.set(NewEntry { tags: vec!["red".into()], ..entry(&number.to_string()) }));
    client.set(entry("other"));
    client.invalidate("red");
    let report = client.report();
    assert_eq!((report.entries, report.evicted), (1, 0));
    assert!(client.has("other"));
}

/// Jobs come first: what is cached can be computed again.
#[test]
fn on_a_disk_that_is_nearly_full_nothing_is_cached() {
    let mut client = Client::open(SimulatedDisk::new(), Limits::default());
    client.set(entry("a"));
    client.world.core.set_tight(true);
    client.world.commit().unwrap();
    assert_eq!(client.report().entries, 0);
    let request = CacheSet { sequence: client.sequence(), entries: vec![entry("b")] };
    let told = client.world.ask(ONE, request.into(), Bytes::from(VALUE)).unwrap();
    let Message::Refused(Refused { code, message, .. }) = told else { panic!("{told:?}") };
    assert_eq!(code, RefusalCode::StoreFull);
    assert!(message.contains("nothing is cached"), "{message}");
}

/// A large one was gone before its answer left, while there were smaller ones that could have gone.
#[test]
fn what_was_just_stored_is_there_however_large_it_is() {
    let room = 100 * (200 + 3 + VALUE.len() as u64);
    let mut client = Client::open(SimulatedDisk::new(), Limits { cache_bytes: room, ..Limits::default() });
    (100..200).for_each(|number| client.set(entry(&number.to_string())));
    let large = "x".repeat(room as usize / 2);
    for key in ["large", "larger"] {
        let new = NewEntry { length: large.len() as u32, ..entry(key) };
        let request = CacheSet { sequence: client.sequence(), entries: vec![new] };
        client.world.ask(ONE, request.into(), Bytes::from(large.clone())).unwrap();
        let request = CacheGet { keys: vec![key.into()], peek: true };
        let told = client.world.ask(ONE, request.into(), Bytes::new()).unwrap();
        let Message::CacheFound(CacheFound { entries, .. }) = told else { panic!("{told:?}") };
        assert!(entries[0].is_some(), "{key}");
    }
    assert!(client.report().bytes <= room);
}

#[test]
fn what_is_used_stays_and_what_is_not_goes_for_room() {
    let room = 100 * (200 + 3 + VALUE.len() as u64);
    let limits = Limits { cache_bytes: room, ..Limits::default() };
    let disk = SimulatedDisk::new();
    let mut client = Client::open(disk.clone(), limits);
    for number in 100..200 {
        client.set(entry(&number.to_string()));
    }
    assert_eq!(client.report().evicted, 0);
    for number in 200..400 {
        assert!((100..110).all(|hot| client.has(&hot.to_string())), "with {number}");
        client.set(entry(&number.to_string()));
    }
    let report = client.report();
    assert_eq!((report.entries, report.bytes, report.evicted), (100, room, 200));
    drop(client);
    let mut client = Client::open(disk.power_loss(Loss::Everything), limits);
    assert!((100..110).all(|hot| client.has(&hot.to_string())));
    let report = client.report();
    assert_eq!((report.entries, report.hits, report.misses), (100, 10, 0));
    client.set(entry("one"));
    assert_eq!(client.report().entries, 100);
}

#[test]
fn fewer_entries_than_there_were_before_is_no_trouble() {
    let disk = SimulatedDisk::new();
    let mut client = Client::open(disk.clone(), Limits::default());
    (100..200).for_each(|number| client.set(entry(&number.to_string())));
    drop(client);
    let limits = Limits { cache_entries: 10, ..Limits::default() };
    let mut client = Client::open(disk.power_loss(Loss::Everything), limits);
    client.world.commit().unwrap();
    assert_eq!(client.report().entries, 10);
}

#[test]
fn what_nobody_asks_for_goes_after_its_idle_time() {
    let mut client = Client::open(SimulatedDisk::new(), Limits::default());
    client.set(NewEntry { idle_ms: Some(1_000), ..entry("a") });
    for _ in 0..3 {
        client.world.pass(900);
        assert!(client.has("a"));
    }
    client.world.pass(1_000);
    assert!(!client.has("a"));
    assert_eq!(client.report().entries, 0);
}
