//! What must not be read by who reads logs.

mod hiding;
mod named;
mod secrets;

use std::borrow::Cow;
use std::sync::Arc;

use regex::{Captures, Regex, RegexSet, RegexSetBuilder};
use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::record::Record;
use crate::value::Value;
use named::NAME_BYTES_MAX;
use secrets::{password_of_dsn, replaced, shown_card, without_secrets};

/// What stands in the place of what is hidden.
pub const HIDDEN: &str = "***";

/// Names of fields whose values are hidden by default, as regular expressions without case. In a text they are what
/// stands before a `=` or `:`. Names that one of these matches are shown all the same if they begin with `has` or `is`, or
/// end with what says a fact about a secret, such as `length`, `count` or `at`: [`FACTS`].
pub const DEFAULT_KEYS: &[&str] = &[
    "passw",
    "passphrase",
    "passcode",
    "(^|[-_])(pass|pwd)$",
    "^auth$",
    "jwt",
    "secret(s?([^a-z]|$)|key|id|token|access|value)",
    "token$",
    "^tokens$",
    "(access|refresh|auth|api|csrf|session|bearer|device)[-_]?tokens$",
    "(^|[-_])t?otp$",
    "[cx]srf",
    "authorization",
    "api[-_]?key",
    "private[-_]?key",
    "access[-_]?key",
    "(encryption|signing|ssh|master)[-_]?key",
    "credential",
    "cookie",
    "session[-_]?id$",
    "(^|[-_])sid$",
    "card[-_]?number",
    "(^|[-_])(cvv|cvc)2?$",
];

/// Names that say a fact about a secret, and not the secret, as a regular expression.
pub const FACTS: &str = "^(?i:has|is)[-_]|^(has|is)[A-Z]\
    |[-_](?i:length|len|size|count|at|age|changed|expires|expiry|expired|valid|required|enabled|policy|strength)$\
    |(Length|Size|Count|At|Age|Changed|Expires|Expiry|Expired|Valid|Required|Enabled|Policy|Strength)$";

/// How many names of fields are remembered, none that is long; beyond that all begin anew.
const NAMES_MAX: usize = 4_096;

