//! How a command ends: exit codes, and failures with what to do about them.

use std::io;

use lineshaft::Error;
use lineshaft_wire::code::Code;
use lineshaft_wire::message::RefusalCode;

/// It worked.
pub const OK: i32 = 0;
/// It failed.
pub const FAILED: i32 = 1;
/// The command line makes no sense.
pub const USAGE: i32 = 2;
/// Somebody said no: a person, or a server that gives way to another.
pub const DECLINED: i32 = 3;
/// The token is missing or wrong.
pub const NOT_AUTHORISED: i32 = 4;
/// The job ended without a result.
pub const TASK_FAILED: i32 = 5;
/// There is no such thing.
pub const NOT_FOUND: i32 = 6;
/// It took longer than it may.
pub const TIMEOUT: i32 = 7;
/// No server answers.
pub const UNREACHABLE: i32 = 8;
/// Ended by SIGINT.
pub const INTERRUPTED: i32 = 130;
/// Ended by SIGTERM.
pub const TERMINATED: i32 = 143;

/// Why a command did not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: i32,
    /// The code of its page in `docs/errors`.
    pub error: Option<Code>,
    /// What failed and with what.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

const BROKEN_PIPE: &str = "nobody reads the output";

impl Failure {
    /// A failure with this code.
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, error: None, message: message.into(), hint: None }
    }

    /// The same with the code of its page.
    #[must_use]
    pub fn error(self, error: Option<Code>) -> Self {
        Self { error, ..self }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Message and hint.
    pub(crate) fn words(&self) -> String {
        self.hint
            .as_ref()
            .map_or_else(|| self.message.clone(), |hint| format!("{}\nhint: {hint}", self.message))
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.message == BROKEN_PIPE
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: code_of(&error), error: error.code(), message: error.to_string(), hint: error.hint() }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(FAILED, BROKEN_PIPE);
        }
        Self::new(FAILED, format!("cannot write the output: {error}"))
    }
}

fn code_of(error: &Error) -> i32 {
    match error {
        Error::NoServer { .. } => UNREACHABLE,
        Error::Timeout { .. } | Error::OutcomeUnknown(_) => TIMEOUT,
        Error::BadOption { .. } | Error::Config { .. } | Error::Home { .. } => USAGE,
        Error::Refused { code, .. } => code_of_refusal(*code),
        _ => FAILED,
    }
}

fn code_of_refusal(code: RefusalCode) -> i32 {
    match code {
        RefusalCode::NotAuthorised => NOT_AUTHORISED,
        RefusalCode::JobNotFound | RefusalCode::ResultExpired => NOT_FOUND,
        RefusalCode::OutcomeUnknown => TIMEOUT,
        RefusalCode::ShuttingDown => UNREACHABLE,
        RefusalCode::TooLarge | RefusalCode::BadRequest => USAGE,
        _ => FAILED,
    }
}
