//! How much a record matters.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Error;

/// A number that grows with how much a record matters: those of Python's standard library, with trace below.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Level(pub i32);

impl Level {
    /// What only who looks for one thing wants to see.
    pub const TRACE: Self = Self(5);
    /// What helps whoever works on the program.
    pub const DEBUG: Self = Self(10);
    /// What the program does.
    pub const INFO: Self = Self(20);
    /// What somebody should look at.
    pub const WARNING: Self = Self(30);
    /// What did not work.
    pub const ERROR: Self = Self(40);
    /// What the program cannot go on after.
    pub const CRITICAL: Self = Self(50);
    /// Above every record.
    pub const OFF: Self = Self(i32::MAX);
}

/// The names of levels: the six, and those that were added.
#[derive(Clone, Debug)]
pub struct LevelNames {
    names: BTreeMap<i32, String>,
}

impl Default for LevelNames {
    fn default() -> Self {
        let names = [
            (Level::TRACE, "trace"),
            (Level::DEBUG, "debug"),
            (Level::INFO, "info"),
            (Level::WARNING, "warning"),
            (Level::ERROR, "error"),
            (Level::CRITICAL, "critical"),
        ];
        Self { names: names.into_iter().map(|(level, name)| (level.0, name.to_owned())).collect() }
    }
}

impl LevelNames {
    /// Gives a number a name, in lower case: letters, digits, `_` and `-`, beginning with a letter.
    pub fn add(&mut self, level: Level, name: &str) -> Result<(), Error> {
        let name = name.to_ascii_lowercase();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !name.bytes().all(is_word)
            || !name.starts_with(|first: char| first.is_ascii_alphabetic())
            || name == "off"
        {
            return Err(Error::LevelName { name });
        }
        self.names.insert(level.0, name);
        Ok(())
    }

    /// The level with this name, `warn`, `fatal` and `off` among them, or with this number.
    pub fn parse(&self, text: &str) -> Option<Level> {
        let text = text.trim().to_ascii_lowercase();
        match text.as_str() {
            "off" => return Some(Level::OFF),
            "warn" => return Some(Level::WARNING),
            "fatal" => return Some(Level::CRITICAL),
            _ => {}
        }
        let named = self.names.iter().find(|(_, name)| **name == text);
        named.map(|(number, _)| Level(*number)).or_else(|| text.parse().ok().map(Level))
    }

    /// The name of a level; `None` if it has none.
    pub fn name(&self, level: Level) -> Option<&str> {
        self.names.get(&level.0).map(String::as_str)
    }

    /// The name of a level, or its number.
    pub fn shown(&self, level: Level) -> impl fmt::Display + '_ {
        Shown { name: self.name(level), level }
    }
}

struct Shown<'a> {
    name: Option<&'a str>,
    level: Level,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name {
            Some(name) => formatter.pad(name),
            None => self.level.0.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_names_and_numbers() {
        let mut names = LevelNames::default();
        for (text, level) in
            [("info", Level::INFO), ("WARN", Level::WARNING), ("25", Level(25)), ("off", Level::OFF)]
        {
            assert_eq!(names.parse(text), Some(level), "{text}");
        }
        assert_eq!(names.parse("notice"), None);
        names.add(Level(25), "NOTICE").expect("a name");
        assert_eq!(names.parse("notice"), Some(Level(25)));
        assert_eq!(names.shown(Level(25)).to_string(), "notice");
        assert_eq!(names.shown(Level(26)).to_string(), "26");
    }

    #[test]
    fn a_name_that_directives_could_not_say_is_refused() {
        for name in ["", "1st", "a=b", "off", "a b"] {
            assert!(LevelNames::default().add(Level(25), name).is_err(), "{name}");
        }
    }
}
