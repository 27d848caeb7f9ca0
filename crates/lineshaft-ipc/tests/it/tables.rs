//! Tables in one process: what is kept, how long, and what makes it untrue.

use std::collections::HashMap;
use std::time::Duration;

use lineshaft_ipc::table::{SOURCES_MAX, Source, Stamp, Stored, TAGS_MAX, Table, TableFile, Tag, Terms};

const ROOM: usize = 1 << 20;

fn terms(table: &Table) -> Terms<'static> {
    Terms { ttl_ms: None, idle_ms: None, stale_ms: 0, tags: &[], sources: &[], since: table.stamp() }
}

fn put(table: &Table, key: &str, value: &[u8]) -> Stored {
    table.put(table.key(key.as_bytes()), value, &terms(table), 0).unwrap()
}

fn get_at(table: &Table, key: &str, now_ms: u64) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    table.get(table.key(key.as_bytes()), now_ms, &mut value).unwrap().map(|_| value)
}

fn get(table: &Table, key: &str) -> Option<Vec<u8>> {
    get_at(table, key, 0)
}

#[test]
fn what_is_put_is_got_whatever_its_length() {
    let table = Table::create(ROOM).unwrap();
    let value = |length: usize| -> Vec<u8> { (0..length).map(|at| at as u8 ^ length as u8).collect() };
    for length in (0..200).chain([1_000, 4_095, 60_000]) {
        assert_eq!(put(&table, &format!("{length}"), &value(length)), Stored::Stored);
        assert_eq!(get(&table, &format!("{length}")), Some(value(length)), "{length}");
    }
    for length in 0..200 {
        assert_eq!(get(&table, &format!("{length}")), Some(value(length)), "{length}, later");
    }
    assert_eq!(get(&table, "x"), None);
    let statistics = table.statistics();
    assert_eq!((statistics.hits, statistics.misses, statistics.entries), (403, 1, 203));
}

#[test]
fn a_new_value_takes_the_place_of_the_old_one() {
    let table = Table::create(ROOM).unwrap();
    for length in [10, 5_000, 0, 100] {
        put(&table, "key", &vec![length as u8; length]);
        assert_eq!(get(&table, "key"), Some(vec![length as u8; length]));
    }
    assert_eq!(table.statistics().entries, 1);
    assert_eq!(table.statistics().bytes, 128);
}

#[test]
fn what_is_used_stays_and_there_is_never_more_than_room() {
    let table = Table::create(ROOM).unwrap();
    let often: Vec<String> = (0..100).map(|number| format!("often {number}")).collect();
    for round in 0..200 {
        for key in &often {
            if get(&table, key).is_none() {
                put(&table, key, &[1; 300]);
            }
        }
        for number in 0..100 {
            put(&table, &format!("once {round} {number}"), &[2; 300]);
        }
        let statistics = table.statistics();
        assert!(statistics.bytes <= statistics.bytes_max, "{statistics:?}");
    }
    let kept = often.iter().filter(|key| get(&table, key).is_some()).count();
    assert!(kept >= 99, "{kept} of 100 that were used 200 times");
    assert!(table.statistics().evictions > 15_000);
}

#[test]
fn what_is_too_large_is_refused_and_nothing_goes_for_it() {
    let table = Table::create(ROOM).unwrap();
    put(&table, "small", b"stays");
    assert_eq!(put(&table, "large", &vec![0; table.value_bytes_max() + 1]), Stored::TooLarge);
    assert_eq!(put(&table, "half", &vec![7; table.value_bytes_max() - 8]), Stored::Stored);
    assert_eq!(get(&table, "small"), Some(b"stays".to_vec()));
    assert_eq!(get(&table, "half").unwrap().len(), table.value_bytes_max() - 8);
}

#[test]
fn entries_live_as_long_as_they_are_told() {
    let table = Table::create(ROOM).unwrap();
    let terms = Terms { ttl_ms: Some(100), idle_ms: Some(40), stale_ms: 5, ..terms(&table) };
    table.put(table.key(b"key"), b"value", &terms, 1_000).unwrap();
    for now in [1_030, 1_060, 1_090] {
        assert!(get_at(&table, "key", now).is_some(), "{now}: used in time");
    }
    let mut value = Vec::new();
    let found = table.get(table.key(b"key"), 1_102, &mut value).unwrap();
    assert!(found.unwrap().is_stale, "its time is over, but it may be served");
    assert_eq!(get_at(&table, "key", 1_105), None, "however often it was used");
    table.put(table.key(b"key"), b"value", &terms, 2_000).unwrap();
    assert_eq!(get_at(&table, "key", 2_045), None, "idle");
}

