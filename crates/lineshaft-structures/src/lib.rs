//! Structures under the engine, kept pure: no I/O, no clock, no randomness, no threads, no `unsafe`.
//!
//! - [`TimerWheel`]: millions of timers, each O(1) to set and to cancel; time is a number that the caller passes in.
//! - [`PagedVec`]: a vector in pages, which grows without ever copying itself.
//! - [`TrackedPages`] and [`TrackedFifo`]: a list and a queue of pages that know which of them changed, and lend those
//!   to a reader elsewhere while they go on changing.
//! - [`SparseVec`]: values for some indexes.
//! - [`CyclicSet`]: numbers that are taken out in ascending order, around and around.
//! - [`ColdVec`]: a vector whose values may lie outside memory while nobody changes them.
//! - [`BloomFilter`]: a set of hashes in ten bits each, which is sure of who is not in it.
//! - [`Trie`]: values by key, with all keys under a prefix at hand.
//! - [`Dag`]: a graph that refuses cycles and is in order at any time.
//! - [`Histogram`]: how long things took, with quantiles; [`Sketch`]: how numbers are spread, smaller; [`Rate`]: how often something may happen.
//!
//! The crate deliberately does not know what a job, a slot or a lease is. Everything here is deterministic: the same
//! calls in the same order give the same answers, so a replay may rely on it.

#![forbid(unsafe_code)]

mod bloom_filter;
mod cold_vec;
mod cyclic_set;
mod dag;
mod histogram;
mod page;
mod paged_vec;
mod rate;
mod sketch;
mod sparse_vec;
mod timer_slab;
mod timer_wheel;
mod tracked_fifo;
mod tracked_pages;
mod trie;

pub use bloom_filter::{BloomFilter, DifferentSizes, TooLarge, Unreadable};
pub use cold_vec::ColdVec;
pub use cyclic_set::CyclicSet;
pub use dag::{Cycle, Dag};
pub use histogram::Histogram;
pub use page::Rows;
pub use paged_vec::{PAGE_LEN, PagedVec, split};
pub use rate::Rate;
pub use sketch::{SKETCH_BINS, Sketch};
pub use sparse_vec::SparseVec;
pub use timer_wheel::{TimerId, TimerWheel};
pub use tracked_fifo::TrackedFifo;
pub use tracked_pages::TrackedPages;
pub use trie::{Items, Trie};
