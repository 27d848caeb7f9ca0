//! How much memory a piece of work takes at most, counted where it is allocated.
#![allow(unsafe_code)] // An allocator that counts is a global one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// Bytes that this thread has now, more than when the counting began, and the most of it.
    static NOW_AND_MOST: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// Does `work`, which may have at most `limit_bytes` at once beside what there was before.
///
/// # Panics
///
/// If it took more. Not for work that calls this itself.
pub fn bounded<T>(limit_bytes: usize, work: impl FnOnce() -> T) -> T {
    NOW_AND_MOST.set((0, 0));
    let done = work();
    let most = NOW_AND_MOST.get().1;
    assert!(most <= limit_bytes as isize, "{most} bytes of memory where {limit_bytes} are the limit");
    done
}

struct Counting;

fn count(bytes: isize) {
    // A thread that ends has no counters any more.
    let _ = NOW_AND_MOST.try_with(|counters| {
        let (now, most) = counters.get();
        let now = now.saturating_add(bytes);
        counters.set((now, most.max(now)));
    });
}

// SAFETY: every call is passed on to the system's allocator as it is; counting neither allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.cast_signed() - layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, new_size) }
    }
}
