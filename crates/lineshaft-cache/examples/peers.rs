//! Ours beside moka and `quick_cache`: `peers FILE CAPACITY ...` replays a trace, one key a line, and prints for each cache
//! and capacity what `replay` does; `peers` alone prints what a hit takes.
//!
//! moka decides who stays some time later, in batches that callers work off: with `run_pending_tasks` after each request it
//! would be another cache. So its ratio may differ a little from run to run.

#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use lineshaft_cache::{Cache, Capacity, Life, Options, Terms};
use rustix::time::{ClockId, clock_gettime};

const KEYS: u64 = 1_000;
const CALLS: u64 = 2_000_000;
const ROUNDS: usize = 5;
const HOUR: Duration = Duration::from_secs(3_600);

/// A look-up of a number by itself.
type Look<'a> = dyn Fn(u64) -> Option<u64> + Sync + 'a;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((path, sizes)) = words.split_first() else { return hits() };
    let text = std::fs::read_to_string(path).expect("a readable trace");
    let keys: Vec<u64> = text.lines().map(|line| line.trim().parse().expect("a number a line")).collect();
    for size in sizes.iter().map(|word| word.parse().expect("a number of entries")) {
        let (moka, quick) = (moka(size, None), quick_cache::sync::Cache::new(size));
        replay(
            "moka",
            size,
            &keys,
            |key| moka.get(key).is_some(),
            |key| moka.insert(key, ()),
            || moka.entry_count(),
        );
        replay(
            "quick_cache",
            size,
            &keys,
            |key| quick.get(key).is_some(),
            |key| quick.insert(key, ()),
            || quick.len() as u64,
        );
    }
}

fn moka<V: Clone + Send + Sync + 'static>(size: usize, ttl: Option<Duration>) -> moka::sync::Cache<u64, V> {
    let builder = moka::sync::Cache::builder().max_capacity(size as u64);
    match ttl {
        Some(ttl) => builder.time_to_live(ttl).build(),
        None => builder.build(),
    }
}

fn replay(
    name: &str,
    size: usize,
    keys: &[u64],
    get: impl Fn(&u64) -> bool,
    insert: impl Fn(u64),
    len: impl Fn() -> u64,
) {
    let (mut hits, mut most) = (0_u64, 0);
    for (index, &key) in keys.iter().enumerate() {
        if get(&key) {
            hits += 1;
        } else {
            insert(key);
        }
        if index % 1_000 == 0 {
            most = most.max(len());
        }
    }
    println!("{name} {size} {} {hits} {most}", keys.len());
}

/// Numbers by numbers, all of which are there, by one thread and by two at once.
fn hits() {
    let began = Instant::now();
    let now_ms = || began.elapsed().as_millis() as u64;
    let ours = |ttl_ms| {
        let life = Life { ttl_ms, idle_ms: None };
        let options = Options { capacity: Capacity::Entries(10_000), life, ..Options::default() };
        Mutex::new(Cache::<u64, u64>::new(&options))
    };
    let (lasting, mortal) = (ours(None), ours(Some(3_600_000)));
    let (moka_lasting, moka_mortal) = (moka(10_000, None), moka(10_000, Some(HOUR)));
    let (quick, by_hand) =
        (quick_cache::sync::Cache::new(10_000), Mutex::new(std::collections::HashMap::new()));
    for key in 0..KEYS {
        for cache in [&lasting, &mortal] {
            cache.lock().expect("nobody panics").insert(key, key, &Terms::default(), now_ms());
        }
        for cache in [&moka_lasting, &moka_mortal] {
            cache.insert(key, key);
        }
        quick.insert(key, key);
        by_hand.lock().expect("nobody panics").insert(key, key);
    }
    let look = |cache: &Mutex<Cache<u64, u64>>, key: u64, now_ms: u64| {
        let mut cache = cache.lock().expect("nobody panics");
        cache.get(&key, now_ms).and_then(|found| found.value.copied())
    };
    let figures: [(&str, &Look<'_>); 6] = [
        ("ours, in a Mutex", &|key| look(&lasting, key, 0)),
        ("ours with a time to live, in a Mutex", &|key| look(&mortal, key, now_ms())),
        ("moka", &|key| moka_lasting.get(&key)),
        ("moka with a time to live", &|key| moka_mortal.get(&key)),
        ("quick_cache", &|key| quick.get(&key)),
        ("HashMap, in a Mutex", &|key| by_hand.lock().expect("nobody panics").get(&key).copied()),
    ];
    println!(
        "ns of a hit, of CPU by one thread and of time by each of two; median of {ROUNDS} rounds (least to greatest)"
    );
    for (name, look) in figures {
        let (alone, of_two) = (ClockId::ThreadCPUTime, ClockId::Monotonic);
        println!("{name:<40} {}   {}", spread(|| each(1, alone, look)), spread(|| each(2, of_two, look)));
    }
}

/// Nanoseconds of a hit, in each round.
fn spread(mut round: impl FnMut() -> f64) -> String {
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    format!("{:6.1} ({:.1} to {:.1})", rounds[ROUNDS / 2], rounds[0], rounds[ROUNDS - 1])
}

/// What a hit takes each of so many threads that look at once.
fn each(threads: usize, clock: ClockId, look: &Look<'_>) -> f64 {
    let barrier = Barrier::new(threads);
    let run = || {
        barrier.wait();
        let began = nanoseconds(clock);
        for key in 0..CALLS {
            let key = black_box(key % KEYS);
            assert_eq!(look(key), Some(key));
        }
        (nanoseconds(clock) - began) / CALLS as f64
    };
    let took: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("nobody panics")).collect()
    });
    took.iter().sum::<f64>() / threads as f64
}

fn nanoseconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