#[test]
fn the_room_of_what_is_over_is_used_again() {
    let table = Table::create(ROOM).unwrap();
    let terms = Terms { ttl_ms: Some(10), ..terms(&table) };
    for number in 0..20_000_u64 {
        let key = number.to_le_bytes();
        table.put(table.key(&key), &[0; 100], &terms, number / 100).unwrap();
    }
    let statistics = table.statistics();
    assert_eq!(statistics.evictions, 0, "{statistics:?}");
    assert!(statistics.entries < 3_000, "{statistics:?}");
}

#[test]
fn invalidating_a_key_a_tag_or_all_reaches_what_is_there_and_what_is_computed() {
    let table = Table::create(ROOM).unwrap();
    let (red, blue) = (table.tag(b"red"), table.tag(b"blue"));
    let put_with = |key: &str, tags: &[Tag], since: Stamp| {
        let terms = Terms { tags, since, ..terms(&table) };
        table.put(table.key(key.as_bytes()), key.as_bytes(), &terms, 0).unwrap()
    };
    let before = table.stamp();
    put_with("a", &[red], before);
    put_with("b", &[red, blue, blue, blue, blue], before);
    put_with("c", &[], before);
    let is_there = || ["a", "b", "c"].map(|key| get(&table, key).is_some());
    table.invalidate_tag(blue);
    assert_eq!(is_there(), [true, false, true]);
    assert_eq!(put_with("b", &[blue], before), Stored::Untrue, "it was computed before that");
    assert!(table.invalidate(table.key(b"a"), 0).unwrap());
    assert!(!table.invalidate(table.key(b"a"), 0).unwrap());
    assert_eq!(is_there(), [false, false, true]);
    assert_eq!(put_with("a", &[red], before), Stored::Untrue);
    assert_eq!(put_with("a", &[red], table.stamp()), Stored::Stored);
    table.invalidate_all();
    assert_eq!(is_there(), [false; 3]);
    assert_eq!(put_with("c", &[], before), Stored::Untrue);
}

#[test]
fn only_the_first_of_too_many_tags_count() {
    let table = Table::create(ROOM).unwrap();
    let tags: Vec<Tag> = (0..TAGS_MAX as u32 + 45).map(|tag| table.tag(&tag.to_le_bytes())).collect();
    let terms = Terms { tags: &tags, ..terms(&table) };
    assert_eq!(table.put(table.key(b"key"), b"value", &terms, 0).unwrap(), Stored::Stored);
    assert_eq!(get(&table, "key"), Some(b"value".to_vec()));
    table.invalidate_tag(tags[TAGS_MAX - 1]);
    assert_eq!(get(&table, "key"), None);
}

fn source(table: &Table, key: &str) -> Source {
    table.source(table.key(key.as_bytes()))
}

/// Puts the value of a key that was computed from others since then.
fn put_of(table: &Table, key: &str, of: &[&str], since: Stamp) -> Stored {
    let sources: Vec<Source> = of.iter().map(|key| source(table, key)).collect();
    let terms = Terms { sources: &sources, since, ..terms(table) };
    table.put(table.key(key.as_bytes()), key.as_bytes(), &terms, 0).unwrap()
}

