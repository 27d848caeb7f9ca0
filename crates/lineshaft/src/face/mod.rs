//! What a program in Rust uses: a client of typed jobs, and a worker.

mod attempt;
mod client;
mod completed;
#[cfg(feature = "embedded")]
mod embedded;
mod job;
mod outcome;
mod signals;
mod tempo;
mod worker;

pub use client::Client;
pub use completed::Completed;
#[cfg(feature = "embedded")]
pub use embedded::Embedded;
pub use job::Job;
pub use worker::{Worker, Working};

pub(crate) use outcome::Told;
