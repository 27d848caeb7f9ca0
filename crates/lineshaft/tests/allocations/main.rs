//! Tiny items of a pool are not allocated one by one, neither here nor in the worker. A program of its own, since its
//! allocator counts, and since its `main` is that of a worker too.
#![allow(unsafe_code)] // An allocator is.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lineshaft::Pool;

const ITEMS: i64 = 200_000;
/// It was five an item here and more in a worker. What is left is for chunks, shares and reports, which have few items where
/// the machine is slow.
const ALLOCATIONS_MAX: u64 = ITEMS as u64 / 2;

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: what the system's allocator does, and a counter.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(place, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[lineshaft::task]
fn add_one(number: i64) -> i64 {
    number + 1
}

/// How often the process that does this has allocated.
#[lineshaft::task]
fn allocations() -> u64 {
    COUNT.load(Relaxed)
}

fn main() {
    lineshaft::pool::init();
    let pool = Pool::new(1).expect("a pool");
    let there = || pool.submit(allocations::call()).expect("it is taken").wait().expect("a number");
    let (here_before, there_before) = (COUNT.load(Relaxed), there());
    let sums = pool.map(add_one::call, 0..ITEMS).expect("results");
    assert_eq!(sums.last(), Some(&ITEMS));
    for (who, count) in [("here", COUNT.load(Relaxed) - here_before), ("the worker", there() - there_before)]
    {
        assert!(count < ALLOCATIONS_MAX, "{who}: {count} allocations for {ITEMS} items");
    }
}
