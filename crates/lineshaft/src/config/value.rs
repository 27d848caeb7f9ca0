//! Values of settings.

use std::fmt;
use std::time::Duration;

use crate::duration::{format_duration, format_size};

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text or a path.
    Text(String),
    /// A number.
    Count(u32),
    /// A length of time.
    Duration(Duration),
    /// A number of bytes.
    Size(u64),
    /// Names.
    Names(Vec<String>),
}

impl Value {
    /// The text, if it is one.
    pub fn into_text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number, if it is one.
    pub fn into_count(self) -> Option<u32> {
        if let Self::Count(count) = self { Some(count) } else { None }
    }

    /// The length of time, if it is one.
    pub fn into_duration(self) -> Option<Duration> {
        if let Self::Duration(duration) = self { Some(duration) } else { None }
    }

    /// The number of bytes, if it is one.
    pub fn into_size(self) -> Option<u64> {
        if let Self::Size(bytes) = self { Some(bytes) } else { None }
    }

    /// The names, if it is a list of them.
    pub fn into_names(self) -> Option<Vec<String>> {
        if let Self::Names(names) = self { Some(names) } else { None }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Count(count) => write!(f, "{count}"),
            Self::Duration(duration) => f.write_str(&format_duration(*duration)),
            Self::Size(bytes) => f.write_str(&format_size(*bytes)),
            Self::Names(names) => f.write_str(&names.join(",")),
        }
    }
}