/// Hides values by the names of their fields, and parts of texts that look like secrets: passwords in URLs, what stands
/// behind such names in a text or an option, tokens and private keys that look like such, and numbers of payment cards, of
/// which the last four digits stay.
#[derive(Clone, Debug)]
pub struct Redaction {
    keys: RegexSet,
    /// Which of them are of [`DEFAULT_KEYS`]: those that facts are told from.
    is_usual: Vec<bool>,
    facts: Regex,
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
        let is_usual = keys.iter().map(|key| DEFAULT_KEYS.contains(&key.as_ref())).collect();
        for key in keys {
            Regex::new(key.as_ref()).map_err(|error| wrong(key, &error))?;
        }
        let keys = RegexSetBuilder::new(keys).case_insensitive(true).build().map_err(|error| {
            Error::Pattern { pattern: "all of them".to_owned(), reason: error.to_string() }
        })?;
        let compile = |pattern: &K| Regex::new(pattern.as_ref()).map_err(|error| wrong(pattern, &error));
        let patterns = patterns.iter().map(compile).collect::<Result<_, _>>()?;
        let facts = Regex::new(FACTS).expect("it is a pattern");
        Ok(Self { keys, is_usual, facts, hides_values, patterns, names: FxHashMap::default() })
    }

    /// Hides what is to be hidden in a record.
    pub fn apply(&mut self, record: &mut Record) {
        self.hide_in(&mut record.message);
        if let Some(exception) = &mut record.exception {
            self.hide_in(exception);
        }
        for (key, value) in &mut record.fields {
            self.hide_under(key, value);
            if let Some(shown) = self.hidden_in_name(key) {
                *key = shown.into();
            }
        }
    }

    fn hide_under(&mut self, key: &str, value: &mut Value) {
        let key = bare(key);
        if self.is_secret(key) {
            hide(value);
        } else {
            self.hide_inside(value);
            hide_in_dsn(key, value);
        }
    }

    fn hide_inside(&mut self, value: &mut Value) {
        match value {
            Value::Str(text) => self.hide_in(text),
            Value::List(items) => match &mut items[..] {
                // A pair of a name and a value, as headers are often given.
                [Value::Str(name), paired] if self.is_matched(bare(name).trim_start_matches('-')) => {
                    hide(paired);
                }
                items => self.hide_in_items(items),
            },
            Value::Map(items) => {
                for (key, item) in items {
                    self.hide_under(key, item);
                    if let Some(shown) = self.hidden_in_name(key) {
                        *key = shown.into();
                    }
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

    /// What comes after an option of a program that says it is hidden, as in `["prog", "--password", "x"]`.
    fn hide_in_items(&mut self, items: &mut [Value]) {
        let mut is_next = false;
        for item in items {
            if is_next {
                hide(item);
                is_next = false;
                continue;
            }
            is_next = match item {
                Value::Str(option) => bare(option)
                    .strip_prefix("--")
                    .is_some_and(|name| !name.contains('=') && self.is_matched(name)),
                _ => false,
            };
            self.hide_inside(item);
        }
    }

    fn is_secret(&mut self, key: &str) -> bool {
        if let Some(known) = self.names.get(key) {
            return *known;
        }
        let is_secret = self.is_matched(key);
        if key.len() > NAME_BYTES_MAX {
            return is_secret;
        }
        // Names in texts may be any.
        if self.names.len() >= NAMES_MAX {
            self.names.clear();
        }
        self.names.insert(key.into(), is_secret);
        is_secret
    }

    fn is_matched(&self, name: &str) -> bool {
        let mut matches = self.keys.matches(name).into_iter().peekable();
        let is_matched = matches.peek().is_some();
        is_matched && (matches.any(|number| !self.is_usual[number]) || !self.facts.is_match(name))
    }

    fn hide_in(&mut self, text: &mut Box<str>) {
        if let Some(shown) = self.hidden_in(text) {
            *text = shown.into();
        }
    }

    /// The key of a dict may be anything. One that may be a name of something, as most are, is not looked at.
    fn hidden_in_name(&mut self, name: &str) -> Option<String> {
        let is_of_name = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-' | b'.');
        let is_plain = self.patterns.is_empty() && name.bytes().all(is_of_name);
        if is_plain { None } else { self.hidden_in(name) }
    }

    fn hidden_in(&mut self, text: &str) -> Option<String> {
        let mut shown = Cow::Borrowed(text);
        if self.hides_values {
            shown = without_secrets(shown, |name| self.is_secret(name));
        }
        for pattern in &self.patterns {
            shown = replaced(pattern, shown, |_: &Captures<'_>| HIDDEN.to_owned());
        }
        match shown {
            Cow::Owned(shown) => Some(shown),
            Cow::Borrowed(_) => None,
        }
    }
}

impl Default for Redaction {
    fn default() -> Self {
        Self::new(DEFAULT_KEYS, &[], true).expect("they are patterns")
    }
}

/// A name without the quotes that Python shows it in if it is bytes, or a text of a class of its own: `b'token'`.
fn bare(name: &str) -> &str {
    let quoted = name.strip_prefix('b').unwrap_or(name);
    let inside = |quote: char| quoted.strip_prefix(quote)?.strip_suffix(quote);
    inside('\'').or_else(|| inside('"')).unwrap_or(name)
}

/// Of a DSN only the password is secret; where it is a URL, that is hidden already.
fn hide_in_dsn(key: &str, value: &mut Value) {
    if let Value::Str(text) = value
        && key.len() >= 3
        && key.as_bytes()[key.len() - 3..].eq_ignore_ascii_case(b"dsn")
        && let Some(shown) = password_of_dsn(text)
    {
        *text = shown.into();
    }
}

fn hide(value: &mut Value) {
    if *value != Value::Null {
        *value = Value::from(HIDDEN);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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

    /// They were shown: in texts fewer names were known than of fields, and quotes ended at the first that was escaped.
    #[test]
    fn what_is_hidden_in_fields_is_hidden_in_texts() {
        for name in [
            "SECRET_KEY",
            "passwords",
            "cookies",
            "session_id",
            "pass",
            "user_pass",
            "otp",
            "sid",
            "tokens",
            "passcode",
            "encryption_key",
            "signing_key",
            "ssh_key",
            "csrf",
            "x-api-key",
            "clientSecret",
            "jwt",
            "auth",
        ] {
            check(&format!("with {name}=S3CRET and"), &format!("with {name}=*** and"));
            check(&format!("{{\"{name}\": \"S3CRET\"}}"), &format!("{{\"{name}\": \"***\"}}"));
            check(&format!("run --{name} S3CRET now"), &format!("run --{name} *** now"));
            let mut record = sample(Level::INFO, "app", "x", &[(name, Value::from("S3CRET"))]);
            Redaction::default().apply(&mut record);
            assert_eq!(record.field(name), Some(&Value::from(HIDDEN)), "{name}");
        }
        check(r#"{"password":"a\"bSECRET", "a": 1}"#, r#"{"password":"***", "a": 1}"#);
        check(r"password='it\'s SECRET' x", "password='***' x");
        check(r#"{\"password\": \"a\\\"bSECRET\", \"a\": 1}"#, r#"{\"password\": \"***\", \"a\": 1}"#);
        check("passwords=['a', 'b'] x=1", "passwords=*** x=1");
        check("token := 'x', secret => \"y\"", "token := '***', secret => \"***\"");
        check("['prog', '--password', 'SECRET']", "['prog', '--password', '***']");
        check("prog --password 'a b' --user ada", "prog --password '***' --user ada");
        check("prog --password=abc --token -x", "prog --password=*** --token -x");
    }

    #[test]
    fn headers_are_hidden_to_their_end() {
        check("Cookie: a=SECRET; b=SECRET\nHost: x", "Cookie: ***\nHost: x");
        check("Set-Cookie: a=SECRET; Path=/", "Set-Cookie: ***");
        check("-H 'Cookie: a=1; b=2' https://x.org", "-H 'Cookie: ***' https://x.org");
        check("Authorization: Digest username=\"a\", response=\"SECRET\"", "Authorization: Digest ***");
        check("Proxy-Authorization: Negotiate SECRET", "Proxy-Authorization: Negotiate ***");
        check("Authorization: Basic YWRhOmFkYQ== was sent", "Authorization: Basic *** was sent");
    }

    /// The key was shown, as what came after it was taken for it.
    #[test]
    fn an_authorization_need_not_have_a_scheme() {
        check("authorization=SECRET status=200", "authorization=*** status=200");
        check("Authorization: SECRET sent", "Authorization: *** sent");
        check("Authorization: ApiKey SECRET sent", "Authorization: ApiKey *** sent");
        check("Authorization: Unknown id=\"a\", mac=\"SECRET\"", "Authorization: ***");
        check("Authorization: Unknown S3CRET", "Authorization: ***");
        check(
            "Authorization: AWS4-HMAC-SHA256 Credential=a, Signature=SECRET",
            "Authorization: AWS4-HMAC-SHA256 ***",
        );
        check("headers['Authorization'] = Basic SECRET", "headers['Authorization'] = Basic ***");
    }

    /// A number before the name, what the value is wrapped in and brackets around the name had it shown.
    #[test]
    fn values_are_hidden_however_they_are_written() {
        check("user 42 password: hunter2", "user 42 password: ***");
        check("retry 3 token: abc", "retry 3 token: ***");
        check("password: Some(\"hunter2\") x", "password: *** x");
        check("(token=Token('abc'), a=1)", "(token=***, a=1)");
        check("password=ab(cd)ef x", "password=*** x");
        check("user[password]=hunter2&a=1", "user[password]=***&a=1");
        check("os.environ[\"SECRET_KEY\"] = \"x\"", "os.environ[\"SECRET_KEY\"] = \"***\"");
        check("config['token']='x'", "config['token']='***'");
        let names = [
            "password",
            "password      ",
            "user 42 token",
            "user[password]",
            "a[b][api_key]",
            "config['token']",
            "x[\"SECRET_KEY\"]",
            "tokens[]",
            "authorization",
            "Proxy-Authorization",
            "h['Authorization']",
            "cookie",
            "'jwt'",
            "\"otp\"",
            "\\\"secret\\\"",
        ];
        let values = [
            "S3CRET",
            "\"S3CRET\"",
            "'S3CRET'",
            "\\\"S3CRET\\\"",
            "b'S3CRET'",
            "rb'S3CRET'",
            "r\"a S3CRET\"",
            "Some(\"S3CRET\")",
            "Some(Some(S3CRET))",
            "Token('S3CRET')",
            "Secret(value='a S3CRET')",
            "Secret { value: \"S3CRET\" }",
            "['a', 'S3CRET']",
            "{\"a\": \"S3CRET\"}",
            "ab(c)S3CRET",
            "<S3CRET>",
        ];
        let behind = [
            "",
            " status=200",
            " sent",
            " Sent 200",
            ", a=1",
            "; b=2",
            ")",
            "}",
            "]",
            "\n",
            "\"",
            "'",
            "&c=3",
        ];
        let mut redaction = Redaction::default();
        for name in names {
            for sign in
                ["=", ": ", ":", " = ", " := ", " => ", "  :  ", ":      ", " \t   = \t    ", ":\n        "]
            {
                for value in values {
                    for behind in behind {
                        for before in ["", "with ", "{", "GET /?"] {
                            let text = format!("{before}{name}{sign}{value}{behind}");
                            let mut record = sample(Level::INFO, "app", &text, &[]);
                            redaction.apply(&mut record);
                            assert!(!record.message.contains("S3CRET"), "{text} is {}", record.message);
                        }
                    }
                }
            }
        }
    }

    /// With more than three blanks on a side of the sign they were shown.
    #[test]
    fn values_are_hidden_however_far_they_stand_from_their_names() {
        check("password:      hunter2 x", "password:      *** x");
        check("password      = hunter2", "password      = ***");
        check("token\t\t\t\t:\t\t\t\tabc", "token\t\t\t\t:\t\t\t\t***");
        check("password:\r\n          hunter2", "password:\r\n          ***");
        check("('token',         'abc')", "('token',         '***')");
        check("Authorization:      Basic      YWRh", "Authorization:      Basic      ***");
        check(&format!("pwd:{}x", " ".repeat(5_000)), &format!("pwd:{}***", " ".repeat(5_000)));
        check("the password:\n\n\n\nWelcome", "the password:\n\n\n\nWelcome");
    }

    /// They were shown.
    #[test]
    fn names_of_parameters_may_be_encoded() {
        check("GET /?user%5Bauth%5D=S3CRET&a=1", "GET /?user%5Bauth%5D=***&a=1");
        check("user%5bauth%5d=S3CRET", "user%5bauth%5d=***");
        check("a%5Bb%5D%5Bapi_key%5D=S3CRET", "a%5Bb%5D%5Bapi_key%5D=***");
        check("user[%61uth]=S3CRET x", "user[%61uth]=*** x");
        check("tokens%5B%5D=S3CRET&a=1", "tokens%5B%5D=***&a=1");
        check("user%5B%22otp%22%5D=S3CRET", "user%5B%22otp%22%5D=***");
        check("?%70%61%73%73%77%6F%72%64=S3CRET", "?%70%61%73%73%77%6F%72%64=***");
        check("a=1&p%61ss=a%20S3CRET&b=2", "a=1&p%61ss=***&b=2");
        check("/?a=1&s%69g=S3CRET", "/?a=1&s%69g=***");
        check("password=a]%70wd=S3CRET", "password=***]%70wd=***");
        let long = "%61".repeat(100_000);
        check(&format!("{long}%5Btoken%5D=S3CRET"), &format!("{long}%5Btoken%5D=***"));
        for text in
            ["user%5Bname%5D=ada", "100%=x", "%5Bauth%5D=x", "%=%2=%zz=%C3%A4=", "?p%61ge=2", "p%61ssed=1"]
        {
            check(text, text);
        }
    }

    /// Names of any length were remembered.
    #[test]
    fn long_names_are_not_remembered() {
        let long = "x".repeat(100_000);
        let text = format!("run --{long} x {long}=x --{long}-token S3CRET");
        let mut record = sample(Level::INFO, "app", &text, &[(&*format!("{long}token"), "S3CRET".into())]);
        let mut redaction = Redaction::default();
        redaction.apply(&mut record);
        assert!(redaction.names.keys().all(|name| name.len() <= NAME_BYTES_MAX));
        assert!(record.message.ends_with("-token ***"));
        assert_eq!(record.fields[0].1, Value::from(HIDDEN));
    }

    #[test]
    fn secrets_of_urls_are_hidden() {
        check("https://TOKEN@github.com/a/b", "https://***@github.com/a/b");
        check("git+https://TOKEN:x-oauth-basic@github.com/a", "git+https://***:x-oauth-basic@github.com/a");
        check("ssh://git@github.com/a", "ssh://git@github.com/a");
        check("postgres://ada:a/b@db/shop", "postgres://ada:***@db/shop");
        check("redis://:swordfish@db", "redis://:***@db");
        check(
            "https://x.org/?X-Amz-Signature=ab1&b=2&sig=c",
            "https://x.org/?X-Amz-Signature=***&b=2&sig=***",
        );
        check("https://x.org/?Signature=ab1", "https://x.org/?Signature=***");
    }

    #[test]
    fn some_secrets_are_known_by_their_looks() {
        for secret in [
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "ghp_0123456789abcdefghij0123456789abcdef",
            "github_pat_0123456789abcdefghij_0123",
            "sk_live_0123456789abcdef",
            "xoxb-1234567890-abcdef",
            "AKIAIOSFODNN7EXAMPLE",
        ] {
            check(&format!("sent {secret} to x"), "sent *** to x");
        }
        check(
            "x -----BEGIN RSA PRIVATE KEY-----\nMIIE\nAB==\n-----END RSA PRIVATE KEY----- y",
            "x -----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY----- y",
        );
    }

    #[test]
    fn facts_about_secrets_are_shown() {
        for name in [
            "secretary",
            "password_length",
            "has_password",
            "password_changed_at",
            "hasPassword",
            "max_tokens",
            "is_secret",
        ] {
            check(&format!("{name}=12 x"), &format!("{name}=12 x"));
            let mut record = sample(Level::INFO, "app", "x", &[(name, Value::from("12"))]);
            Redaction::default().apply(&mut record);
            assert_eq!(record.field(name), Some(&Value::from("12")), "{name}");
        }
        let mut own = Redaction::new(&["^password_length$"], &[], true).expect("patterns");
        let mut record = sample(Level::INFO, "app", "x", &[("password_length", Value::from(12))]);
        own.apply(&mut record);
        assert_eq!(
            record.field("password_length"),
            Some(&Value::from(HIDDEN)),
            "one's own keys are as they are"
        );
    }

    #[test]
    fn options_in_lists_and_dsns_are_hidden() {
        let list = |items: &[&str]| Value::List(items.iter().map(|item| Value::from(*item)).collect());
        let fields = [
            ("command", list(&["prog", "--password", "SECRET", "--user", "ada"])),
            ("dsn", Value::from("ada:SECRET@tcp(db)/shop")),
            ("sentry_dsn", Value::from("https://SECRET@sentry.io/1")),
        ];
        let mut record = sample(Level::INFO, "app", "x", &fields);
        Redaction::default().apply(&mut record);
        let shown: Vec<String> = record.fields.iter().map(|(_, value)| value.to_string()).collect();
        let command = r#"["prog","--password","***","--user","ada"]"#;
        assert_eq!(shown, [command, "ada:***@tcp(db)/shop", "https://***@sentry.io/1"]);
    }

    #[test]
    fn what_does_not_look_like_one_stays() {
        for text in [
            "lineshaft::secret::of and tests/secrets.py:12",
            "at 12:30:05, eyJust a -- dash",
            "mail to ada@example.org at 12:30",
            "order 4111111111111112 of 12345678901234567",
            "http://localhost:8000/a@b",
            "the bearer of news",
            "12 tokens: fine",
            "[auth]: ada is in",
            "a[1]=2 b['c']=3",
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

    /// As Python shows them they end with a quote, which no name of a secret does.
    #[test]
    fn names_may_be_bytes() {
        let pair = |name: &str, value: Value| Value::List(vec![name.into(), value]);
        let map = |key: &str| Value::Map(vec![(key.into(), "S3CRET".into()), ("b'ok'".into(), 1.into())]);
        let fields = [
            ("headers", Value::List(vec![pair("b'x-vault-token'", "b'S3CRET'".into())])),
            ("single", map("b'token'")),
            ("double", map("b\"auth\"")),
            ("text", map("'sid'")),
            ("b'otp'", Value::from("S3CRET")),
            ("b'db_dsn'", Value::from("ada:S3CRET@tcp(db)/shop")),
            ("command", Value::List(vec!["b'--password'".into(), "b'S3CRET'".into(), "b'x'".into()])),
        ];
        let mut record = sample(Level::INFO, "app", "x", &fields);
        Redaction::default().apply(&mut record);
        let shown: Vec<String> = record.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            shown,
            [
                r#"headers=[["b'x-vault-token'","***"]]"#,
                r#"single={"b'token'":"***","b'ok'":1}"#,
                r#"double={"b\"auth\"":"***","b'ok'":1}"#,
                r#"text={"'sid'":"***","b'ok'":1}"#,
                "b'otp'=***",
                "b'db_dsn'=ada:***@tcp(db)/shop",
                r#"command=["b'--password'","***","b'x'"]"#,
            ]
        );
    }

    /// Only values were looked at.
    #[test]
    fn secrets_in_names_are_hidden() {
        let card = "4111 1111 1111 1111";
        let inner = vec![
            ("postgres://ada:swordfish@db/shop".into(), Value::from(5)),
            ("ghp_0123456789abcdefghij0123456789abcdef".into(), Value::from(6)),
            (card.into(), Value::from(7)),
            ("https://x.org/?token=S3CRET".into(), Value::from(8)),
            ("job_count".into(), Value::from(9)),
        ];
        let fields = [
            ("pools", Value::Map(inner)),
            ("redis://:swordfish@db", Value::from(1)),
            ("user_2", Value::from(2)),
        ];
        let mut record = sample(Level::INFO, "app", "x", &fields);
        Redaction::default().apply(&mut record);
        let shown: Vec<String> = record.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let pools = r#"pools={"postgres://ada:***@db/shop":5,"***":6,"***1111":7,"https://x.org/?token=***":8,"job_count":9}"#;
        assert_eq!(shown, [pools, "redis://:***@db=1", "user_2=2"]);
        let mut own = Redaction::new(&[], &["swordfish"], false).expect("patterns");
        let mut record = sample(Level::INFO, "app", "x", &[("swordfish_7", Value::from(1))]);
        own.apply(&mut record);
        assert_eq!(&*record.fields[0].0, "***_7");
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

    /// The least of a few times that it took to hide what is in a text of so many parts.
    fn time_of(part: &str, bytes: usize) -> Duration {
        let text = part.repeat(bytes / part.len()) + " @ --";
        let mut redaction = Redaction::default();
        let times = (0..3).map(|_| {
            let mut record = sample(Level::INFO, "app", &text, &[]);
            let began = Instant::now();
            redaction.apply(&mut record);
            began.elapsed()
        });
        times.min().expect("some")
    }

    /// Of each URL the rest of the text was looked through, and of what begins as a JWT the rest of its word: 32 times the
    /// text took a thousand times as long.
    #[test]
    fn a_long_text_takes_no_longer_than_its_parts() {
        for part in [
            "://",
            "://a:b/",
            r#"{"url":"https://example.org:80/a/b","name":"c"},"#,
            r#"{"url":"https://example.org:x/a/b","name":"c"},"#,
            "https://ada:swordfish@example.org/",
            "eyJaaaa-ghp_0123456789abcdef-",
            "eyJaaaa.eyJaaaa-",
            "ghp_0123456789abcdef.eyJaaaa-",
            "xoxb-eyJaaaa.",
            "password:(",
            "--",
            "\\\"token\\\", '",
            "user[password]=Some(",
            "password:",
            "password:                                                                  ",
            "%61=",
            "%5Bauth%5D",
            "authorization=x (",
            "authorization=x {",
            "authorization=x \"",
            "authorization: x (",
            "authorization: x ",
            "cookie=x (",
        ] {
            let (short, long) = (time_of(part, 8 << 10), time_of(part, 256 << 10));
            assert!(long < short * 200 + Duration::from_millis(100), "{part}: {short:?}, then {long:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_comes_through(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "password", "token", "Cookie", "Authorization", "=", ":", ": ", "\"", "'", "\\", ",", " ", "--", "[", "]", "{",
                "ä", "x", "://", "@", "/", "bearer ", "b'", "\n", "eyJ", "7", ";",
                "(", ")", "}", "[]", "S {", "Basic ", ".", "      ", "%5B", "%5d", "%61uth", "%", "&",
            ]), 0..24)
        ) {
            let mut record = sample(Level::INFO, "app", &parts.concat(), &[]);
            let mut redaction = Redaction::default();
            redaction.apply(&mut record);
            let shown = record.message.len();
            redaction.apply(&mut record);
            proptest::prop_assert!(record.message.len() <= shown + 64);
        }
    }
}
