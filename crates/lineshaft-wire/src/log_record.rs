//! Records that attempts logged, as they are kept and looked for.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::JobId;

/// Longest message, exception or value of a field that is kept, bytes; the rest is cut.
pub const LOG_TEXT_BYTES_MAX: usize = 64 << 10;

/// Largest attachment of a record that is kept, bytes.
pub const LOG_ATTACHMENT_BYTES_MAX: usize = 128 << 10;

/// A record of an attempt. Its levels are numbers that grow with how much it matters: 5 trace, 10 debug, 20 info,
/// 30 warning, 40 error, 50 critical, and others between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// When it was logged, Unix microseconds of the worker's clock.
    pub time_us: u64,
    /// How much it matters.
    pub level: i32,
    /// The job in whose attempt it was logged.
    pub job: JobId,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The job's task.
    pub task: Arc<str>,
    /// The worker that ran it.
    pub worker: Arc<str>,
    /// The logger, in parts with dots between them.
    pub logger: Arc<str>,
    /// What happened.
    pub message: Box<str>,
    /// With what: names and values, these as JSON.
    pub fields: Vec<(Box<str>, Box<str>)>,
    /// Where in the source.
    pub place: Option<LogPlace>,
    /// An exception with its traceback.
    pub exception: Option<Box<str>>,
    /// What else is kept with it, as bytes: a profile of the attempt. Only where [`LogFilter::attached`] asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Bytes>,
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The function.
    pub function: Arc<str>,
}

/// Which records; every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogFilter {
    /// Of this job.
    pub job: Option<JobId>,
    /// Of this attempt.
    pub attempt: Option<u32>,
    /// Of this task.
    pub task: Option<Arc<str>>,
    /// Of this worker.
    pub worker: Option<Arc<str>>,
    /// Of this logger or one below it.
    pub logger: Option<Arc<str>>,
    /// At this level or above.
    pub level: Option<i32>,
    /// Logged at or after, Unix microseconds.
    pub since_us: Option<u64>,
    /// Logged before, Unix microseconds.
    pub until_us: Option<u64>,
    /// With these fields: a value is a text as it is or any JSON.
    pub fields: Vec<(Arc<str>, Arc<str>)>,
    /// With these texts in the message or the exception, upper and lower case of ASCII being the same.
    pub texts: Vec<Arc<str>>,
    /// Only those with an attachment, which comes with them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub attached: bool,
}

impl LogRecord {
    /// Appends its bytes: a `MessagePack` array of its fields.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        rmp_serde::encode::write(buffer, self).expect("a record can be written to memory");
    }

    /// The record that begins `bytes`, and how long it is.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), rmp_serde::decode::Error> {
        let mut reader = rmp_serde::Deserializer::new(std::io::Cursor::new(bytes));
        reader.set_max_depth(8);
        let record = Self::deserialize(&mut reader)?;
        let length = usize::try_from(reader.position()).unwrap_or(bytes.len());
        Ok((record, length))
    }

    /// The same record as it is found where attachments are not asked for.
    #[must_use]
    pub fn without_attachment(&self) -> Self {
        Self { attachment: None, ..self.clone() }
    }
}

impl LogFilter {
    /// Whether a record is among them.
    pub fn takes(&self, record: &LogRecord) -> bool {
        fn is<T: PartialEq + ?Sized>(wanted: Option<&T>, found: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == found)
        }
        is(self.job.as_ref(), &record.job)
            && is(self.attempt.as_ref(), &record.attempt)
            && is(self.task.as_deref(), &*record.task)
            && is(self.worker.as_deref(), &*record.worker)
            && self.level.is_none_or(|least| record.level >= least)
            && self.since_us.is_none_or(|since| record.time_us >= since)
            && self.until_us.is_none_or(|until| record.time_us < until)
            && self.logger.as_deref().is_none_or(|name| is_below(name, &record.logger))
            && self.fields.iter().all(|(name, value)| has_field(record, name, value))
            && self.texts.iter().all(|text| has_text(record, text))
            && (!self.attached || record.attachment.is_some())
    }
}

