//! A table whose users are killed at each instruction, and at random.

use std::time::{Duration, Instant};

use lineshaft_ipc::table::{Stored, Table, Terms};

use super::{FEW_SECONDS, Forked, killed_after, over_all_instructions, rounds};

const ROOM: usize = 64 << 10;

fn put(table: &Table, key: &[u8], value: &[u8]) -> Stored {
    let terms =
        Terms { ttl_ms: None, idle_ms: None, stale_ms: 0, tags: &[], sources: &[], since: table.stamp() };
    table.put(table.key(key), value, &terms, 0).unwrap()
}

fn get(table: &Table, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    table.get(table.key(key), 0, &mut value).unwrap().map(|_| value)
}

fn use_once() {
    let table = Table::create(ROOM).unwrap();
    put(&table, b"warm", b"warm");
    get(&table, b"warm");
    table.invalidate(table.key(b"warm"), 0).unwrap();
    drop(table.begin(table.key(b"warm")).unwrap());
}

#[test]
fn a_putter_leaves_the_old_value_the_new_one_or_none() {
    over_all_instructions(|steps| {
        let table = Table::create(ROOM).unwrap();
        put(&table, b"other", &[1; 100]);
        put(&table, b"key", &[2; 100]);
        let act = || assert_eq!(put(&table, b"key", &[3; 130]), Stored::Stored);
        let is_over = killed_after(steps, use_once, act)?;
        let found = get(&table, b"key");
        let is_whole = found.as_deref().is_none_or(|found| found == [2; 100] || found == [3; 130]);
        assert!(is_whole && (!is_over || found.is_some()), "after {steps}: {found:?}");
        assert_eq!(put(&table, b"key", &[4; 100]), Stored::Stored, "after {steps}");
        assert_eq!(get(&table, b"key"), Some(vec![4; 100]), "after {steps}");
        let other = get(&table, b"other");
        assert!(other.is_none_or(|other| other == [1; 100]), "after {steps}");
        Some(is_over)
    });
}

#[test]
fn who_invalidates_has_done_so_or_not() {
    over_all_instructions(|steps| {
        let table = Table::create(ROOM).unwrap();
        put(&table, b"key", &[2; 100]);
        let since = table.stamp();
        let act = || assert!(table.invalidate(table.key(b"key"), 0).unwrap());
        let is_over = killed_after(steps, use_once, act)?;
        let found = get(&table, b"key");
        assert!(
            found.as_deref().is_none_or(|found| found == [2; 100] && !is_over),
            "after {steps}: {found:?}"
        );
        let terms = Terms { ttl_ms: None, idle_ms: None, stale_ms: 0, tags: &[], sources: &[], since };
        let stored = table.put(table.key(b"key"), b"late", &terms, 0).unwrap();
        assert!(!is_over || stored == Stored::Untrue, "after {steps}");
        Some(is_over)
    });
}

#[test]
fn who_computes_and_dies_is_followed_by_the_next_one() {
    over_all_instructions(|steps| {
        let table = Table::create(ROOM).unwrap();
        let is_over = killed_after(steps, use_once, || {
            // Nobody takes it back from a process that ends without a word.
            std::mem::forget(table.begin(table.key(b"key")).unwrap());
        })?;
        let began = Instant::now();
        table.wait(table.key(b"key"), Duration::from_secs(60));
        assert!(table.begin(table.key(b"key")).unwrap().is_some(), "after {steps}");
        assert!(began.elapsed() < Duration::from_secs(30), "after {steps}");
        Some(is_over)
    });
}

/// A value that shows whether it is in one piece and of its key.
fn value_of(key: u8, number: u64) -> Vec<u8> {
    let length = (number % 700) as usize;
    let mut value = vec![key];
    value.extend(number.to_le_bytes());
    value.extend((0..length).map(|at| (number as usize + at) as u8 ^ key));
    value
}

fn check(key: u8, value: &[u8]) {
    let number = u64::from_le_bytes(value[1..9].try_into().unwrap());
    assert_eq!(value, value_of(key, number), "torn");
}

/// Puts, gets, computes and invalidates until it is killed.
fn work(table: &Table, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    loop {
        let key = rng.u8(..200);
        match rng.u32(..10) {
            0..3 => drop(put(table, &[key], &value_of(key, rng.u64(..)))),
            3 => drop(table.invalidate(table.key(&[key]), 0).unwrap()),
            4 => table.invalidate_tag(table.tag(&[key])),
            5 => {
                if let Some(computing) = table.begin(table.key(&[key])).unwrap() {
                    std::thread::yield_now();
                    drop(computing);
                }
            }
            _ => {
                if let Some(value) = get(table, &[key]) {
                    check(key, &value);
                }
            }
        }
    }
}

#[test]
fn nothing_is_torn_and_nobody_hangs_whoever_is_killed_when() {
    let table = Table::create(ROOM).unwrap();
    let mut workers: Vec<Forked> = (0..3).map(|seed| Forked::run(|| work(&table, seed))).collect();
    let (began, mut rng) = (Instant::now(), fastrand::Rng::with_seed(9));
    let mut deaths = 0;
    while deaths < rounds() && (deaths < 20 || began.elapsed() < FEW_SECONDS || rounds() > 200) {
        std::thread::sleep(Duration::from_micros(rng.u64(..3_000)));
        let worker = workers.swap_remove(rng.usize(..workers.len()));
        assert!(worker.kill(), "a worker ended by itself: it found something torn");
        deaths += 1;
        workers.push(Forked::run(|| work(&table, deaths)));
        let key = rng.u8(..200);
        if let Some(value) = get(&table, &[key]) {
            check(key, &value);
        }
        // With a right to compute that was of the dead as well.
        table.wait(table.key(&[key]), Duration::from_secs(60));
        // Others may make a key of the same bucket untrue at the same time.
        let stored = put(&table, b"mine", b"value");
        assert!(matches!(stored, Stored::Stored | Stored::Untrue), "{stored:?}");
    }
    assert!(workers.into_iter().all(Forked::kill));
    assert_eq!(put(&table, b"mine", b"value"), Stored::Stored);
    assert_eq!(get(&table, b"mine"), Some(b"value".to_vec()));
}
