//! The cache: what is true, until when, and what is not stored.

use lineshaft_jobs::{Answer, Command, Limits, Payloads, Place, State};
use lineshaft_testkit::model::{Happened, Told};
use lineshaft_wire::message::{CacheInvalidate, CacheSet, Changed, NewEntry, RefusalCode, Sequence};

use super::shop::Shop;

fn entry(key: &str, tags: &[&str]) -> NewEntry {
    let tags = tags.iter().map(|tag| (*tag).into()).collect();
    NewEntry { key: key.into(), length: 3, tags, ..NewEntry::default() }
}

fn of(key: &str, sources: &[&str]) -> NewEntry {
    NewEntry { sources: sources.iter().map(|key| (*key).into()).collect(), ..entry(key, &[]) }
}

fn count(told: &Result<Told, RefusalCode>) -> u64 {
    match told {
        Ok(Told::Answer(Answer::Changed(Changed { jobs, .. }))) => *jobs,
        other => panic!("{other:?}"),
    }
}

impl Shop {
    fn keep(&mut self, entries: Vec<NewEntry>) -> Result<Told, RefusalCode> {
        let bytes = "abc".repeat(entries.len());
        let (session, sequence) = (1, self.next());
        let request = CacheSet { sequence, entries };
        self.run(Command::CacheSet { session, request, values: Payloads::from(bytes::Bytes::from(bytes)) })
    }

    fn untrue(&mut self, keys: &[&str], tags: &[&str]) -> u64 {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        let (keys, tags, session, sequence) = (names(keys), names(tags), 1, self.next());
        let request = CacheInvalidate { sequence, keys, tags, all: false };
        count(&self.run(Command::CacheInvalidate { session, request }))
    }

    /// The value of a key, and whether its time is over.
    fn cached(&self, key: &str) -> Option<(Vec<u8>, bool)> {
        let view = self.machine.state.cache_entry(key, self.machine.now)?;
        Some((self.machine.read(view.place).to_vec(), view.is_stale))
    }

    fn has(&self, key: &str) -> bool {
        self.cached(key).is_some()
    }

    fn ticket(&self) -> u64 {
        self.machine.state.cache_ticket()
    }
}

#[test]
fn an_entry_is_true_until_its_key_or_a_tag_of_it_is_invalidated() {
    let mut shop = Shop::new();
    let told = shop.keep(vec![entry("a", &["red"]), entry("b", &["red", "blue"]), entry("c", &[])]);
    assert_eq!(count(&told), 3);
    assert_eq!(shop.cached("b"), Some((b"abc".to_vec(), false)));
    assert_eq!(shop.untrue(&["c", "nothing"], &[]), 1);
    assert!(!shop.has("c"));
    assert_eq!(shop.untrue(&[], &["blue"]), 0, "those of a tag are not counted");
    assert_eq!((shop.has("a"), shop.has("b")), (true, false));
    assert_eq!(shop.untrue(&["b"], &[]), 0, "it was untrue before");
    shop.keep(vec![entry("b", &["blue"])]).unwrap();
    assert!(shop.has("b"), "what is stored afterwards is true");
}

#[test]
fn what_was_computed_from_what_has_changed_since_is_not_stored() {
    let mut shop = Shop::new();
    let ticket = shop.ticket();
    shop.untrue(&["a"], &["red"]);
    let with = |key: &str, tags: &[&str], ticket| NewEntry { ticket: Some(ticket), ..entry(key, tags) };
    let told = shop.keep(vec![with("a", &[], ticket), with("b", &["red"], ticket), with("c", &[], ticket)]);
    assert_eq!(count(&told), 1);
    assert_eq!((shop.has("a"), shop.has("b"), shop.has("c")), (false, false, true));
    let ticket = shop.ticket();
    assert_eq!(count(&shop.keep(vec![with("a", &["red"], ticket)])), 1);
    shop.restart();
    assert!(shop.has("a"));
    assert_eq!(
        count(&shop.keep(vec![with("d", &[], ticket)])),
        0,
        "nobody knows what was changed before a start"
    );
    assert_eq!(count(&shop.keep(vec![with("d", &[], shop.ticket())])), 1);
    assert_eq!(count(&shop.keep(vec![with("e", &[], u64::MAX)])), 0, "a ticket that nobody gave");
}

