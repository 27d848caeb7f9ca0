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
    missing: Missing,
}

/// What the reader would have to know, and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Missing {
    /// Nothing: the value does not fit.
    Nothing,
    /// A field or a member of this name, of the type that is being read.
    Part(String),
    /// What has this name everywhere: `shop.Order`, `shop.Order.total`, `shop.Color.RED`, version 3 of a task.
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reason {
    /// The format's limits, or bytes that do not read.
    Format(ValueError),
    /// Said in words that follow the path.
    Said(String),
}

impl Error {
    pub(super) fn said(words: impl fmt::Display) -> Self {
        Self::new(Reason::Said(words.to_string()))
    }

    fn new(reason: Reason) -> Self {
        Self(Box::new(Parts { path: String::new(), reason, missing: Missing::Nothing }))
    }

    /// A type of the name `found` where one of the name `expected` is to be read.
    #[cold]
    pub(super) fn other_type(expected: &str, found: &str) -> Self {
        let mut error = Self::said(format_args!("expected {expected}, found {found}"));
        error.0.missing = Missing::Named(found.to_owned());
        error
    }

    /// A field or a member that is missing here or there.
    #[cold]
    fn missing_part(words: impl fmt::Display, part: &str) -> Self {
        let mut error = Self::said(words);
        error.0.missing = Missing::Part(part.to_owned());
        error
    }

    /// The same error, if it is about a part of the type of this name.
    #[cold]
    pub(super) fn of_type(mut self, name: &str) -> Self {
        // With a path it is about a part of what is in there.
        if self.0.path.is_empty()
            && let Missing::Part(part) = &self.0.missing
        {
            self.0.missing = Missing::Named(format!("{name}.{part}"));
        }
        self
    }

    /// The version, type, field or member that the bytes need and that is not known here, if that is what is wrong: a
    /// reader of another version may know it.
    pub fn missing(&self) -> Option<&str> {
        match &self.0.missing {
            Missing::Named(name) => Some(name),
            Missing::Nothing | Missing::Part(_) => None,
        }
    }

    /// Bytes of a version after this one, which has `what`.
    #[cold]
    pub(super) fn newer(what: impl fmt::Display) -> Self {
        let mut error = Self::said(format_args!("it needs {what}"));
        error.0.missing = Missing::Named(what.to_string());
        error
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
        let Parts { path, reason, .. } = &*self.0;
        if !path.is_empty() {
            write!(f, "{}: ", path.trim_start_matches('.'))?;
        }
        match reason {
            Reason::Format(error) => error.fmt(f),
            Reason::Said(words) => f.write_str(words),
        }
    }
}

impl std::error::Error for Error {}

impl From<ValueError> for Error {
    fn from(error: ValueError) -> Self {
        Self::new(Reason::Format(error))
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

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self::missing_part(format_args!("unknown field `{field}`, expected {}", one_of(known)), field)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::missing_part(format_args!("missing field `{field}`"), field)
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self::missing_part(format_args!("unknown variant `{variant}`, expected {}", one_of(known)), variant)
    }
}

fn one_of(names: &[&str]) -> String {
    match names {
        [] => "none".to_owned(),
        [name] => format!("`{name}`"),
        [one, other] => format!("`{one}` or `{other}`"),
        names => format!("one of `{}`", names.join("`, `")),
    }
}
