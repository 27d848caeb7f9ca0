//! Records by a template.

use std::io::Write;

use super::{neutral, text};
use crate::error::Error;
use crate::level::LevelNames;
use crate::record::Record;

/// A template that was read; see [`super::Format::template`].
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
    has_exception: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Item { item: Item, width: usize, is_right: bool },
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Time,
    Level,
    Logger,
    Message,
    Fields,
    Field(Box<str>),
    Process,
    Thread,
    File,
    Line,
    Function,
    Exception,
}

impl Template {
    pub(super) fn parse(template: &str) -> Result<Self, Error> {
        let wrong = |at: usize, reason: String| Error::Template {
            template: template.to_owned(),
            position: template[..at].chars().count() + 1,
            reason,
        };
        let (mut parts, mut text, mut at) = (Vec::new(), String::new(), 0);
        while let Some(found) = template[at..].find(['{', '}']) {
            text.push_str(&template[at..at + found]);
            at += found;
            let rest = &template[at..];
            if rest.starts_with("{{") || rest.starts_with("}}") {
                text.push_str(&rest[..1]);
                at += 2;
                continue;
            }
            let close = rest.find('}').filter(|_| rest.starts_with('{'));
            let close = close.ok_or_else(|| wrong(at, "a brace has no other one".to_owned()))?;
            let part = part_of(&rest[1..close]).map_err(|reason| wrong(at, reason))?;
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(part);
            at += close + 1;
        }
        text.push_str(&template[at..]);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        let has_exception = parts.iter().any(|part| matches!(part, Part::Item { item: Item::Exception, .. }));
        Ok(Self { parts, has_exception })
    }

    pub(super) fn push(&self, out: &mut Vec<u8>, record: &Record, time: &str, levels: &LevelNames) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text.as_bytes()),
                Part::Item { item, width: 0, .. } => push_item(out, item, record, time, levels),
                Part::Item { item, width, is_right } => {
                    let mut shown = Vec::new();
                    push_item(&mut shown, item, record, time, levels);
                    let missing = width.saturating_sub(String::from_utf8_lossy(&shown).chars().count());
                    let blanks = vec![b' '; missing];
                    let (first, second) = if *is_right { (blanks, shown) } else { (shown, blanks) };
                    out.extend_from_slice(&first);
                    out.extend_from_slice(&second);
                }
            }
        }
        if !self.has_exception {
            text::push_exception(out, record);
        }
    }
}

fn part_of(text: &str) -> Result<Part, String> {
    let (name, form) = text.split_once(':').unwrap_or((text, ""));
    let item = match name {
        "time" => Item::Time,
        "level" => Item::Level,
        "logger" => Item::Logger,
        "message" => Item::Message,
        "fields" => Item::Fields,
        "process" => Item::Process,
        "thread" => Item::Thread,
        "file" => Item::File,
        "line" => Item::Line,
        "function" => Item::Function,
        "exception" => Item::Exception,
        name => match name.strip_prefix("fields.") {
            Some(key) if !key.is_empty() => Item::Field(key.into()),
            _ => return Err(format!("{name:?} is nothing that a record has")),
        },
    };
    let is_right = form.starts_with('>');
    let digits = form.trim_start_matches(['<', '>']);
    let width = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX) };
    if width > 1_000 {
        return Err(format!("{form:?} is no width up to 1000"));
    }
    Ok(Part::Item { item, width, is_right })
}

fn push_item(out: &mut Vec<u8>, item: &Item, record: &Record, time: &str, levels: &LevelNames) {
    let place = record.place.as_ref();
    match item {
        Item::Time => out.extend_from_slice(time.as_bytes()),
        Item::Level => drop(write!(out, "{}", levels.shown(record.level))),
        Item::Logger => neutral::push(out, &record.logger),
        Item::Message => neutral::push(out, &record.message),
        Item::Fields => text::push_fields(out, &record.fields, "", ""),
        Item::Field(key) => {
            if let Some(value) = record.field(key) {
                neutral::push(out, &value.to_string());
            }
        }
        Item::Process => drop(write!(out, "{}", record.process)),
        Item::Thread => neutral::push(out, &record.thread.name),
        Item::File => neutral::push(out, place.map_or("", |place| &place.file)),
        Item::Line => drop(write!(out, "{}", place.map_or(0, |place| place.line))),
        Item::Function => neutral::push(out, place.map_or("", |place| &place.function)),
        Item::Exception => neutral::push_lines(out, record.exception.as_deref().unwrap_or(""), "  "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;
    use crate::record::sample;
    use crate::value::Value;

    fn check(template: &str, expected: &str) {
        let record =
            sample(Level::INFO, "shop", "sent", &[("to", Value::from("a b")), ("ms", Value::from(3))]);
        let mut out = Vec::new();
        Template::parse(template).expect(template).push(&mut out, &record, "NOW", &LevelNames::default());
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn names_in_braces_are_filled_in() {
        check("{time} {level} {logger} {message}", "NOW info shop sent");
        check("{{{level:<8}|{level:>8}|{level:2}}}", "{info    |    info|info}");
        check("{fields} [{fields.to}][{fields.none}]", "to=\"a b\" ms=3 [a b][]");
        check("{file}:{line} {function} {process} {thread}", "shop/mail.py:12 send 42 MainThread");
    }

    #[test]
    fn an_error_says_where_it_is() {
        for (template, position, reason) in [
            ("{time} {nothing}", 8, "\"nothing\" is nothing that a record has"),
            ("ä {time", 3, "a brace has no other one"),
            ("} x", 1, "a brace has no other one"),
            ("{level:wide}", 1, "\"wide\" is no width up to 1000"),
        ] {
            match Template::parse(template) {
                Err(Error::Template { position: at, reason: why, .. }) => {
                    assert_eq!((at, why.as_str()), (position, reason));
                }
                other => panic!("{template}: {other:?}"),
            }
        }
    }
}