/// Somebody computes, and meanwhile another one, who knows the new value, puts it there.
#[test]
fn what_was_computed_does_not_take_the_place_of_what_was_put_there_meanwhile() {
    let mut shop = Shop::new();
    let ticket = shop.ticket();
    let put = NewEntry { ttl_ms: Some(1_000), ..entry("a", &[]) };
    assert_eq!(count(&shop.keep(vec![put])), 1);
    let computed = NewEntry { ticket: Some(ticket), ..entry("a", &[]) };
    assert_eq!(count(&shop.keep(vec![computed.clone()])), 0);
    shop.pass(1_000);
    shop.machine.settle();
    assert_eq!(count(&shop.keep(vec![computed])), 0, "nor when that one's time is over");
}

#[test]
fn what_becomes_of_a_source_reaches_what_was_computed_from_it() {
    let mut shop = Shop::new();
    let keep = |shop: &mut Shop| {
        let pages = vec![of("offer", &["price", "rate"]), of("page", &["offer", "price", "rate"])];
        assert_eq!(count(&shop.keep(pages)), 2);
        assert_eq!((shop.has("offer"), shop.has("page")), (true, true));
    };
    keep(&mut shop);
    assert_eq!(shop.untrue(&["other"], &[]), 0);
    assert_eq!((shop.has("offer"), shop.has("page")), (true, true));
    assert_eq!(shop.untrue(&["rate"], &[]), 0, "there is no such entry, and others were computed from it");
    assert_eq!((shop.has("offer"), shop.has("page")), (false, false));
    keep(&mut shop);
    shop.keep(vec![entry("price", &[])]).unwrap();
    assert_eq!((shop.has("offer"), shop.has("page"), shop.has("price")), (false, false, true), "it was put");
    keep(&mut shop);
    let state = shop.machine.state.snapshot();
    let read = State::from_snapshot(&state, shop.machine.limits).expect("a snapshot reads");
    shop.machine.restart_on(read);
    assert!(shop.has("offer") && shop.has("page"));
    assert_eq!(shop.untrue(&["price"], &[]), 1);
    assert_eq!((shop.has("offer"), shop.has("page")), (false, false), "after a start, too");
}

/// Who computes an entry computes its sources on the way: that they come then must not keep it from being stored, however
/// often. A value in place of another one must.
#[test]
fn a_source_that_comes_reaches_what_was_stored_and_not_what_is_computed() {
    let mut shop = Shop::new();
    let with = |new: NewEntry, ticket| NewEntry { ticket: Some(ticket), ..new };
    let stale = NewEntry { ttl_ms: Some(1_000), stale_ms: 1_000, ..entry("price", &[]) };
    for _ in 0..3 {
        let ticket = shop.ticket();
        assert_eq!(count(&shop.keep(vec![with(stale.clone(), ticket)])), 1);
        assert!(!shop.has("page"), "it was computed from what was there before");
        assert_eq!(count(&shop.keep(vec![with(of("page", &["price"]), ticket)])), 1);
        assert!(shop.has("page"));
        shop.pass(2_000);
        shop.machine.settle();
        assert_eq!(
            (shop.has("price"), shop.has("page")),
            (false, true),
            "that its time is over is no change"
        );
    }
    shop.keep(vec![stale.clone()]).unwrap();
    shop.pass(1_500);
    let ticket = shop.ticket();
    assert_eq!(count(&shop.keep(vec![with(stale, ticket)])), 1);
    assert_eq!(
        count(&shop.keep(vec![with(of("page", &["price"]), ticket)])),
        0,
        "it may be of the stale one"
    );
}

/// It was stored once more by a request that was sent again because its connection broke, though it was invalidated since.
#[test]
fn a_request_that_is_sent_again_stores_nothing() {
    let mut shop = Shop::new();
    let (session, sequence) = (1, shop.next());
    let request = CacheSet { sequence, entries: vec![entry("a", &[])] };
    let command = Command::CacheSet { session, request, values: Payloads::from(bytes::Bytes::from("abc")) };
    assert_eq!(count(&shop.run(command.clone())), 1);
    let sequence = Sequence { lowest: sequence.number, ..shop.next() };
    let request = CacheInvalidate { sequence, keys: vec!["a".into()], tags: Vec::new(), all: false };
    assert_eq!(count(&shop.run(Command::CacheInvalidate { session, request })), 1);
    assert_eq!(count(&shop.run(command)), 1);
    assert!(!shop.has("a"));
}

