//! The codes of errors that an operator meets: one table for the server, the command line and the languages.
//!
//! A code never changes its meaning and is never used again. Each has a page, `docs/errors/LS0001.md` and so on: what
//! causes it, and what to do. Errors that only somebody who writes a program meets have none.

use std::fmt;

use crate::message::RefusalCode;

/// A code, shown as `LS0001`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LS{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

macro_rules! codes {
    ($($number:literal $name:ident $title:literal;)*) => {
        $(#[doc = concat!("It says: ", $title, ".")] pub const $name: Code = Code($number);)*

        /// Every code and the title of its page.
        pub const CODES: &[(Code, &str)] = &[$(($name, $title)),*];
    };
}

codes! {
    1 HOME_IN_USE "the home is in use";
    2 HOME_UNFIT "the home cannot be used where it is";
    3 HOME_FORMAT "the home has another format";
    4 COMMITS_DAMAGED "durable commits are damaged";
    5 FILE_DAMAGED "a file of the home is damaged";
    6 STORE_FULL "the disk is full";
    7 STORE_FAILED "the disk failed";
    8 SOCKET_PLACE "no place for the socket";
    9 LISTEN "the address cannot be listened on";
    10 NO_SERVER "no server answers";
    11 VERSION_MISMATCH "client and server are of versions that do not understand each other";
    12 NOT_AUTHORISED "the token is missing or wrong";
    13 OUTCOME_UNKNOWN "nobody knows whether the request was carried out";
    14 NO_ANSWER "no answer came in time";
    15 PROTOCOL "one side broke the protocol";
    16 TABLE_FULL "a table of the engine is full";
    17 TOO_SLOW "the connection read too slowly";
    18 SHUTTING_DOWN "the server is stopping";
    19 ENGINE_FAILED "the engine failed";
    20 JOB_NOT_FOUND "no such job";
    21 RESULT_EXPIRED "the result is no longer kept";
    22 WRONG_STATE "the job is in a state that does not allow it";
    23 TOO_LARGE "something is larger than it may be";
    24 CONFIGURATION "a configuration file does not read";
    25 SNAPSHOTS_LOST "no snapshot of the state can be read";
    26 HISTORY_MISSING "finished jobs are missing from the history";
    30 APP_FAILED "the app cannot be loaded";
    31 CHILDREN_DIE "the children of a worker die before they are ready";
    32 NO_INTERPRETER "no Python interpreter that fits";
    33 CHILD_NOT_STARTED "a child of a worker cannot be started";
    40 BACKUP_UNUSABLE "the backup cannot be used";
    41 BACKUP_GIVEN_UP "the backup was given up";
}

impl RefusalCode {
    /// The code for operators; what only the program itself can mend has none.
    pub fn code(self) -> Option<Code> {
        Some(match self {
            Self::BadRequest | Self::Deadlock => return None,
            Self::BadFrame => PROTOCOL,
            Self::VersionMismatch => VERSION_MISMATCH,
            Self::NotAuthorised => NOT_AUTHORISED,
            Self::JobNotFound => JOB_NOT_FOUND,
            Self::ResultExpired => RESULT_EXPIRED,
            Self::WrongState => WRONG_STATE,
            Self::QueueFull => TABLE_FULL,
            Self::StoreFull => STORE_FULL,
            Self::OutcomeUnknown => OUTCOME_UNKNOWN,
            Self::TooLarge => TOO_LARGE,
            Self::TooSlow => TOO_SLOW,
            Self::ShuttingDown => SHUTTING_DOWN,
            Self::Internal => ENGINE_FAILED,
        })
    }
}
