//! What ends a worker against its will.

use std::io;

use lineshaft_wire::code::{self, Code};

/// Why a worker or a child cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The child could not load the app; the report is what it printed, with the traceback.
    #[error("the app cannot be loaded\n{report}")]
    AppFailed {
        /// The child's words.
        report: String,
    },
    /// Children end before they are ready, again and again, without saying why.
    #[error("{deaths} children ended before they were ready; the last one {how}")]
    ChildrenDie {
        /// How many in a row.
        deaths: u32,
        /// How the last one ended.
        how: String,
    },
    /// A child's program cannot be started.
    #[error("cannot start `{program}`: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// An option out of its range.
    #[error("option `{option}`: {value} is not {expected}")]
    BadOption {
        /// Name of the option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A second signal ended the worker before its grace was over.
    #[error("killed by a second {}", if *.signal == signal_hook::consts::SIGINT { "Ctrl-C" } else { "SIGTERM" })]
    Killed {
        /// The number of that signal.
        signal: i32,
    },
    /// The process was not started by a supervisor of this version.
    #[error("this program is started by `lineshaft worker`, not by hand: {detail}")]
    NotAChild {
        /// What is missing.
        detail: String,
    },
    /// The server cannot be reached or refuses the worker.
    #[error(transparent)]
    Server(#[from] crate::Error),
    /// A process, page or descriptor operation failed.
    #[error(transparent)]
    Process(#[from] lineshaft_ipc::Error),
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

impl Error {
    /// The code of its page.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::AppFailed { .. } => Some(code::APP_FAILED),
            Self::ChildrenDie { .. } => Some(code::CHILDREN_DIE),
            Self::Spawn { .. } => Some(code::CHILD_NOT_STARTED),
            Self::Server(error) => error.code(),
            _ => None,
        }
    }

    /// For `map_err`: the refusal of `action`.
    pub(crate) fn io<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Io { action, source: source.into() }
    }
}
