//! Which of the records that attempts logged.

use clap::Args;
use lineshaft_wire::{JobId, LogFilter};
use serde::de::IgnoredAny;

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
    #[arg(long, value_name = "WHEN", value_parser = when, conflicts_with = "follow")]
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
            filter.level = Some(level.ok_or_else(|| wrong(word, value, |_| true, LEVELS))?);
        }
        "text" => filter.texts.push(value.into()),
        "job" => {
            let is_of_id = |char: char| char.is_ascii_hexdigit() || char == '-';
            let job = value.parse::<JobId>().map_err(|_| wrong(word, value, is_of_id, "the id of a job"));
            filter.job = Some(job?);
        }
        "attempt" => {
            let is_of_number = |char: char| char.is_ascii_digit();
            filter.attempt =
                Some(value.parse().map_err(|_| wrong(word, value, is_of_number, "a number from 1"))?);
        }
        "task" => filter.task = Some(value.into()),
        "worker" => filter.worker = Some(value.into()),
        "logger" => filter.logger = Some(value.into()),
        _ => filter.fields.push((name.into(), plain(value).into())),
    }
    Ok(())
}

const LEVELS: &str = "trace, debug, info, warning, error, critical or a number";

/// Objects and arrays as they are kept, without spaces; anything else as it is, since a text may look like a number.
fn plain(value: &str) -> String {
    let is_nested = value.starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(value).is_ok();
    if !is_nested {
        return value.to_owned();
    }
    let (mut is_text, mut is_escaped) = (false, false);
    let is_kept = |char: &char| {
        is_text ^= *char == '"' && !is_escaped;
        is_escaped = *char == '\\' && !is_escaped;
        is_text || !char.is_ascii_whitespace()
    };
    value.chars().filter(is_kept).collect()
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

/// Characters of a word that are shown around what is wrong in it.
const SHOWN: usize = 40;

/// What does not read in a word that ends with `value`: where its first character stands that is none of those that may
/// be in it, or where it begins.
fn wrong(word: &str, value: &str, may_be: impl Fn(char) -> bool, form: &str) -> String {
    let start = word.chars().count() - value.chars().count();
    let at = start + value.chars().position(|char| !may_be(char)).unwrap_or(0);
    format!("{} does not read at character {}: it takes {form}", around(word, at), at + 1)
}

/// The word, or what is around one of its characters.
fn around(word: &str, at: usize) -> String {
    let count = word.chars().count();
    if count <= 2 * SHOWN {
        return word.to_owned();
    }
    let (first, end) = (at.saturating_sub(SHOWN), (at + SHOWN).min(count));
    let shown: String = word.chars().skip(first).take(end - first).collect();
    let dots = |is_cut: bool| if is_cut { "…" } else { "" };
    format!("{}{shown}{}", dots(first > 0), dots(end < count))
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
        // As it is kept: in its order, a text that looks like a number too.
        for (given, kept) in [
            (r#"{"b": "x \" y", "a": [1, 2.50]}"#, r#"{"b":"x \" y","a":[1,2.50]}"#),
            ("1.10", "1.10"),
            ("12e45", "12e45"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("[draft] two", "[draft] two"),
        ] {
            assert_eq!(&*filter(&[&format!("d={given}")]).unwrap().fields[0].1, kept);
        }
        assert_eq!(found.texts, ["404".into(), "status=500".into(), "error".into()]);
    }

    #[test]
    fn what_does_not_read_is_named_with_its_place() {
        let check = |word: &str, expected: &str| {
            let error = filter(&[word]).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        };
        check("level=loud", "level=loud does not read at character 7: it takes trace, debug, ");
        check("job=7", "job=7 does not read at character 5: it takes the id of a job");
        check("attempt=12x4", "attempt=12x4 does not read at character 11: it takes a number from 1");
        check("attempt=", "attempt= does not read at character 9: ");
        let long = format!("attempt={}é{}", "1".repeat(300), "2".repeat(300));
        let (before, after) = ("1".repeat(40), "2".repeat(39));
        check(&long, &format!("…{before}é{after}… does not read at character 309: it takes a number"));
        check(&format!("attempt=x{}", "2".repeat(300)), &format!("attempt=x{after}… does not read at"));
    }
}
