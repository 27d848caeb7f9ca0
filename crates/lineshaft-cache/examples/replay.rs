//! Replays a trace against every policy: `replay FILE CAPACITY ...`, one key a line.
//!
//! Prints a line for each policy and capacity: policy, capacity, requests, hits, most residents at any time.

#![allow(clippy::print_stdout)]

use std::hash::{BuildHasher, Hash};

use lineshaft_cache::{Capacity, Options, PolicyKind, Residents, Terms};
use rustc_hash::FxBuildHasher;

const KINDS: [(&str, PolicyKind); 4] = [
    ("s3fifo", PolicyKind::S3Fifo),
    ("lru", PolicyKind::Lru),
    ("sieve", PolicyKind::Sieve),
    ("lfu", PolicyKind::WTinyLfu),
];

fn main() {
    let mut words = std::env::args().skip(1);
    let path = words.next().expect("replay FILE CAPACITY ...");
    let text = std::fs::read_to_string(&path).expect("a readable trace");
    let keys: Vec<u64> = text.lines().map(|line| line.trim().parse().expect("a number a line")).collect();
    for capacity in words.map(|word| word.parse().expect("a number of entries")) {
        for (name, kind) in KINDS {
            let (hits, most) = replay(&keys, kind, capacity);
            println!("{name} {capacity} {} {hits} {most}", keys.len());
        }
    }
}

fn replay(keys: &[u64], policy: PolicyKind, capacity: u32) -> (u64, u32) {
    let options = Options { capacity: Capacity::Entries(capacity), policy, ..Options::default() };
    let mut residents = Residents::new(&options);
    let mut most = 0;
    for &key in keys {
        let hash = hash(key);
        if let Some(slot) = residents.find(hash, |&other| other == key) {
            residents.touch(slot, 0);
        } else {
            residents.insert(hash, key, &Terms::default(), 0);
            residents.take_removed();
        }
        most = most.max(residents.len());
    }
    assert!(most <= capacity, "{most} residents where there is room for {capacity}");
    (residents.statistics().hits, most)
}

fn hash(key: impl Hash) -> u32 {
    let hash = FxBuildHasher.hash_one(key);
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}
