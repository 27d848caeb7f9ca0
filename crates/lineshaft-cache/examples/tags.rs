//! What invalidating a tag of a million entries takes, and how many bytes an entry has beside key and value.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use lineshaft_cache::{Cache, Capacity, Options, Terms};

const ENTRIES: u32 = 1_000_000;

fn main() {
    let mut cache: Cache<u32, u32> =
        Cache::new(&Options { capacity: Capacity::Entries(ENTRIES), ..Options::default() });
    let terms = Terms { tags: &["all"], ..Terms::default() };
    (0..ENTRIES).for_each(|key| cache.insert(key, key, &terms, 0));
    assert_eq!(cache.len(), ENTRIES);
    let began = Instant::now();
    assert!(cache.invalidate_tag("all"));
    let took = began.elapsed();
    assert!((0..ENTRIES).step_by(997).all(|key| cache.peek(&key, 0).is_none()));
    println!("tag of {ENTRIES} entries invalidated in {:.1} us", took.as_secs_f64() * 1e6);
}
