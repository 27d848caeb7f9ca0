//! What a field can be.

use std::fmt;

/// The value of a field. What is none of these is a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number; larger ones are texts.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Str(Box<str>),
    /// Values in order.
    List(Vec<Value>),
    /// Values by key, in order.
    Map(Vec<(Box<str>, Value)>),
}

impl Value {
    /// About how many bytes of memory it takes beyond itself.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 0,
            Self::Str(text) => text.len(),
            Self::List(items) => items.iter().map(|item| size_of::<Self>() + item.size_bytes()).sum(),
            Self::Map(items) => items
                .iter()
                .map(|(key, item)| size_of::<(Box<str>, Self)>() + key.len() + item.size_bytes())
                .sum(),
        }
    }

    /// As JSON; what is no number there is a text.
    pub fn to_json(&self) -> String {
        let mut text = Vec::new();
        crate::format::json::push_value(&mut text, self);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Whether a directive means this value by `text`.
    pub fn is_said_by(&self, text: &str) -> bool {
        match self {
            Self::Null => text == "null",
            Self::Bool(value) => text == if *value { "true" } else { "false" },
            Self::Int(value) => text.parse() == Ok(*value),
            Self::Float(value) => text.parse() == Ok(*value),
            Self::Str(value) => **value == *text,
            Self::List(_) | Self::Map(_) => false,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Int(number.into())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        i64::try_from(number).map_or_else(|_| Self::Str(number.to_string().into()), Self::Int)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// As people read it: texts as they are, numbers as Python and Rust show them, lists and maps as JSON does.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::Bool(value) => value.fmt(formatter),
            Self::Int(value) => value.fmt(formatter),
            Self::Float(value) => write!(formatter, "{value:?}"),
            Self::Str(text) => formatter.write_str(text),
            Self::List(_) | Self::Map(_) => formatter.write_str(&self.to_json()),
        }
    }
}
