//! What a program imports to enqueue jobs, follow them and run them.
//!
//! [`Client`] makes jobs of the calls of tasks and follows them, [`macro@task`] declares tasks, [`Worker`] runs them
//! in this process. A task may as well be declared, called or run in Python: [`mod@value`] says what becomes of what.
//!
//! Below that face, [`client`] talks to the server of a [`home`]: it connects, resends what a broken connection left
//! unanswered, and never makes a job twice. [`launch`] starts a server for a home that has none. [`worker`] holds the
//! supervisor and its children. [`config`] is the table of settings and reads what sets them, [`duration`] the durations
//! and sizes that people write.
//!
//! This crate deliberately does not know the rules of jobs, the journal, terminals or Python.

// What the macros write names this crate as its users do.
extern crate self as lineshaft;

pub mod client;
pub mod config;
pub mod duration;
mod error;
mod face;
pub mod home;
pub mod launch;
mod per_process;
pub mod task;
pub mod value;
pub mod worker;

pub use client::{ClientOptions, JobEnd, NewJobs, OutcomeUnknown, Reply, Target, Waiting};
pub use error::Error;
pub use face::{Client, Completed, Job, Worker};
pub use launch::ServerCommand;
pub use lineshaft_macros::{task, value};
pub use lineshaft_wire::message::EndedJob;
pub use lineshaft_wire::{AttemptRecord, ErrorRecord, JobId, JobRecord, JobState, Outcome};
pub use task::{Call, Context};

#[doc(hidden)]
pub use serde;

/// The programs of the guide compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/rust.md")]
struct Guide;
