//! What an entry takes beside key and value, counted by the allocator.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use lineshaft_cache::{Cache, Capacity, Life, Options, PolicyKind, Terms};

const ENTRIES: u32 = 200_000;

thread_local! {
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

/// Counts what each thread takes and gives back.
struct Counting;

// SAFETY: passes everything on to the system's allocator, and touches nothing but a number of the thread's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn count(bytes: i64) {
    // A thread that ends has no counter any more.
    _ = BYTES.try_with(|counter| counter.set(counter.get() + bytes));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_entry_with_a_time_to_live_takes_72_bytes_at_most() {
    for policy in [PolicyKind::S3Fifo, PolicyKind::Lru, PolicyKind::Sieve, PolicyKind::WTinyLfu] {
        let bytes = overhead(policy);
        eprintln!("{policy:?}: {bytes:.1} bytes an entry beside key and value");
        assert!(bytes <= 72.0, "{policy:?}: {bytes:.1}");
    }
}

/// In a cache that has been full for long, of entries with a life and a cost.
fn overhead(policy: PolicyKind) -> f64 {
    let life = Life { ttl_ms: Some(600_000), idle_ms: None };
    let options = Options { capacity: Capacity::Entries(ENTRIES), policy, life, ..Options::default() };
    let before = BYTES.get();
    // Texts without a byte: nothing of them is elsewhere.
    let mut cache: Cache<u64, String> = Cache::new(&options);
    for key in 0..u64::from(3 * ENTRIES) {
        cache.insert(key, String::new(), &Terms { cost_ms: 3, ..Terms::default() }, key / 10);
    }
    assert_eq!(cache.len(), ENTRIES);
    let key_and_value = (size_of::<u64>() + size_of::<String>()) as f64;
    (BYTES.get() - before) as f64 / f64::from(ENTRIES) - key_and_value
}
