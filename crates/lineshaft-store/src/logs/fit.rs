//! Records as they are kept: no text longer than one may be, and none too large.

use std::borrow::Cow;

use bytes::Bytes;
use lineshaft_wire::LogRecord;
use lineshaft_wire::log_record::{LOG_ATTACHMENT_BYTES_MAX, LOG_TEXT_BYTES_MAX};

/// The record with its texts cut to what is kept of them, and without an attachment that is too large, or empty.
pub(crate) fn fitted(record: &LogRecord) -> Cow<'_, LogRecord> {
    let is_long = |text: &str| text.len() > LOG_TEXT_BYTES_MAX;
    let is_kept = |bytes: &Bytes| (1..=LOG_ATTACHMENT_BYTES_MAX).contains(&bytes.len());
    let has_long = record.attachment.as_ref().is_some_and(|bytes| !is_kept(bytes))
        || is_long(&record.message)
        || record.exception.as_deref().is_some_and(is_long)
        || record.fields.iter().any(|(_, json)| is_long(json));
    if !has_long {
        return Cow::Borrowed(record);
    }
    let mut record = record.clone();
    record.attachment.take_if(|bytes| !is_kept(bytes));
    cut(&mut record.message);
    record.exception.as_mut().map(cut);
    record.fields.iter_mut().for_each(|(_, json)| cut_json(json));
    Cow::Owned(record)
}

fn cut(text: &mut Box<str>) {
    *text = start_of(text, LOG_TEXT_BYTES_MAX).into();
}

/// A text stays JSON of a shorter text; anything else becomes one, of how it began.
fn cut_json(json: &mut Box<str>) {
    if json.len() <= LOG_TEXT_BYTES_MAX {
        return;
    }
    let text = serde_json::from_str::<String>(json).unwrap_or_else(|_| json.to_string());
    let mut length = LOG_TEXT_BYTES_MAX - 2;
    *json = loop {
        let shorter = serde_json::Value::from(start_of(&text, length)).to_string();
        if shorter.len() <= LOG_TEXT_BYTES_MAX {
            break shorter.into();
        }
        // JSON writes some characters as up to six bytes.
        length -= length / 4;
    };
}

/// The first bytes of a text, whole characters only.
fn start_of(text: &str, length: usize) -> &str {
    let end = (0..=length.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// About what a record takes: it is counted, not measured.
pub(crate) fn weight(record: &LogRecord) -> usize {
    let names = record.task.len() + record.worker.len() + record.logger.len();
    let place = record.place.as_ref().map_or(0, |place| place.file.len() + place.function.len() + 8);
    let fields: usize = record.fields.iter().map(|(name, json)| name.len() + json.len() + 8).sum();
    64 + names
        + place
        + fields
        + record.message.len()
        + record.exception.as_ref().map_or(0, |text| text.len())
        + record.attachment.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
pub(crate) mod tests {
    use lineshaft_wire::JobId;

    use super::*;

    /// A record that says `message`.
    pub(crate) fn record(message: &str) -> LogRecord {
        LogRecord {
            time_us: 1_795_842_000_000_000,
            level: 20,
            job: JobId::direct(1_795_842_000_000, 0, 7, 1),
            attempt: 1,
            task: "shop.send".into(),
            worker: "worker-1".into(),
            logger: "shop.mail".into(),
            message: message.into(),
            fields: Vec::new(),
            place: None,
            exception: None,
            attachment: None,
        }
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters_and_stays_json() {
        let long = "é".repeat(LOG_TEXT_BYTES_MAX);
        let mut original = record(&format!("x{long}"));
        original.exception = Some(long.clone().into());
        let list = serde_json::to_string(&vec![1; LOG_TEXT_BYTES_MAX]).unwrap();
        let controls = serde_json::to_string(&"\u{1}".repeat(LOG_TEXT_BYTES_MAX)).unwrap();
        original.fields = [serde_json::to_string(&long).unwrap(), list, controls, "7".to_owned()]
            .map(|json| ("name".into(), json.into()))
            .to_vec();
        let fitted = fitted(&original).into_owned();
        assert_eq!(fitted.message.len(), LOG_TEXT_BYTES_MAX - 1);
        assert_eq!(fitted.exception.unwrap().len(), LOG_TEXT_BYTES_MAX);
        for (_, json) in &fitted.fields[..3] {
            assert!(
                json.len() <= LOG_TEXT_BYTES_MAX && json.len() > LOG_TEXT_BYTES_MAX / 2,
                "{}",
                json.len()
            );
            assert!(serde_json::from_str::<String>(json).is_ok());
        }
        assert_eq!(&*fitted.fields[3].1, "7");
    }

    #[test]
    fn what_fits_is_not_copied() {
        assert!(matches!(fitted(&record("short")), Cow::Borrowed(_)));
    }
}
