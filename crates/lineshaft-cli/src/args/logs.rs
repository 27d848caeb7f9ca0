//! Which of the records that attempts logged.

use clap::Args;
use lineshaft_wire::{JobId, LogFilter};

use super::read::{When, when};
use crate::times::now_ms;

/// Shows what attempts logged, the oldest first.
#[derive(Args, Debug)]
pub struct Logs {
    /// Which: `warning` or `level=30`, and all records above it; `job=`, `task=`, `worker=`, `logger=`, `attempt=`; any other
    /// `field=value`; or a text that the message or the exception contains, `text=` where it looks like one of these
    #[arg(value_name = "FILTER")]
    pub words: Vec<String>,
    /// Go on with what is logged from now on
    #[arg(long, short)]
    pub follow: bool,
    /// At most so many, the newest of them
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Logged at this time or later: so long ago (1h), or a time (2026-01-31T08:00Z)
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub since: Option<When>,
    /// Logged before this time
    #[arg(long, value_name = "WHEN", value_parser = when)]
    pub until: Option<When>,
}

impl Logs {
    /// What the words say.
    pub(crate) fn filter(&self) -> Result<LogFilter, String> {
        let now = now_ms();
        let us = |when: When| when.before(now).saturating_mul(1_000);
        let mut filter =
            LogFilter { since_us: self.since.map(us), until_us: self.until.map(us), ..LogFilter::default() };
        self.words.iter().try_for_each(|word| add(&mut filter, word))?;
        Ok(filter)
    }
}

fn add(filter: &mut LogFilter, word: &str) -> Result<(), String> {
    if let Some(level) = named_level(word) {
        filter.level = Some(level);
        return Ok(());
    }
    let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_field(name)) else {
        filter.texts.push(word.into());
        return Ok(());
    };
    match name {
        "level" => {
            let level = named_level(value).or_else(|| value.parse().ok());
            filter.level = Some(level.ok_or_else(|| wrong(word, LEVELS))?);
        }
        "text" => filter.texts.push(value.into()),
        "job" => filter.job = Some(value.parse::<JobId>().map_err(|_| wrong(word, "the id of a job"))?),
        "attempt" => filter.attempt = Some(value.parse().map_err(|_| wrong(word, "a number from 1"))?),
        "task" => filter.task = Some(value.into()),
        "worker" => filter.worker = Some(value.into()),
        "logger" => filter.logger = Some(value.into()),
        _ => filter.fields.push((name.into(), plain(value).into())),
    }
    Ok(())
}

const LEVELS: &str = "trace, debug, info, warning, error, critical or a number";

/// JSON as it is kept, without spaces; any other text as it is.
fn plain(value: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(value).ok();
    json.filter(|json| !json.is_string()).map_or_else(|| value.to_owned(), |json| json.to_string())
}

fn named_level(word: &str) -> Option<i32> {
    Some(match &*word.to_ascii_lowercase() {
        "trace" => 5,
        "debug" => 10,
        "info" => 20,
        "warning" | "warn" => 30,
        "error" => 40,
        "critical" => 50,
        _ => return None,
    })
}

fn is_field(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|char| char.is_alphanumeric() || "_.-".contains(char))
}

fn wrong(word: &str, form: &str) -> String {
    format!("{word} does not read: it takes {form}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(words: &[&str]) -> Result<LogFilter, String> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Logs { words, follow: false, limit: 10, since: None, until: None }.filter()
    }

    #[test]
    fn words_are_levels_columns_fields_and_texts() {
        let found = filter(&["warning", "task=shop.send", "tenant=acme", "a = b", "could not"]).unwrap();
        assert_eq!((found.level, found.task.as_deref()), (Some(30), Some("shop.send")));
        assert_eq!(found.fields, [("tenant".into(), "acme".into())]);
        assert_eq!(found.texts, ["a = b".into(), "could not".into()]);
        let found = filter(&["level=25", "404", "text=status=500", "text=error", "d={\"a\": 1}"]).unwrap();
        assert_eq!((found.level, &*found.fields[0].1), (Some(25), "{\"a\":1}"));
        assert_eq!(found.texts, ["404".into(), "status=500".into(), "error".into()]);
    }

    #[test]
    fn what_does_not_read_is_named() {
        for word in ["level=loud", "job=7", "attempt=first"] {
            assert!(filter(&[word]).unwrap_err().starts_with(word));
        }
    }
}
