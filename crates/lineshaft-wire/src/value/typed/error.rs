//! Why a Rust value cannot become a payload, or a payload a Rust value, and where in the whole.

use std::fmt;

use crate::value::ValueError;

/// What went wrong and where. One pointer, so that success stays cheap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    /// From the whole to the part: `order.items[3]`.
    path: String,
    reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    /// The format's limits, or bytes that do not read.
    Format(ValueError),
    /// Said in words that follow the path.
    Said(String),
    /// Nothing is wrong with the bytes: they were written by a version after this one, which has what this names.
    Missing(String),
}

impl Error {
    pub(super) fn said(words: impl fmt::Display) -> Self {
        Self(Box::new(Parts { path: String::new(), reason: Reason::Said(words.to_string()) }))
    }

    pub(super) fn newer(what: impl fmt::Display) -> Self {
        Self(Box::new(Parts { path: String::new(), reason: Reason::Missing(what.to_string()) }))
    }

    /// What this program would need to have to read the bytes, if nothing else is wrong with them.
    pub fn missing(&self) -> Option<&str> {
        if let Reason::Missing(what) = &self.0.reason { Some(what) } else { None }
    }

    /// Where it happened, from the whole to the part; empty if in the whole itself.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The same error, seen from one step further out.
    #[cold]
    pub(super) fn inside(mut self, step: impl fmt::Display) -> Self {
        self.0.path.insert_str(0, &step.to_string());
        self
    }

    #[cold]
    pub(super) fn at_index(self, index: usize) -> Self {
        self.inside(format_args!("[{index}]"))
    }

    #[cold]
    pub(super) fn at_field(self, name: &str) -> Self {
        self.inside(format_args!(".{name}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { path, reason } = &*self.0;
        if !path.is_empty() {
            write!(f, "{}: ", path.trim_start_matches('.'))?;
        }
        match reason {
            Reason::Format(error) => error.fmt(f),
            Reason::Said(words) => f.write_str(words),
            Reason::Missing(what) => write!(f, "it needs {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<ValueError> for Error {
    fn from(error: ValueError) -> Self {
        Self(Box::new(Parts { path: String::new(), reason: Reason::Format(error) }))
    }
}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::said(message)
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::said(message)
    }
}
