//! What is logged.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::level::Level;
use crate::value::Value;

/// Fields in the order in which they were given.
pub type Fields = Vec<(Arc<str>, Value)>;

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Nanoseconds since 1970.
    pub time_ns: i64,
    /// How much it matters.
    pub level: Level,
    /// The name of its logger, in parts with dots between them.
    pub logger: Arc<str>,
    /// What happened.
    pub message: Box<str>,
    /// With what.
    pub fields: Fields,
    /// The thread that logged it.
    pub thread: Thread,
    /// The process that did.
    pub process: u32,
    /// Where in the source.
    pub place: Option<Place>,
    /// An exception, with its traceback.
    pub exception: Option<Box<str>>,
    /// Who made it.
    pub origin: Origin,
}

/// A thread as records name it.
#[derive(Clone, Debug, PartialEq)]
pub struct Thread {
    /// The number that the operating system knows it by.
    pub id: u64,
    /// Its name.
    pub name: Arc<str>,
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// The line, counted from 1.
    pub line: u32,
    /// The function.
    pub function: Arc<str>,
}

/// Where a record comes from, so that a bridge does not bring it back.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Origin {
    /// A logger of Lineshaft.
    #[default]
    Own,
    /// Another logging system, over a bridge.
    Bridge,
}

impl Record {
    /// A record of this moment and this thread.
    pub fn here(level: Level, logger: &str, message: &str) -> Self {
        let thread = std::thread::current();
        Self {
            time_ns: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64),
            level,
            logger: logger.into(),
            message: message.into(),
            fields: Fields::new(),
            thread: Thread {
                id: rustix::thread::gettid().as_raw_nonzero().get() as u64,
                name: thread.name().unwrap_or_default().into(),
            },
            process: rustix::process::getpid().as_raw_nonzero().get() as u32,
            place: None,
            exception: None,
            origin: Origin::Own,
        }
    }

    /// The value of a field.
    pub fn field(&self, key: &str) -> Option<&Value> {
        self.fields.iter().rev().find(|(name, _)| **name == *key).map(|(_, value)| value)
    }

    /// About how many bytes of memory it takes.
    pub fn size_bytes(&self) -> usize {
        let field = |(key, value): &(Arc<str>, Value)| {
            size_of_val(key) + key.len() + size_of_val(value) + value.size_bytes()
        };
        let fields: usize = self.fields.iter().map(field).sum();
        size_of::<Self>() + self.message.len() + fields + self.exception.as_ref().map_or(0, |text| text.len())
    }
}

#[cfg(test)]
pub(crate) fn sample(level: Level, logger: &str, message: &str, fields: &[(&str, Value)]) -> Record {
    Record {
        time_ns: 1_795_842_000_123_456_789,
        level,
        logger: logger.into(),
        message: message.into(),
        fields: fields.iter().map(|(key, value)| ((*key).into(), value.clone())).collect(),
        thread: Thread { id: 7, name: "MainThread".into() },
        process: 42,
        place: Some(Place { file: "shop/mail.py".into(), line: 12, function: "send".into() }),
        exception: None,
        origin: Origin::Own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They counted for nothing, so that those of any length waited.
    #[test]
    fn names_of_fields_take_memory_too() {
        let long = "x".repeat(10_000);
        let size = |key: &str| sample(Level::INFO, "app", "x", &[(key, 1.into())]).size_bytes();
        assert_eq!(size(&long) - size("x"), 9_999);
    }
}
