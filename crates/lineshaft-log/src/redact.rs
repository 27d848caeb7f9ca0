//! What must not be read by who reads logs.

mod secrets;

use std::borrow::Cow;
use std::sync::Arc;

use regex::{Captures, Regex, RegexSet, RegexSetBuilder};
use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::record::Record;
use crate::value::Value;
use secrets::{replaced, shown_card, without_secrets};

/// What stands in the place of what is hidden.
pub const HIDDEN: &str = "***";

/// Names of fields whose values are hidden by default, as regular expressions without case.
pub const DEFAULT_KEYS: &[&str] = &[
    "passw",
    "passphrase",
    "(^|[-_])(pass|pwd)$",
    "^auth$",
    "jwt",
    "secret",
    "token$",
    "authorization",
    "api[-_]?key",
    "private[-_]?key",
    "access[-_]?key",
    "credential",
    "cookie",
    "session[-_]?id$",
    "card[-_]?number",
    "(^|[-_])(cvv|cvc)2?$",
];

/// How many names of fields are remembered; beyond that each is compared anew.
const NAMES_MAX: usize = 4_096;

/// Hides values by the names of their fields, and parts of texts that look like secrets: passwords in URLs and after
/// `password=` and the like, bearer tokens, and numbers of payment cards, of which the last four digits stay.
#[derive(Clone, Debug)]
pub struct Redaction {
    keys: RegexSet,
    hides_values: bool,
    patterns: Vec<Regex>,
    /// What was found out about names, since programs use the same ones again and again.
    names: FxHashMap<Arc<str>, bool>,
}

impl Redaction {
    /// Hides the values of fields whose names one of `keys` matches, what `patterns` match anywhere, and, with
    /// `hides_values`, what looks like a secret.
    pub fn new<K: AsRef<str>>(keys: &[K], patterns: &[K], hides_values: bool) -> Result<Self, Error> {
        let wrong = |pattern: &K, error: &regex::Error| Error::Pattern {
            pattern: pattern.as_ref().to_owned(),
            reason: error.to_string(),
        };
        for key in keys {
            Regex::new(key.as_ref()).map_err(|error| wrong(key, &error))?;
        }
        let keys = RegexSetBuilder::new(keys).case_insensitive(true).build().map_err(|error| {
            Error::Pattern { pattern: "all of them".to_owned(), reason: error.to_string() }
        })?;
        let compile = |pattern: &K| Regex::new(pattern.as_ref()).map_err(|error| wrong(pattern, &error));
        let patterns = patterns.iter().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { keys, hides_values, patterns, names: FxHashMap::default() })
    }

    /// Hides what is to be hidden in a record.
    pub fn apply(&mut self, record: &mut Record) {
        self.hide_in(&mut record.message);
        if let Some(exception) = &mut record.exception {
            self.hide_in(exception);
        }
        for (key, value) in &mut record.fields {
            self.hide_under(key, value);
        }
    }

    fn hide_under(&mut self, key: &Arc<str>, value: &mut Value) {
        if self.is_secret(key) { hide(value) } else { self.hide_inside(value) }
    }

    fn hide_inside(&mut self, value: &mut Value) {
        match value {
            Value::Str(text) => self.hide_in(text),
            Value::List(items) => match &mut items[..] {
                // A pair of a name and a value, as headers are often given.
                [Value::Str(name), paired] if self.keys.is_match(name) => hide(paired),
                items => items.iter_mut().for_each(|item| self.hide_inside(item)),
            },
            Value::Map(items) => {
                for (key, item) in items {
                    if self.keys.is_match(key) { hide(item) } else { self.hide_inside(item) }
                }
            }
            Value::Int(number) if self.hides_values => {
                if let Some(shown) = shown_card(&number.to_string()) {
                    *value = shown.into();
                }
            }
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => {}
        }
    }

    fn is_secret(&mut self, key: &Arc<str>) -> bool {
        if let Some(known) = self.names.get(key) {
            return *known;
        }
        let is_secret = self.keys.is_match(key);
        if self.names.len() < NAMES_MAX {
            self.names.insert(key.clone(), is_secret);
        }
        is_secret
    }

    fn hide_in(&self, text: &mut Box<str>) {
        let mut shown = Cow::Borrowed(&**text);
        if self.hides_values {
            shown = without_secrets(shown);
        }
        for pattern in &self.patterns {
            shown = replaced(pattern, shown, |_: &Captures<'_>| HIDDEN.to_owned());
        }
        if let Cow::Owned(shown) = shown {
            *text = shown.into();
        }
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self::new(DEFAULT_KEYS, &[], true).expect("they are patterns")
    }
}

