//! Durable background jobs: a function becomes a task, a call of it a job that survives whatever happens.
//!
//! ```no_run
//! use lineshaft::task::Result;
//! use lineshaft::{Embedded, Worker};
//!
//! #[lineshaft::task(name = "text.words", retries = 3)]
//! fn words(text: String) -> usize {
//!     text.split_whitespace().count()
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<()> {
//!     let engine = Embedded::start(".lineshaft").await?; // the engine, in this process
//!     let client = engine.client();
//!     let worker = Worker::new(client).task(words::TASK).start()?;
//!
//!     let job = client.enqueue(words::call("to be or not to be".into())).await?; // durable from here on
//!     println!("{} words", job.result().await?); // 6 words
//!
//!     worker.stop().await?;
//!     Ok(engine.stop().await?)
//! }
//! ```
//!
//! [`macro@task`] declares tasks, [`Client`] makes jobs of their calls and follows them, [`Worker`] runs them in this
//! process, [`Embedded`] is the engine in it (feature `embedded`, on by default). A task may as well be declared, called
//! or run in Python: [`mod@value`] says what becomes of what.
//!
//! Below that face, [`client`] talks to the server of a [`home`]: it connects, resends what a broken connection left
//! unanswered, and never makes a job twice. [`launch`] starts a server for a home that has none. [`worker`] holds the
//! supervisor and its children. [`pool`] has [`Pool`], for functions in processes whose results are waited for.
//! [`around`] is what attributes put around functions. [`config`] is the table of settings and reads what sets them,
//! [`duration`] the durations and sizes that people write.
//!
//! With the feature `log`, `lineshaft::log` is the crate `lineshaft-log`: records to files, servers and functions, and a
//! layer for `tracing`.
//!
//! This crate deliberately does not know the rules of jobs, the journal, terminals or Python.

// What the macros write names this crate as its users do.
extern crate self as lineshaft;

pub mod around;
pub mod client;
pub mod config;
pub mod duration;
mod error;
mod face;
pub mod home;
pub mod interpreter;
pub mod launch;
#[cfg(feature = "log")]
pub mod log;
mod per_process;
pub mod pool;
mod sync;
pub mod talk;
pub mod tally;
pub mod task;
pub mod value;
pub mod worker;

pub use client::{ClientOptions, JobEnd, NewJobs, OutcomeUnknown, Reply, Target, Waiting};
pub use error::Error;
#[cfg(feature = "embedded")]
pub use face::Embedded;
pub use face::{
    Barrier, Cache, CacheEntry, Client, Completed, Job, Limiter, Lock, LockGuard, LockOwner, Worker, Working,
};
pub use launch::ServerCommand;
/// Where time went: what [`Job::profile`] gives.
pub use lineshaft_insight::profile;
pub use lineshaft_macros::{alternatives, cached, logged, retry, task, timed, value};
pub use lineshaft_wire::message::EndedJob;
pub use lineshaft_wire::{AttemptRecord, ErrorRecord, JobId, JobRecord, JobState, Outcome};
pub use pool::Pool;
pub use task::{Call, Context, Unique};

#[doc(hidden)]
pub use serde;

/// The programs of the guide and of the reference compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/rust.md")]
#[doc = include_str!("../../../docs/guides/alternatives.md")]
#[doc = include_str!("../../../docs/guides/attributes.md")]
#[doc = include_str!("../../../docs/concepts/one-hot-function.md")]
#[doc = include_str!("../../../docs/reference/options.md")]
struct Guide;
