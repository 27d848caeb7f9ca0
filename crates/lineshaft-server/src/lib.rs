//! Connections of the engine: one process serves one home to clients and workers.
//!
//! [`serve`] is the whole of it: it takes the home, opens the engine, and carries messages between sockets and the
//! engine until somebody asks it to stop. [`Embedded`] is the same on a thread of another program. Read
//! [`ServeOptions`] and [`Limits`] for what it promises, then the private modules `server` (accepting, stopping),
//! `connection` (one peer), `watch` (proof of a process's death) and `claim` (who may serve a home).
//!
//! One thread does all of the I/O, because the engine decides in one place anyway and a hand-over between threads
//! costs more than the work on a message.
//!
//! This crate deliberately does not know the rules of jobs, nor what messages mean beyond the few that concern the
//! connection itself: `Hello`, `Shutdown`, and who attaches as a worker.

mod address;
mod claim;
mod connection;
mod embedded;
mod error;
mod home;
mod listener;
mod options;
mod server;
mod signals;
mod skew;
mod stream;
mod token;
mod watch;

pub use embedded::Embedded;
pub use error::Error;
pub use lineshaft_engine::{Clock, Retention};
pub use options::{Limits, ServeOptions};
pub use server::serve;
