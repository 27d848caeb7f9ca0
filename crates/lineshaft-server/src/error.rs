//! Why a server did not start, or ended other than by request.

use std::io;
use std::path::{Path, PathBuf};

use lineshaft_wire::code::{self, Code};

/// Why [`crate::serve`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory of the home cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Home {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another server has this home.
    #[error("{} is served already{}: {detail}", home.display(), of_pid(*pid))]
    AlreadyServed {
        /// The home.
        home: PathBuf,
        /// The other server's process, where it is known.
        pid: Option<u32>,
        /// What is known about it.
        detail: String,
    },
    /// No directory gives a socket path that the system accepts.
    #[error("no directory for the socket of {}: every candidate makes a path of more than {limit} bytes", home.display())]
    SocketPath {
        /// The home.
        home: PathBuf,
        /// The longest path that works everywhere.
        limit: usize,
    },
    /// The directory that would hold the socket belongs to somebody else or is open to others.
    #[error("cannot put the socket into {}: {detail}", path.display())]
    SocketDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The disk has no room for what a start writes.
    #[error("{} cannot be served: {source}", home.display())]
    Full {
        /// The home.
        home: PathBuf,
        /// How much has to be free, and how much is.
        source: lineshaft_store::Error,
    },
    /// The engine did not open, or failed while it ran.
    #[error(transparent)]
    Engine(#[from] lineshaft_engine::Error),
    /// The system refused what every server needs: an event loop, a thread, signals.
    #[error("cannot start the server: {0}")]
    Runtime(io::Error),
}

impl Error {
    /// The code of its page.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Home { .. } => Some(code::HOME_UNFIT),
            Self::AlreadyServed { .. } => Some(code::HOME_IN_USE),
            Self::SocketPath { .. } | Self::SocketDirectory { .. } => Some(code::SOCKET_PLACE),
            Self::Listen { .. } => Some(code::LISTEN),
            Self::Full { .. } => Some(code::STORE_FULL),
            Self::Engine(error) => error.code(),
            Self::Runtime(_) => Some(code::ENGINE_FAILED),
        }
    }

    /// An error of `action` on `path`, for `map_err`.
    pub(crate) fn home(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Home { action, path: path.to_owned(), source }
    }
}

fn of_pid(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by process {pid}"))
}
