//! Records as OpenTelemetry has them: the JSON form of `ExportLogsServiceRequest`, for `POST /v1/logs`.
//!
//! A whole number that may be large is a text there, a time too. Loggers are scopes, fields attributes; what is known of a
//! record otherwise has the names of the semantic conventions.

use std::io::Write;

use super::json::push_text;
use crate::level::{Level, LevelNames};
use crate::record::Record;
use crate::value::Value;

/// All of these records in a request of the service that is called so.
pub(crate) fn push(out: &mut Vec<u8>, records: &[&Record], service: &str, levels: &LevelNames) {
    out.extend_from_slice(br#"{"resourceLogs":[{"resource":{"attributes":["#);
    attribute(out, "service.name", &Value::from(service));
    out.push(b',');
    attribute(
        out,
        "process.pid",
        &records.first().map_or(Value::Null, |record| i64::from(record.process).into()),
    );
    out.extend_from_slice(br#"]},"scopeLogs":["#);
    for (number, scope) in records.chunk_by(|one, next| one.logger == next.logger).enumerate() {
        comma(out, number);
        out.extend_from_slice(br#"{"scope":{"name":"#);
        push_text(out, &scope[0].logger);
        out.extend_from_slice(br#"},"logRecords":["#);
        for (number, record) in scope.iter().enumerate() {
            comma(out, number);
            push_record(out, record, levels);
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}]}");
}

fn push_record(out: &mut Vec<u8>, record: &Record, levels: &LevelNames) {
    let (severity, time) = (severity(record.level), record.time_ns.max(0));
    let _ = write!(
        out,
        r#"{{"timeUnixNano":"{time}","observedTimeUnixNano":"{time}","severityNumber":{severity},"severityText":"{}","body":"#,
        levels.shown(record.level)
    );
    push_value(out, &Value::Str(record.message.clone()));
    out.extend_from_slice(br#","attributes":["#);
    for (key, value) in &record.fields {
        attribute(out, key, value);
        out.push(b',');
    }
    attribute(out, "thread.id", &Value::from(record.thread.id));
    out.push(b',');
    attribute(out, "thread.name", &Value::from(&*record.thread.name));
    if let Some(place) = &record.place {
        for (key, value) in [
            ("code.file.path", Value::from(&*place.file)),
            ("code.line.number", i64::from(place.line).into()),
            ("code.function.name", Value::from(&*place.function)),
        ] {
            out.push(b',');
            attribute(out, key, &value);
        }
    }
    if let Some(exception) = &record.exception {
        out.push(b',');
        attribute(out, "exception.stacktrace", &Value::from(&**exception));
    }
    out.extend_from_slice(b"]}");
}

fn attribute(out: &mut Vec<u8>, key: &str, value: &Value) {
    out.extend_from_slice(br#"{"key":"#);
    push_text(out, key);
    out.extend_from_slice(br#","value":"#);
    push_value(out, value);
    out.push(b'}');
}

fn push_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"{"),
        Value::Bool(value) => drop(write!(out, r#"{{"boolValue":{value}"#)),
        Value::Int(value) => drop(write!(out, r#"{{"intValue":"{value}""#)),
        Value::Float(value) if value.is_finite() => drop(write!(out, r#"{{"doubleValue":{value:?}"#)),
        Value::Float(value) => {
            let sign = if value.is_sign_negative() { "-" } else { "" };
            let text = if value.is_nan() { "NaN".to_owned() } else { format!("{sign}Infinity") };
            let _ = write!(out, r#"{{"doubleValue":"{text}""#);
        }
        Value::Str(text) => {
            out.extend_from_slice(br#"{"stringValue":"#);
            push_text(out, text);
        }
        Value::List(items) => {
            out.extend_from_slice(br#"{"arrayValue":{"values":["#);
            for (number, item) in items.iter().enumerate() {
                comma(out, number);
                push_value(out, item);
            }
            out.extend_from_slice(b"]}");
        }
        Value::Map(items) => {
            out.extend_from_slice(br#"{"kvlistValue":{"values":["#);
            for (number, (key, item)) in items.iter().enumerate() {
                comma(out, number);
                attribute(out, key, item);
            }
            out.extend_from_slice(b"]}");
        }
    }
    out.push(b'}');
}

fn comma(out: &mut Vec<u8>, number: usize) {
    if number > 0 {
        out.push(b',');
    }
}

/// `SeverityNumber`: 1 to 4 for trace, 5 to 8 for debug and so on; levels in between are the second of their four.
fn severity(level: Level) -> u8 {
    let known = [
        (Level::CRITICAL, 21),
        (Level::ERROR, 17),
        (Level::WARNING, 13),
        (Level::INFO, 9),
        (Level::DEBUG, 5),
        (Level::TRACE, 1),
    ];
    let found = known.iter().find(|(least, _)| level >= *least);
    found.map_or(1, |(least, number)| number + u8::from(level > *least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    #[test]
    fn levels_have_severities() {
        let severities = [1, 5, 7, 10, 20, 25, 30, 40, 50, 60].map(|level| severity(Level(level)));
        assert_eq!(severities, [1, 1, 2, 5, 9, 10, 13, 17, 21, 22]);
    }

    #[test]
    fn records_are_grouped_by_logger_and_values_keep_their_types() {
        let deep = Value::Map(vec![("a".into(), Value::List(vec![Value::Null, 1.5.into()]))]);
        let fields = [("ms", 3.into()), ("ok", true.into()), ("x", f64::NEG_INFINITY.into()), ("deep", deep)];
        let records = [
            sample(Level::INFO, "shop", "sent \"it\"", &fields),
            sample(Level(25), "shop", "b", &[]),
            sample(Level::ERROR, "other", "c", &[]),
        ];
        let mut out = Vec::new();
        push(&mut out, &records.iter().collect::<Vec<_>>(), "app", &LevelNames::default());
        let read: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        let scopes = &read["resourceLogs"][0]["scopeLogs"];
        assert_eq!(scopes.as_array().map(Vec::len), Some(2));
        assert_eq!(scopes[0]["logRecords"].as_array().map(Vec::len), Some(2));
        let first = &scopes[0]["logRecords"][0];
        assert_eq!(first["timeUnixNano"], "1795842000123456789");
        assert_eq!(first["body"]["stringValue"], "sent \"it\"");
        let attributes = first["attributes"].as_array().expect("attributes");
        assert_eq!(attributes[0]["value"]["intValue"], "3");
        assert_eq!(attributes[1]["value"]["boolValue"], true);
        assert_eq!(attributes[2]["value"]["doubleValue"], "-Infinity");
        let deep = &attributes[3]["value"]["kvlistValue"]["values"][0]["value"]["arrayValue"]["values"];
        assert_eq!((&deep[0], &deep[1]["doubleValue"]), (&serde_json::json!({}), &serde_json::json!(1.5)));
    }
}
