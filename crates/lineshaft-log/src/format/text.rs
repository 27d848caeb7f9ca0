//! Records for people.

use std::io::Write;

use super::{json, neutral};
use crate::level::{Level, LevelNames};
use crate::record::{Fields, Record};
use crate::value::Value;

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

pub(super) fn push(out: &mut Vec<u8>, record: &Record, time: &str, levels: &LevelNames, has_colours: bool) {
    push_line(out, record, time, levels, has_colours);
    push_exception(out, record);
}

/// The line of a record, without its exception.
pub(super) fn push_line(
    out: &mut Vec<u8>,
    record: &Record,
    time: &str,
    levels: &LevelNames,
    has_colours: bool,
) {
    let (dim, plain) = if has_colours { (DIM, PLAIN) } else { ("", "") };
    let colour = if has_colours { colour_of(record.level) } else { "" };
    let level = levels.shown(record.level).to_string();
    let _ = write!(out, "{dim}{time}{plain} {colour}{level:<8}{plain} ");
    neutral::push(out, &record.logger);
    out.extend_from_slice(b"  ");
    neutral::push(out, &record.message);
    if !record.fields.is_empty() {
        out.extend_from_slice(b"  ");
        push_fields(out, &record.fields, dim, plain);
    }
}

/// The lines of an exception, below those of its record.
pub(super) fn push_exception(out: &mut Vec<u8>, record: &Record) {
    if let Some(exception) = &record.exception {
        out.extend_from_slice(b"\n  ");
        neutral::push_lines(out, exception, "  ");
    }
}

/// Fields as `key=value`, with a space between them.
pub(super) fn push_fields(out: &mut Vec<u8>, fields: &Fields, before: &str, after: &str) {
    for (number, (key, value)) in fields.iter().enumerate() {
        if number > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(before.as_bytes());
        neutral::push(out, key);
        out.push(b'=');
        out.extend_from_slice(after.as_bytes());
        push_value(out, value);
    }
}

/// Texts as they are, in quotes where one could not say otherwise where they end.
fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Str(text) if needs_quotes(text) => json::push_text(out, text),
        Value::Str(text) => neutral::push(out, text),
        Value::Float(_) => drop(write!(out, "{value}")),
        value => json::push_value(out, value),
    }
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty() || text.chars().any(|sign| sign.is_whitespace() || matches!(sign, '"' | '=' | '\''))
}

fn colour_of(level: Level) -> &'static str {
    match level {
        level if level >= Level::CRITICAL => "\x1b[1;31m",
        level if level >= Level::ERROR => "\x1b[31m",
        level if level >= Level::WARNING => "\x1b[33m",
        level if level >= Level::INFO => "\x1b[32m",
        _ => DIM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Format, Formatter, Zone};
    use crate::record::sample;

    fn check(has_colours: bool, expected: &str) {
        let fields = [
            ("to", Value::from("a@b")),
            ("subject", Value::from("two words\n")),
            ("none", Value::Null),
            ("list", Value::List(vec![Value::from(1), Value::from("x")])),
        ];
        let mut record = sample(Level::WARNING, "shop.mail", "not sent\x1b[2J", &fields);
        record.exception = Some("Traceback:\n  line\x07\nValueError: no\n".into());
        let mut formatter =
            Formatter::new(Format::Text { has_colours }, Zone::Utc, LevelNames::default().into());
        assert_eq!(formatter.text(&record), expected);
    }

    #[test]
    fn a_record_is_a_line_and_those_of_its_exception() {
        check(
            false,
            "2026-11-28T05:00:00.123456Z warning  shop.mail  not sent\\x1b[2J  \
             to=a@b subject=\"two words\\n\" none=null list=[1,\"x\"]\n  Traceback:\n    line\\x07\n  ValueError: no",
        );
    }

    #[test]
    fn colours_are_around_time_level_and_keys() {
        check(
            true,
            "\x1b[2m2026-11-28T05:00:00.123456Z\x1b[0m \x1b[33mwarning \x1b[0m shop.mail  not sent\\x1b[2J  \
             \x1b[2mto=\x1b[0ma@b \x1b[2msubject=\x1b[0m\"two words\\n\" \x1b[2mnone=\x1b[0mnull \
             \x1b[2mlist=\x1b[0m[1,\"x\"]\n  Traceback:\n    line\\x07\n  ValueError: no",
        );
    }
}
