//! Records as JSON.

use std::io::Write;

use super::neutral;
use crate::level::LevelNames;
use crate::record::Record;
use crate::value::Value;

pub(super) fn push(out: &mut Vec<u8>, record: &Record, time: &str, levels: &LevelNames) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time.as_bytes());
    let _ = write!(out, "\",\"level\":\"{}\",\"logger\":", levels.shown(record.level));
    push_text(out, &record.logger);
    out.extend_from_slice(b",\"message\":");
    push_text(out, &record.message);
    if !record.fields.is_empty() {
        out.extend_from_slice(b",\"fields\":");
        push_map(out, record.fields.iter().map(|(key, value)| (&**key, value)));
    }
    let _ = write!(out, ",\"process\":{},\"thread\":", record.process);
    push_text(out, &record.thread.name);
    if let Some(place) = &record.place {
        out.extend_from_slice(b",\"file\":");
        push_text(out, &place.file);
        let _ = write!(out, ",\"line\":{},\"function\":", place.line);
        push_text(out, &place.function);
    }
    if let Some(exception) = &record.exception {
        out.extend_from_slice(b",\"exception\":");
        push_text(out, exception);
    }
    out.push(b'}');
}

/// Adds a value. What is no number in JSON is a text.
pub(crate) fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value) => drop(write!(out, "{value}")),
        Value::Float(value) if value.is_finite() => drop(write!(out, "{value:?}")),
        Value::Float(value) => drop(write!(out, "\"{value}\"")),
        Value::Str(text) => push_text(out, text),
        Value::List(items) => {
            out.push(b'[');
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                push_value(out, item);
            }
            out.push(b']');
        }
        Value::Map(items) => push_map(out, items.iter().map(|(key, value)| (&**key, value))),
    }
}

fn push_map<'a>(out: &mut Vec<u8>, items: impl Iterator<Item = (&'a str, &'a Value)>) {
    out.push(b'{');
    for (number, (key, value)) in items.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        push_text(out, key);
        out.push(b':');
        push_value(out, value);
    }
    out.push(b'}');
}

/// Adds a text in quotes. Whatever a terminal would obey is written by its number too.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if neutral::is_plain(text) && !text.bytes().any(|byte| byte == b'"' || byte == b'\\') {
        out.extend_from_slice(text.as_bytes());
    } else {
        text.chars().for_each(|sign| push_sign(out, sign));
    }
    out.push(b'"');
}

fn push_sign(out: &mut Vec<u8>, sign: char) {
    match sign {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        // All of these are below 0x10000.
        sign if neutral::is_hidden(sign) => drop(write!(out, "\\u{:04x}", sign as u32)),
        sign => out.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Format, Formatter, Zone};
    use crate::level::Level;
    use crate::record::sample;

    #[test]
    fn a_record_is_one_object() {
        let fields =
            [("message", Value::from("not ours")), ("ms", Value::from(3)), ("x", Value::from(f64::NAN))];
        let mut record = sample(Level::INFO, "shop.mail", "sent \"it\"\nnow\x1b", &fields);
        record.exception = Some("ValueError: no".into());
        let mut formatter = Formatter::new(Format::Json, Zone::Utc, LevelNames::default().into());
        assert_eq!(
            formatter.text(&record),
            concat!(
                r#"{"time":"2026-11-28T05:00:00.123456Z","level":"info","logger":"shop.mail","#,
                r#""message":"sent \"it\"\nnow\u001b","fields":{"message":"not ours","ms":3,"x":"NaN"},"#,
                r#""process":42,"thread":"MainThread","file":"shop/mail.py","line":12,"function":"send","#,
                r#""exception":"ValueError: no"}"#
            )
        );
    }

    #[test]
    fn what_is_written_reads_as_json() {
        let value = Value::Map(vec![
            ("a\u{2028}\"\\".into(), Value::List(vec![Value::Null, Value::from(true), Value::from(1.5e300)])),
            ("ü\u{9b}".into(), Value::from(i64::MIN)),
        ]);
        let mut out = Vec::new();
        push_value(&mut out, &value);
        let read: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(read["a\u{2028}\"\\"][2], 1.5e300);
        assert_eq!(read["ü\u{9b}"], i64::MIN);
    }
}
