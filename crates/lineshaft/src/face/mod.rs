//! What a program in Rust uses: a client of typed jobs, and a worker.

mod attempt;
mod cache;
mod client;
mod completed;
#[cfg(feature = "embedded")]
mod embedded;
mod job;
mod limiter;
mod lock;
mod outcome;
mod profiled;
mod signals;
mod tempo;
mod worker;

pub use cache::{Cache, CacheEntry};
pub use client::Client;
pub use completed::Completed;
#[cfg(feature = "embedded")]
pub use embedded::Embedded;
pub use job::Job;
pub use limiter::Limiter;
pub use lock::{Barrier, Lock, LockGuard, LockOwner};
pub use worker::{Worker, Working};

pub(crate) use lock::program;
pub(crate) use outcome::Told;
