//! What a program imports to enqueue jobs, follow them and run them.
//!
//! [`Client`] talks to the server of a [`home`]: it connects, resends what a broken connection left unanswered, and
//! never makes a job twice. [`launch`] starts a server for a home that has none. [`worker`] holds the supervisor and
//! its children. [`duration`] reads the durations and sizes that people write.
//!
//! This crate deliberately does not know the rules of jobs, the journal, terminals or Python.

pub mod client;
pub mod duration;
mod error;
pub mod home;
pub mod launch;
pub mod worker;

pub use client::{Client, ClientOptions, JobEnd, NewJobs, OutcomeUnknown, Reply, Target, Waiting};
pub use error::Error;
pub use launch::ServerCommand;
