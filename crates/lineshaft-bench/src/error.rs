//! What can go wrong while measuring.

use std::io;
use std::path::PathBuf;

/// Why nothing, or not everything, was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No figure and no group is called so.
    #[error("there is no figure {}", names.join(", "))]
    UnknownNames {
        /// The names.
        names: Vec<String>,
    },
    /// The disk has less room than the figures need.
    #[error("{} has {free_bytes} bytes of room, and {needed_bytes} are needed", directory.display())]
    NoRoom {
        /// Where.
        directory: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// What the figures may need.
        needed_bytes: u64,
    },
    /// The system refused something.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was to be done, and with what.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A process that was started did not do what it should.
    #[error("{what}{}", tail(log))]
    Process {
        /// Which, and what it did.
        what: String,
        /// The end of what it said.
        log: String,
    },
    /// The server refused something, or went.
    #[error(transparent)]
    Client(#[from] lineshaft::Error),
    /// A worker in Rust did not start or stop as it should.
    #[error(transparent)]
    Worker(#[from] lineshaft::worker::Error),
    /// What should have been true was not.
    #[error("{0}")]
    Wrong(String),
}

fn tail(log: &str) -> String {
    if log.is_empty() { String::new() } else { format!("; it said at last:\n{log}") }
}

impl Error {
    /// A closure for `map_err` that says what was to be done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn process(what: impl Into<String>, log: impl Into<String>) -> Self {
        Self::Process { what: what.into(), log: log.into() }
    }
}

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