/// Whether `logger` is `name` or below it.
pub fn is_below(name: &str, logger: &str) -> bool {
    logger.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn has_field(record: &LogRecord, name: &str, value: &str) -> bool {
    let is_text = |json: &str| serde_json::from_str::<String>(json).is_ok_and(|text| text == value);
    record.fields.iter().any(|(key, json)| **key == *name && (**json == *value || is_text(json)))
}

fn has_text(record: &LogRecord, text: &str) -> bool {
    contains(&record.message, text) || record.exception.as_deref().is_some_and(|found| contains(found, text))
}

fn contains(found: &str, text: &str) -> bool {
    let (found, text) = (found.as_bytes(), text.as_bytes());
    text.is_empty() || found.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LogRecord {
        LogRecord {
            time_us: 1_000,
            level: 20,
            job: JobId::direct(1_795_842_000_123, 0, 7, 1),
            attempt: 2,
            task: "shop.send".into(),
            worker: "worker-1".into(),
            logger: "shop.mail".into(),
            message: "Sent a letter".into(),
            fields: vec![("to".into(), "\"ada\"".into()), ("ms".into(), "3".into())],
            place: Some(LogPlace { file: "shop.py".into(), line: 7, function: "send".into() }),
            exception: Some("ValueError: no stamp".into()),
            attachment: None,
        }
    }

    #[test]
    fn a_record_is_the_same_after_it_was_written_and_read() {
        let mut bytes = Vec::new();
        record().encode(&mut bytes);
        let length = bytes.len();
        bytes.extend_from_slice(b"more");
        assert_eq!(LogRecord::decode(&bytes).expect("a record"), (record(), length));
        for cut in 0..length {
            assert!(LogRecord::decode(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    /// A record without one is written as it was before there were attachments.
    #[test]
    fn an_attachment_stands_behind_the_rest_and_may_be_missing() {
        let attached = LogRecord { attachment: Some(Bytes::from_static(b"\x00\xff")), ..record() };
        let written = |record: &LogRecord| {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            bytes
        };
        let (bytes, plain) = (written(&attached), written(&record()));
        assert_eq!(LogRecord::decode(&bytes).expect("a record"), (attached.clone(), bytes.len()));
        assert_eq!((bytes[0], plain[0], &bytes[1..plain.len()]), (0x9c, 0x9b, &plain[1..]));
        assert_eq!(attached.without_attachment(), record());
    }

    #[test]
    fn every_condition_must_hold() {
        let check = |change: fn(&mut LogFilter), expected: bool| {
            let mut filter = LogFilter::default();
            change(&mut filter);
            assert_eq!(filter.takes(&record()), expected, "{filter:?}");
        };
        check(|_| {}, true);
        check(|filter| filter.attempt = Some(2), true);
        check(|filter| filter.attempt = Some(1), false);
        check(|filter| filter.task = Some("shop.send".into()), true);
        check(|filter| filter.worker = Some("worker-2".into()), false);
        check(|filter| filter.level = Some(20), true);
        check(|filter| filter.level = Some(30), false);
        check(|filter| filter.logger = Some("shop".into()), true);
        check(|filter| filter.logger = Some("sho".into()), false);
        check(|filter| filter.since_us = Some(1_000), true);
        check(|filter| filter.until_us = Some(1_000), false);
        check(|filter| filter.fields = vec![("to".into(), "ada".into()), ("ms".into(), "3".into())], true);
        check(|filter| filter.fields = vec![("to".into(), "\"ada\"".into())], true);
        check(|filter| filter.fields = vec![("to".into(), "bob".into())], false);
        check(|filter| filter.texts = vec!["sent A".into(), "STAMP".into()], true);
        check(|filter| filter.texts = vec!["received".into()], false);
        check(|filter| filter.attached = true, false);
    }
}
