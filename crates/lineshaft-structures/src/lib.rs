//! Structures under the engine, kept pure: no I/O, no clock, no randomness, no threads, no `unsafe`.
//!
//! - [`TimerWheel`]: millions of timers, each O(1) to set and to cancel; time is a number that the caller passes in.
//! - [`PagedVec`]: a vector in pages, which grows without ever copying itself.
//! - [`TrackedVec`] and [`TrackedFifo`]: a vector and a queue in pages that know which of them changed, and lend those
//!   to a reader elsewhere while they go on changing.
//!
//! The crate deliberately does not know what a job, a slot or a lease is. Everything here is deterministic: the same
//! calls in the same order give the same answers, so a replay may rely on it.

#![forbid(unsafe_code)]

mod page;
mod paged_vec;
mod timer_slab;
mod timer_wheel;
mod tracked_fifo;
mod tracked_vec;

pub use paged_vec::{PAGE_LEN, PagedVec};
pub use timer_wheel::{TimerId, TimerWheel};
pub use tracked_fifo::TrackedFifo;
pub use tracked_vec::TrackedVec;
