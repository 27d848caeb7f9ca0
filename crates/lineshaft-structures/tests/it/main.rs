//! The structures against naive models.

mod bloom_filter;
mod dag;
mod measures;
mod paged_vec;
mod sparse_vec;
mod timer_wheel;
mod tracked;
mod trie;
