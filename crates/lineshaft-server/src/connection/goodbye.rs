//! Why a connection ends, and what its peer is told.

use std::io;

use lineshaft_wire::frame::FrameError;
use lineshaft_wire::message::{RefusalCode, Refused};

/// The end of a connection.
#[derive(Debug)]
pub(crate) enum Goodbye {
    /// The peer closed, or the connection broke: there is nobody to tell.
    Gone(String),
    /// The peer is told, as far as its socket takes it.
    Told(Refused),
}

impl Goodbye {
    /// Tells the peer what is wrong.
    pub(crate) fn tell(code: RefusalCode, message: impl Into<String>) -> Self {
        Self::Told(Refused { code, message: message.into(), hint: None })
    }

    /// The peer closed between two frames.
    pub(crate) fn closed() -> Self {
        Self::Gone("the peer closed".to_owned())
    }

    /// The operating system says that the connection is broken.
    pub(crate) fn broken(error: &io::Error) -> Self {
        Self::Gone(error.to_string())
    }

    /// Whether the peer cannot be reached any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_))
    }
}

impl From<FrameError> for Goodbye {
    fn from(error: FrameError) -> Self {
        let code = match error {
            FrameError::TooLong { .. } => RefusalCode::TooLarge,
            _ => RefusalCode::BadFrame,
        };
        Self::tell(code, error.to_string())
    }
}

impl std::fmt::Display for Goodbye {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone(reason) => f.write_str(reason),
            Self::Told(refused) => f.write_str(&refused.message),
        }
    }
}
