//! Looking at locks, and breaking them.

use clap::{Args, Subcommand};

/// Lists locks, unless it is told to do something with one.
#[derive(Args, Debug)]
pub struct Locks {
    /// What to do; without it locks are listed.
    #[command(subcommand)]
    pub verb: Option<LocksVerb>,
}

/// What to do with a lock.
#[derive(Debug, Subcommand)]
pub enum LocksVerb {
    /// Take a lock or semaphore away from those who hold it; the next in line gets it
    Break {
        /// Its key
        key: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}
