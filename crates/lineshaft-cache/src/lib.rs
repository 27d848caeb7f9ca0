//! Caches: which entries stay, how long they live, and what makes them untrue.
//!
//! - [`Cache`]: values by key, for Rust.
//! - [`Residents`]: what a cache is made of, for those who look keys up in their own way, as the Python face does. It
//!   knows entries by their slot, a small number, and looks after room, lives, tags and statistics.
//! - [`Policy`]: who goes when room is needed. One file each: S3-FIFO, LRU, SIEVE and W-TinyLFU.
//! - [`Graph`]: what depends on what, without cycles.
//! - [`Prefixes`]: entries by the beginning of a text.
//!
//! Pure: time and chance come in as values, there are no threads, and nothing is called back but a listener of
//! [`Cache`]. So the same calls in the same order do the same, and whoever holds a lock around a cache knows what
//! happens under it. The crate deliberately does not know how values are computed or who waits for them.

#![forbid(unsafe_code)]

mod cache;
mod column;
mod error;
mod expiries;
mod graph;
mod options;
mod policy;
mod prefixes;
mod residents;
mod statistics;
mod tags;

pub use cache::{Cache, Found, Listener};
pub use error::Error;
pub use graph::Graph;
pub use lineshaft_structures::Cycle;
pub use options::{Capacity, Life, Options, Terms};
pub use policy::{Facts, Policy, PolicyKind};
pub use prefixes::Prefixes;
pub use residents::{Freshness, Reason, Residents, Stamp};
pub use statistics::{Statistics, TagStatistics};