fn hide(value: &mut Value) {
    if *value != Value::Null {
        *value = Value::from(HIDDEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;
    use crate::record::sample;

    fn check(text: &str, expected: &str) {
        let mut record = sample(Level::INFO, "app", text, &[("url", Value::from(text))]);
        Redaction::default().apply(&mut record);
        assert_eq!((&*record.message, record.field("url")), (expected, Some(&Value::from(expected))));
    }

    #[test]
    fn what_looks_like_a_secret_is_hidden() {
        check("postgres://ada:p@ss:word@db/shop", "postgres://ada:***@db/shop");
        check("GET https://x.org/?a=1&api_key=s3cr3t&b=2", "GET https://x.org/?a=1&api_key=***&b=2");
        check("Authorization: Bearer abc.def-123456", "Authorization: Bearer ***");
        check("login with {'password': 'hunter2'} failed", "login with {'password': '***'} failed");
        check("password = 'correct horse' and more", "password = '***' and more");
        check("{'token': b's3cr3t value'}", "{'token': b'***'}");
        check(r#"{\"password\": \"hunter2\", \"a\": 1}"#, r#"{\"password\": \"***\", \"a\": 1}"#);
        check("passphrase  =  hunter2", "passphrase  =  ***");
        check("password=\"hunter2", "password=\"***");
        check("paid by 4111 1111 1111 1111.", "paid by ***1111.");
        check("by 4111 1111 1111 1111 123 today", "by ***1111 *** today");
        check("by 4111111111111111, 1234", "by ***1111, ***");
        check("by 4111-1111-1111-1111 12/28 123.", "by ***1111 12/28 ***.");
        check("cvv: 123, cvc2=4567", "cvv: ***, cvc2=***");
        check(
            "[('Authorization', 'Basic YWRh'), (\"x-token\", b\"a\")]",
            "[('Authorization', '***'), (\"x-token\", b\"***\")]",
        );
    }

    #[test]
    fn what_does_not_look_like_one_stays() {
        for text in [
            "mail to ada@example.org at 12:30",
            "order 4111111111111112 of 12345678901234567",
            "http://localhost:8000/a@b",
            "the bearer of news",
            "12 tokens: fine",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn fields_are_hidden_by_name_however_deep() {
        let inner = Value::Map(vec![("Api-Key".into(), Value::from(1)), ("ok".into(), Value::from(2))]);
        let fields = [
            ("PASSWORD", Value::from("x")),
            ("csrf_token", Value::from(7)),
            ("token_count", Value::from(9)),
            ("secret", Value::Null),
            ("deep", Value::List(vec![inner])),
        ];
        let mut record = sample(Level::INFO, "app", "x", &fields);
        Redaction::default().apply(&mut record);
        assert_eq!(record.field("PASSWORD"), Some(&Value::from(HIDDEN)));
        assert_eq!(record.field("csrf_token"), Some(&Value::from(HIDDEN)));
        assert_eq!(record.field("token_count"), Some(&Value::from(9)));
        assert_eq!(record.field("secret"), Some(&Value::Null));
        assert_eq!(
            record.field("deep").map(ToString::to_string).as_deref(),
            Some(r#"[{"Api-Key":"***","ok":2}]"#)
        );
    }

    #[test]
    fn pairs_are_hidden_by_name_and_numbers_of_cards_as_numbers() {
        let pair = |name: &str, value: Value| Value::List(vec![name.into(), value]);
        let fields = [
            ("headers", Value::List(vec![pair("Authorization", "x".into()), pair("Accept", "y".into())])),
            ("paid_by", Value::Int(4_111_111_111_111_111)),
            ("order", Value::Int(4_111_111_111_111_112)),
            ("card_cvc", Value::Int(123)),
        ];
        let mut record = sample(Level::INFO, "app", "x", &fields);
        Redaction::default().apply(&mut record);
        let shown: Vec<String> = record.fields.iter().map(|(_, value)| value.to_string()).collect();
        let headers = r#"[["Authorization","***"],["Accept","y"]]"#;
        assert_eq!(shown, [headers, "***1111", "4111111111111112", "***"]);
    }

    #[test]
    fn one_can_have_patterns_of_ones_own() {
        let mut redaction = Redaction::new(&["^iban$"], &["DE[0-9]{4,}"], false).expect("patterns");
        let mut record = sample(Level::INFO, "app", "to DE4711 password=x", &[("iban", Value::from("y"))]);
        redaction.apply(&mut record);
        assert_eq!(&*record.message, "to *** password=x");
        assert_eq!(record.field("iban"), Some(&Value::from(HIDDEN)));
        let error = Redaction::new(&["(", "x"], &[], true).expect_err("no pattern");
        assert!(error.to_string().starts_with("pattern \"(\": "), "{error}");
    }
}