#[test]
fn an_entry_ends_by_the_wall_clock_and_may_be_served_beyond_its_time() {
    let mut shop = Shop::new();
    let short = NewEntry { ttl_ms: Some(1_000), ..entry("short", &[]) };
    let stale = NewEntry { ttl_ms: Some(1_000), stale_ms: 500, ..entry("stale", &[]) };
    shop.keep(vec![short, stale, entry("long", &[])]).unwrap();
    shop.pass(999);
    assert_eq!((shop.cached("short").unwrap().1, shop.cached("stale").unwrap().1), (false, false));
    shop.pass(1);
    assert_eq!((shop.has("short"), shop.cached("stale").unwrap().1), (false, true));
    shop.pass(500);
    assert_eq!((shop.has("stale"), shop.has("long")), (false, true));
    shop.machine.settle();
    assert_eq!(shop.machine.state.cache_size().0, 1, "what has ended is gone");
}

#[test]
fn entries_survive_a_snapshot_and_what_made_others_untrue_does_too() {
    let mut shop = Shop::new();
    shop.keep(vec![entry("a", &["red"]), entry("b", &["blue"])]).unwrap();
    shop.untrue(&[], &["red"]);
    let state = shop.machine.state.snapshot();
    let read = State::from_snapshot(&state, shop.machine.limits).expect("a snapshot reads");
    shop.machine.restart_on(read);
    assert_eq!((shop.has("a"), shop.has("b")), (false, true));
    assert_eq!(shop.machine.state.cache_size().0, 2, "it goes when it is asked for, or for room");
}

#[test]
fn blobs_go_with_their_entries() {
    let mut shop = Shop::new();
    let keep = |shop: &mut Shop, id: u64| {
        let (session, sequence) = (1, shop.next());
        let request = CacheSet { sequence, entries: vec![entry("a", &[])] };
        let values = Payloads { bytes: bytes::Bytes::from("abc"), blobs: vec![(0, id)] };
        let command = Command::CacheSet { session, request, values };
        shop.machine.run(command).unwrap().1
    };
    assert_eq!(keep(&mut shop, 7), []);
    assert_eq!(keep(&mut shop, 8), [Happened::BlobFreed(7)]);
    assert!(shop.machine.state.needs_blob(8));
    let view = shop.machine.state.cache_entry("a", shop.machine.now).unwrap();
    assert_eq!(view.place, Place { lsn: 8, offset: Place::BLOB, length: 3 });
    let evict = Command::CacheEvict { keys: vec!["a".into(), "nothing".into()] };
    assert_eq!(shop.machine.run(evict).unwrap().1, [Happened::BlobFreed(8)]);
    assert_eq!(shop.machine.state.oldest_kept_lsn(), None);
}

#[test]
fn what_cannot_be_kept_is_refused_and_nothing_of_its_request_is_stored() {
    let mut shop = Shop::with(Limits { cache_bytes: 250, ..Limits::default() });
    let long = "x".repeat(256);
    let tags: Vec<String> = (0..1_025).map(|tag| tag.to_string()).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    for (wrong, code) in [
        (entry("", &[]), RefusalCode::BadRequest),
        (entry(&long, &[]), RefusalCode::BadRequest),
        (entry("line\n", &[]), RefusalCode::BadRequest),
        (entry("b", &[""]), RefusalCode::BadRequest),
        (entry("b", &tags), RefusalCode::BadRequest),
        (of("b", &tags[..257]), RefusalCode::BadRequest),
        (of("b", &["line\n"]), RefusalCode::BadRequest),
        (of("b", &[&"y".repeat(60)]), RefusalCode::TooLarge),
        (NewEntry { ttl_ms: Some(u64::MAX), ..entry("b", &[]) }, RefusalCode::BadRequest),
        (NewEntry { length: 4, ..entry("b", &[]) }, RefusalCode::BadRequest),
        (entry(&"y".repeat(60), &[]), RefusalCode::TooLarge),
    ] {
        assert_eq!(shop.keep(vec![entry("a", &[]), wrong]), Err(code));
        assert!(!shop.has("a"));
    }
    assert!(shop.keep(vec![entry("a", &[]), entry("b", &[])]).is_ok());
    assert!(shop.machine.state.cache_overflows(), "who goes for room is chosen elsewhere");
}
