//! Whom a client talks to, and how.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::home::Home;
use crate::launch::ServerCommand;

/// Whom a client talks to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// The server of a home, found by the home's `run/address`.
    Home {
        /// The home.
        home: Home,
        /// How to start a server on demand if none runs; `None` never starts one.
        start: Option<ServerCommand>,
    },
    /// A Unix socket.
    Socket(PathBuf),
    /// A TCP address and the token of the home behind it.
    Tcp {
        /// `HOST:PORT`.
        address: String,
        /// What the home's `run/token` holds.
        token: String,
    },
}

impl Target {
    /// The server of the home at `path`, which has to run already.
    pub fn home(path: impl Into<PathBuf>) -> Self {
        Self::Home { home: Home::new(path), start: None }
    }

    /// The server of the home at `path`, started by `command` if none runs.
    pub fn on_demand(path: impl Into<PathBuf>, command: ServerCommand) -> Self {
        Self::Home { home: Home::new(path), start: Some(command) }
    }

    /// The same target without starting a server.
    pub(crate) fn running_only(&self) -> Self {
        match self {
            Self::Home { home, .. } => Self::Home { home: home.clone(), start: None },
            other => other.clone(),
        }
    }

    /// This program, for people: the one that would serve where that is known, since an interpreter's own file says
    /// nothing about the environment it runs in.
    pub(crate) fn executable(&self) -> String {
        match self {
            Self::Home { start: Some(command), .. } => command.program.display().to_string(),
            _ => std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
        }
    }

    /// Whether a server may be started for this target.
    pub(crate) fn may_start(&self) -> bool {
        matches!(self, Self::Home { start: Some(_), .. })
    }
}

impl From<&str> for Target {
    fn from(path: &str) -> Self {
        PathBuf::from(path).into()
    }
}

impl From<String> for Target {
    fn from(path: String) -> Self {
        PathBuf::from(path).into()
    }
}

impl From<&Path> for Target {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<PathBuf> for Target {
    /// The home at this path, with a server on demand if the `lineshaft` command is found.
    fn from(path: PathBuf) -> Self {
        Self::Home { home: Home::new(path), start: ServerCommand::find() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home { home, .. } => write!(f, "the home {}", home.path().display()),
            Self::Socket(path) => write!(f, "the socket {}", path.display()),
            Self::Tcp { address, .. } => write!(f, "{address}"),
        }
    }
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Deadline of a request that names none. 60 s; at most [`ClientOptions::DEADLINE_MAX`].
    pub deadline: Duration,
    /// Open the session with the connection rather than with the first mutating request; saves that request a round
    /// trip and costs the server a commit. On.
    pub open_session: bool,
    /// Silence after which a ping keeps connection and session alive. 30 s.
    pub ping_every: Duration,
}

impl ClientOptions {
    /// The longest deadline: no resend may outlive the outcome that the server remembers for 10 minutes.
    pub const DEADLINE_MAX: Duration = Duration::from_secs(300);

    /// For clients that mostly read: no session until it is needed.
    pub fn reader() -> Self {
        Self { open_session: false, ..Self::default() }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(60), open_session: true, ping_every: Duration::from_secs(30) }
    }
}