#[test]
fn what_becomes_of_a_source_reaches_what_was_and_what_is_computed_from_it() {
    let table = Table::create(ROOM).unwrap();
    let before = table.stamp();
    put(&table, "price", b"1");
    assert_eq!(put_of(&table, "offer", &["price", "rate"], before), Stored::Stored);
    assert_eq!(put_of(&table, "page", &["offer", "price", "rate"], before), Stored::Stored);
    put(&table, "other", b"1");
    table.invalidate(table.key(b"another"), 0).unwrap();
    assert!(get(&table, "offer").is_some() && get(&table, "page").is_some());
    assert!(!table.invalidate(table.key(b"rate"), 0).unwrap(), "whether it is there or not");
    assert!(get(&table, "offer").is_none() && get(&table, "page").is_none());
    assert_eq!(get(&table, "price"), Some(b"1".to_vec()));
    assert_eq!(put_of(&table, "offer", &["rate"], before), Stored::Untrue);
    assert_eq!(put_of(&table, "offer", &["rate"], table.stamp()), Stored::Stored);
    table.invalidate_all();
    assert_eq!(get(&table, "offer"), None);
}

/// Who computes an entry computes its sources too, and is kept all the same.
#[test]
fn a_value_that_comes_reaches_what_was_stored_and_not_what_is_computed() {
    let table = Table::create(ROOM).unwrap();
    let before = table.stamp();
    put(&table, "price", b"1");
    assert_eq!(put_of(&table, "offer", &["price"], before), Stored::Stored);
    assert!(get(&table, "offer").is_some());
    table.invalidate(table.key(b"price"), 0).unwrap();
    for round in 0..3 {
        let before = table.stamp();
        put_of(&table, "offer", &["price"], before);
        let before = table.stamp();
        let short = Terms { ttl_ms: Some(1), ..terms(&table) };
        table.put(table.key(b"price"), b"1", &short, 10 * round).unwrap();
        assert_eq!(get_at(&table, "offer", 10 * round), None, "what was stored before");
        assert_eq!(put_of(&table, "offer", &["price"], before), Stored::Stored, "what was begun before");
        assert!(get_at(&table, "offer", 10 * round).is_some());
    }
}

#[test]
fn a_value_in_place_of_one_that_is_served_reaches_what_is_computed_too() {
    let table = Table::create(ROOM).unwrap();
    let stale = Terms { ttl_ms: Some(10), stale_ms: 10, ..terms(&table) };
    table.put(table.key(b"price"), b"1", &stale, 0).unwrap();
    let before = table.stamp();
    put_of(&table, "page", &["price"], before);
    table.put(table.key(b"price"), b"2", &stale, 15).unwrap();
    assert_eq!(put_of(&table, "offer", &["price"], before), Stored::Untrue);
    assert_eq!(get(&table, "page"), None);
}

#[test]
fn only_the_first_of_too_many_sources_count() {
    let table = Table::create(ROOM).unwrap();
    let names: Vec<String> = (0..SOURCES_MAX + 5).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(put_of(&table, "page", &names, table.stamp()), Stored::Stored);
    assert_eq!(get(&table, "page"), Some(b"page".to_vec()));
    table.invalidate(table.key(names[SOURCES_MAX - 1].as_bytes()), 0).unwrap();
    assert_eq!(get(&table, "page"), None);
}

/// Whatever is done in whatever order, nothing is served that was computed from what was there before.
#[test]
fn an_entry_is_of_its_sources_as_they_are() {
    let mut rng = fastrand::Rng::with_seed(2);
    for _ in 0..40 {
        let table = Table::create(64 << 10).unwrap();
        let mut prices = [0_u64; 8];
        for step in 0..2_000_u64 {
            let (item, page) = (rng.usize(..8), format!("page {}", rng.u8(..50)));
            let of: Vec<usize> = (0..8).filter(|at| page.len() * (at + 1) % 3 != 0).collect();
            let name = |item: usize| format!("price {item}");
            match rng.u32(..10) {
                0 => {
                    prices[item] = step;
                    table.invalidate(table.key(name(item).as_bytes()), 0).unwrap();
                }
                // Its time is over, or it went for room, and it is computed anew.
                1 => {
                    prices[item] = step;
                    put(&table, &name(item), &step.to_le_bytes());
                }
                2..5 => {
                    let since = table.stamp();
                    let value: Vec<u8> = of.iter().flat_map(|item| prices[*item].to_le_bytes()).collect();
                    let sources: Vec<Source> = of.iter().map(|item| source(&table, &name(*item))).collect();
                    let terms = Terms { sources: &sources, since, ..terms(&table) };
                    table.put(table.key(page.as_bytes()), &value, &terms, 0).unwrap();
                }
                _ => {
                    let expected: Vec<u8> = of.iter().flat_map(|item| prices[*item].to_le_bytes()).collect();
                    assert!(get(&table, &page).is_none_or(|value| value == expected), "step {step}");
                }
            }
        }
        assert!(table.statistics().hits > 20, "{:?}", table.statistics());
    }
}

