//! What can go wrong between a program and its server.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lineshaft_wire::JobId;
use lineshaft_wire::code::{self, Code};
use lineshaft_wire::message::{EndedJob, RefusalCode, Refused};
use lineshaft_wire::value::typed;

use crate::client::{LockLost, OutcomeUnknown};
use crate::face::Told;

/// Any error of this crate. Cheap to clone, since one broken connection answers many requests.
///
/// The message says what failed and with what; [`Error::hint`] says what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers there.
    #[error("no server answers for {address}: {detail}{}", log_lines(.log_tail))]
    NoServer {
        /// The home or the address.
        address: String,
        /// What the last attempt to connect said.
        detail: String,
        /// The last lines of the server's log if it was started and failed; often empty.
        log_tail: String,
    },
    /// Client and server have no protocol in common.
    #[error("{message}")]
    VersionMismatch {
        /// Versions, executables and process id of both.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A request was sent, but its deadline passed before an answer came: it may or may not have been carried out.
    #[error("{0}")]
    OutcomeUnknown(OutcomeUnknown),
    /// The server refused the request.
    #[error("{message}")]
    Refused {
        /// What kind of refusal.
        code: RefusalCode,
        /// What happened and to what.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The deadline of a request passed. Nothing was changed.
    #[error("no answer to {request} within {} s", .after.as_secs_f64())]
    Timeout {
        /// Name of the request.
        request: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The client was closed before an answer came, or the answer was taken already.
    #[error("the client is closed")]
    Closed,
    /// The server sent something that the protocol does not allow here.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// A home is not where or what it has to be.
    #[error("{message}")]
    Home {
        /// What is wrong with which path.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// A text that is not a duration or a size.
    #[error("option `{option}`: {value:?} is not {kind}")]
    BadOption {
        /// Name of the option.
        option: String,
        /// What was given.
        value: String,
        /// What was expected, with an article.
        kind: &'static str,
        /// The forms that are accepted.
        accepted: &'static str,
    },
    /// A configuration file that does not read.
    #[error("{path}:{line}: {message}", path = .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u32,
        /// What is wrong in it.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The task failed, or its job was discarded for another reason; it is not tried again.
    #[error("{}", Told(.0))]
    TaskFailed(Box<EndedJob>),
    /// The process died under the last attempt.
    #[error("{}", Told(.0))]
    TaskCrashed(Box<EndedJob>),
    /// The last attempt ran longer than its timeout.
    #[error("{}", Told(.0))]
    TaskTimeout(Box<EndedJob>),
    /// The job was cancelled.
    #[error("{}", Told(.0))]
    TaskCancelled(Box<EndedJob>),
    /// The job completed, but its result is not kept, or not any more.
    #[error("the result of job {job} is not kept")]
    ResultExpired {
        /// The job.
        job: JobId,
    },
    /// No job has this id.
    #[error("no job has the id {job}")]
    JobNotFound {
        /// The id.
        job: JobId,
    },
    /// An argument cannot be sent.
    #[error("call of {task}: {source}")]
    Unencodable {
        /// The task.
        task: String,
        /// Which argument, and why.
        source: typed::Error,
    },
    /// A result, a progress or arguments do not read as the type they were asked for.
    #[error("job {job}: {source}")]
    Undecodable {
        /// The job.
        job: JobId,
        /// Where it differs, and how.
        source: typed::Error,
    },
    /// A lock is not held any more.
    #[error("{lock} with fence {fence} is lost: {why}")]
    LockLost {
        /// Its kind and name.
        lock: String,
        /// The fence with which it was held.
        fence: u64,
        /// Why.
        why: LockLost,
    },
    /// A value of the engine's cache cannot be written, or does not read as the type it was asked for.
    #[error("entry {key:?} of the cache: {source}")]
    CacheValue {
        /// The entry's key.
        key: String,
        /// Where it differs, and how.
        source: typed::Error,
    },
    /// The engine of this process did not start, or failed while it ran.
    #[cfg(feature = "embedded")]
    #[error("{0}")]
    Engine(Arc<lineshaft_server::Error>),
    /// A file or process operation failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, with the path.
        action: String,
        /// What the system says.
        source: Arc<io::Error>,
    },
}

impl Error {
    /// The code of its page in `docs/errors`, for errors that an operator can do something about.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::NoServer { .. } => Some(code::NO_SERVER),
            Self::VersionMismatch { .. } => Some(code::VERSION_MISMATCH),
            Self::OutcomeUnknown(_) => Some(code::OUTCOME_UNKNOWN),
            Self::Refused { code, .. } => code.code(),
            Self::Timeout { .. } => Some(code::NO_ANSWER),
            Self::JobNotFound { .. } => Some(code::JOB_NOT_FOUND),
            Self::ResultExpired { .. } => Some(code::RESULT_EXPIRED),
            Self::Protocol(_) => Some(code::PROTOCOL),
            Self::Home { .. } => Some(code::HOME_UNFIT),
            Self::Config { .. } => Some(code::CONFIGURATION),
            #[cfg(feature = "embedded")]
            Self::Engine(error) => error.code(),
            _ => None,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            // What a server that was started had to say is the better hint.
            Self::NoServer { log_tail, .. } if !log_tail.is_empty() => None,
            Self::NoServer { .. } => Some(
                "start one with `lineshaft serve --home DIR`, or check that the home is the right one".into(),
            ),
            Self::VersionMismatch { hint, .. } | Self::Refused { hint, .. } | Self::Config { hint, .. } => {
                hint.clone()
            }
            Self::OutcomeUnknown(_) => Some(
                "resend() repeats the same request and never makes a second job; it works for ten minutes"
                    .into(),
            ),
            Self::Home { hint, .. } => Some(hint.clone()),
            Self::ResultExpired { .. } => Some(
                "results are kept for 24 hours after the end, and not at all with `result = false`; `wait` works without"
                    .into(),
            ),
            Self::JobNotFound { .. } => {
                Some("it was deleted, outlived its retention, or belongs to another home".into())
            }
            Self::LockLost { .. } => Some(
                "others may hold it by now: what it protected must not be touched any more, and its writes be refused by \
                 their fence"
                    .into(),
            ),
            Self::BadOption { accepted, .. } => Some(format!("accepted: {accepted}")),
            #[cfg(feature = "embedded")]
            Self::Engine(error) => match &**error {
                lineshaft_server::Error::AlreadyServed { .. } => {
                    Some("be a client of it: `Client::connect(home)`; or end that process first".into())
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// What is known of a job that ended without a result: its task, reason, attempt and output, and the error.
    pub fn ended(&self) -> Option<&EndedJob> {
        match self {
            Self::TaskFailed(ended)
            | Self::TaskCrashed(ended)
            | Self::TaskTimeout(ended)
            | Self::TaskCancelled(ended) => Some(ended),
            _ => None,
        }
    }

    /// Whether the task failed with an error of this type, or of a class below it: `shop.Bounced` for a `shop::Bounced`
    /// of Rust as for a class of Python, `ValueError` for one that Python has built in, `panic`.
    pub fn is_a(&self, class: &str) -> bool {
        let error = self.ended().and_then(|ended| ended.error.as_ref());
        let is_it = |name: &String| name == class || name.strip_prefix("builtins.") == Some(class);
        error.is_some_and(|error| error.types.iter().any(is_it))
    }

    /// Where the task failed: a traceback of Python, or `at src/shop.rs:12` of Rust, with what of the program called it
    /// if the worker runs with `RUST_BACKTRACE`.
    pub fn traceback(&self) -> Option<&str> {
        self.ended()?.error.as_ref()?.traceback.as_deref()
    }

    /// Whether trying again a little later may help without anybody doing anything.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoServer { .. } | Self::Timeout { .. } | Self::Io { .. } => true,
            Self::Refused { code, .. } => {
                matches!(code, RefusalCode::ShuttingDown | RefusalCode::TooSlow | RefusalCode::Internal)
            }
            _ => false,
        }
    }

    /// The error of a file or process operation.
    pub(crate) fn io(action: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { action: action.into(), source: Arc::new(source.into()) }
    }

    /// An argument of a call of `task` cannot be sent.
    pub(crate) fn unencodable(task: &str, source: typed::Error) -> Self {
        Self::Unencodable { task: task.to_owned(), source }
    }

    /// Nobody answers at `address`.
    pub(crate) fn no_server(address: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::NoServer { address: address.into(), detail: detail.into(), log_tail: String::new() }
    }

    /// The request was wrong before it was sent.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::Refused { code: RefusalCode::BadRequest, message: message.into(), hint: None }
    }
}

impl From<Refused> for Error {
    fn from(Refused { code, message, hint }: Refused) -> Self {
        if code == RefusalCode::VersionMismatch {
            return Self::VersionMismatch { message, hint };
        }
        Self::Refused { code, message, hint }
    }
}

#[cfg(feature = "embedded")]
impl From<lineshaft_server::Error> for Error {
    fn from(error: lineshaft_server::Error) -> Self {
        Self::Engine(Arc::new(error))
    }
}

fn log_lines(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!("\nits log ends with:\n{}", tail.trim_end()) }
}
