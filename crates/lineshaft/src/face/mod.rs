//! What a program in Rust uses: a client of typed jobs, and a worker.

mod attempt;
mod client;
mod completed;
mod job;
mod outcome;
mod signals;
mod worker;

pub use client::Client;
pub use completed::Completed;
pub use job::Job;
pub use worker::Worker;

pub(crate) use outcome::Told;