#[test]
fn a_process_that_asks_itself_for_what_it_computes_does_not_wait() {
    let table = Table::create(ROOM).unwrap();
    let key = table.key(b"key");
    let first = table.begin(key).unwrap();
    let second = table.begin(key).unwrap();
    assert!(first.is_some() && second.is_some());
    table.wait(table.key(b"another"), Duration::from_secs(60));
}

/// Whatever is done in whatever order, a table has what a map has, or less.
#[test]
fn a_table_has_what_a_map_has_or_less() {
    let mut rng = fastrand::Rng::with_seed(1);
    for round in 0..40 {
        let table = Table::create(64 << 10).unwrap();
        let mut map: HashMap<u16, (Vec<u8>, Vec<u16>)> = HashMap::new();
        for _ in 0..2_000 {
            let number = rng.u16(..300);
            let bytes = number.to_le_bytes();
            let key = table.key(&bytes);
            match rng.u32(..20) {
                0 => {
                    table.invalidate(key, 0).unwrap();
                    map.remove(&number);
                }
                1 if rng.u32(..10) == 0 => {
                    let tag = rng.u16(..10);
                    table.invalidate_tag(table.tag(&tag.to_be_bytes()));
                    map.retain(|_, (_, tags)| !tags.contains(&tag));
                }
                2..9 => {
                    let length = rng.usize(..600);
                    let value: Vec<u8> = (0..length).map(|_| rng.u8(..)).collect();
                    let count = rng.usize(..4);
                    let tags: Vec<u16> = (0..count).map(|_| rng.u16(..10)).collect();
                    let hashed: Vec<Tag> = tags.iter().map(|tag| table.tag(&tag.to_be_bytes())).collect();
                    let terms = Terms { tags: &hashed, ..terms(&table) };
                    assert_eq!(table.put(key, &value, &terms, 0).unwrap(), Stored::Stored);
                    map.insert(number, (value, tags));
                }
                _ => {
                    let mut value = vec![9];
                    let found = table.get(key, 0, &mut value).unwrap();
                    match map.get(&number) {
                        Some((kept, _)) if found.is_some() => {
                            assert_eq!(value[1..], kept[..], "round {round}");
                        }
                        _ => assert_eq!((found, &value[..]), (None, &[9][..])),
                    }
                }
            }
        }
        assert!(table.statistics().hits > 100, "{:?}", table.statistics());
    }
}

#[test]
fn a_file_is_there_while_somebody_has_it_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    let first = TableFile::open(&path, ROOM).unwrap();
    put(first.table(), "key", b"value");
    let second = TableFile::open(&path, ROOM * 2).unwrap();
    assert_eq!(get(second.table(), "key"), Some(b"value".to_vec()));
    drop(first);
    assert!(path.exists());
    let third = second.reopen().unwrap();
    drop(second);
    assert_eq!(get(third.table(), "key"), Some(b"value".to_vec()));
    drop(third);
    assert!(!path.exists());
}

#[test]
fn what_was_left_half_made_is_made_again_and_what_is_not_ours_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    let make = |mode| {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true).mode(mode).open(&path).unwrap()
    };
    make(0o600).set_len(12_345).unwrap();
    put(TableFile::open(&path, ROOM).unwrap().table(), "key", b"value");
    assert!(!path.exists());
    make(0o644);
    let refused = TableFile::open(&path, ROOM).unwrap_err().to_string();
    assert!(refused.contains("this user alone"), "{refused}");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(directory.path().join("elsewhere"), &path).unwrap();
    assert!(TableFile::open(&path, ROOM).is_err());
}

#[test]
fn many_who_make_a_file_at_once_get_one_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    let barrier = std::sync::Barrier::new(8);
    let opened: Vec<TableFile> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    TableFile::open(&path, ROOM).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    put(opened[0].table(), "key", b"value");
    assert!(opened.iter().all(|file| get(file.table(), "key").is_some()));
}
