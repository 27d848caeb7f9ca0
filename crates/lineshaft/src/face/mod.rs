//! What a program in Rust uses: a client of typed jobs, and a worker.

mod client;
mod completed;
mod job;
mod outcome;

pub use client::Client;
pub use completed::Completed;
pub use job::Job;

pub(crate) use outcome::Told;
