//! Records by a function of whoever wants them.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::{neutral, text};
use crate::level::LevelNames;
use crate::record::Record;

/// A function that writes records; see [`super::Format::function`].
#[derive(Clone)]
pub struct Function(Arc<Call>);

/// What a function makes of a record: nothing, if that shall have the text form, or what is wrong.
pub type Made = Result<Option<String>, String>;

type Call = dyn Fn(&[&Record]) -> Vec<Made> + Send + Sync;

/// So much is shown of what was wrong.
const REASON_CHARS: usize = 200;

impl Function {
    pub(super) fn new(call: impl Fn(&Record) -> Made + Send + Sync + 'static) -> Self {
        Self::of_many(move |records| records.iter().map(|record| guarded(|| call(record))).collect())
    }

    pub(super) fn of_many(call: impl Fn(&[&Record]) -> Vec<Made> + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    /// What the function makes of records, of each of them.
    pub(super) fn made(&self, records: &[&Record]) -> Vec<Made> {
        let called = catch_unwind(AssertUnwindSafe(|| (self.0)(records)));
        let mut made = called.unwrap_or_default();
        made.resize_with(records.len(), || Err("it panicked, or left this one out".to_owned()));
        made
    }
}

fn guarded(call: impl FnOnce() -> Made) -> Made {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// Adds what a function made of a record. If it failed that is the text form with a note, and the error.
pub(super) fn push(
    out: &mut Vec<u8>,
    record: &Record,
    made: Made,
    time: &str,
    levels: &LevelNames,
) -> Result<(), String> {
    match made {
        Ok(Some(text)) => push_made(out, record, &text),
        Ok(None) => text::push(out, record, time, levels, false),
        Err(reason) => {
            let reason: String = reason.chars().take(REASON_CHARS).collect();
            text::push_line(out, record, time, levels, false);
            out.extend_from_slice(b"  [the format failed: ");
            neutral::push(out, &reason);
            out.push(b']');
            text::push_exception(out, record);
            return Err(reason);
        }
    }
    Ok(())
}

/// What was made, in one line, and the lines of the exception, which may be at its end already.
fn push_made(out: &mut Vec<u8>, record: &Record, made: &str) {
    let exception = record.exception.as_deref().unwrap_or("").trim_end();
    let made = made.trim_end_matches('\n');
    if exception.is_empty() {
        return neutral::push(out, made);
    }
    match made.strip_suffix(exception) {
        Some(before) => neutral::push(out, before.trim_end()),
        None => neutral::push(out, made),
    }
    if made.ends_with(exception) || !made.contains(exception) {
        text::push_exception(out, record);
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Function")
    }
}

#[cfg(test)]
mod tests {
    use super::Made;
    use crate::format::{Format, Formatter, Zone};
    use crate::level::Level;
    use crate::record::{Record, sample};

    fn check(exception: Option<&str>, function: fn(&Record) -> Made, expected: &str, failures: u64) {
        let mut record = sample(Level::INFO, "shop", "sent", &[]);
        record.exception = exception.map(Into::into);
        let mut formatter = Formatter::new(Format::function(function), Zone::Utc, std::sync::Arc::default());
        assert_eq!(formatter.text(&record), expected);
        assert_eq!(formatter.unformatted().0, failures);
    }

    #[test]
    fn a_record_is_one_line_whatever_is_made_of_it() {
        check(None, |record| Ok(Some(format!("<{}>", record.message))), "<sent>", 0);
        check(None, |_| Ok(Some("a\nb\x1b[2J\r\n".to_owned())), "a\\nb\\x1b[2J\\r", 0);
        check(None, |_| Ok(None), "2026-11-28T05:00:00.123456Z info     shop  sent", 0);
    }

    #[test]
    fn an_exception_comes_once_and_in_lines() {
        let exception = Some("Traceback:\n  x\nValueError: no\n");
        let lines = "sent\n  Traceback:\n    x\n  ValueError: no";
        check(exception, |record| Ok(Some(record.message.to_string())), lines, 0);
        let with = |record: &Record| {
            Ok(Some(format!("{}\n{}", record.message, record.exception.as_deref().unwrap_or(""))))
        };
        check(exception, with, lines, 0);
        let within =
            |record: &Record| Ok(Some(format!("[{}]", record.exception.as_deref().unwrap_or("").trim_end())));
        check(exception, within, "[Traceback:\\n  x\\nValueError: no]", 0);
    }

    #[test]
    fn one_that_fails_gives_the_text_form_with_a_note() {
        let text = "2026-11-28T05:00:00.123456Z info     shop  sent  [the format failed: ";
        check(None, |_| Err("Key\x1bError".to_owned()), &format!("{text}Key\\x1bError]"), 1);
        check(Some("E\nF"), |_| panic!("no"), &format!("{text}it panicked]\n  E\n  F"), 1);
    }

    #[test]
    fn records_that_are_written_together_are_given_together() {
        let calls = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let counts = calls.clone();
        let format = Format::function_of_many(move |records| {
            counts.lock().expect("no panic").push(records.len());
            records.iter().take(2).map(|record| Ok(Some(record.message.to_string()))).collect()
        });
        let mut formatter = Formatter::new(format, Zone::Utc, std::sync::Arc::default());
        let records = ["a", "b", "c"].map(|message| sample(Level::INFO, "shop", message, &[]));
        formatter.prepare(&records.iter().collect::<Vec<_>>());
        let lines: Vec<String> = records.iter().map(|record| formatter.text(record)).collect();
        assert_eq!((&*lines[0], &*lines[1]), ("a", "b"));
        assert!(
            lines[2].ends_with("c  [the format failed: it panicked, or left this one out]"),
            "{}",
            lines[2]
        );
        assert_eq!(formatter.text(&records[1]), "b", "one that was not prepared is asked for");
        assert_eq!(*calls.lock().expect("no panic"), [3, 1]);
    }
}
