//! What stops an engine.

use std::path::PathBuf;

use lineshaft_wire::code::{self, Code};

/// An engine that cannot open or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The journal or archive failed.
    #[error(transparent)]
    Store(#[from] lineshaft_store::Error),
    /// The newest snapshot does not read though its checksum is right.
    #[error("the home cannot be opened: {0}")]
    Snapshot(#[from] lineshaft_jobs::SnapshotError),
    /// A commit holds something that is no change.
    #[error("commit {lsn} does not read at byte {offset}: {reason}")]
    Commit {
        /// The commit.
        lsn: u64,
        /// Where in its body.
        offset: usize,
        /// Why.
        reason: String,
    },
    /// There is nothing that could be looked at.
    #[error("there is no home at {}", path.display())]
    NoHome {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The engine has ended.
    #[error("the engine has ended")]
    Ended,
    /// A thread of the engine panicked.
    #[error("the engine failed: {0}")]
    Panicked(String),
}

impl Error {
    /// The code of its page.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Store(error) => error.code(),
            Self::Snapshot(_) | Self::Commit { .. } => Some(code::COMMITS_DAMAGED),
            Self::NoHome { .. } => None,
            Self::Thread(_) | Self::Ended | Self::Panicked(_) => Some(code::ENGINE_FAILED),
        }
    }
}
