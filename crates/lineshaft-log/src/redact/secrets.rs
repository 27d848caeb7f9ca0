//! What looks like a secret in a text.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::HIDDEN;

struct Patterns {
    url: Regex,
    named: Regex,
    pair: Regex,
    bearer: Regex,
    card: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let compiled = |pattern| Regex::new(pattern).expect("it is a pattern");
    Patterns {
        url: compiled(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*):[^\s/]*@"),
        named: compiled(
            r#"(?ix)(
                (?: password | passwd | passphrase | pwd | secret | token | api[_-]?key | access[_-]?key | credential
                    | \b cv[vc]2? )
                \\? ["']? \s{0,3} [=:] \s{0,3}
            )
            (?: ( [bu]? \\? " ) [^"\\]* ( \\? " ) | ( [bu]? \\? ' ) [^'\\]* ( \\? ' ) | ( \\? ["'] )? [^\s"',;&}\])]+ )"#,
        ),
        pair: compiled(
            r#"(?ix)( ["'] [^"'\s]{0,40}
                (?: password | passwd | passphrase | secret | token | api[_-]?key | access[_-]?key | credential
                    | authorization | cookie )
                ["'] \s{0,3} , \s{0,3} )
            (?: ( [bu]? " ) [^"]* ( " ) | ( [bu]? ' ) [^']* ( ' ) )"#,
        ),
        bearer: compiled(r"(?i)(\bbearer\s+|\bauthorization:\s*\w+\s+)[a-z0-9._~+/=-]{8,}"),
        card: compiled(
            // As they are written mostly before any other way, so that what is behind them is no part of them.
            r"(?x)\b( [3-6][0-9]{3} (?:[\ -][0-9]{4}){3}\b | [3-6][0-9]{12,18}\b | [3-6](?:[\ -]?[0-9]){12,18}\b )
            (?: ( (?:[\ ,;|]{1,3}[0-9]{2}/[0-9]{2,4})? [\ ,;/|]{1,3} ) [0-9]{3,4}\b )?",
        ),
    }
});

/// What a look at the bytes says may be in a text: most texts have none of it, and need no pattern.
#[derive(Default)]
struct Signs {
    at: bool,
    colon: bool,
    equals: bool,
    quote: bool,
    comma: bool,
    digits: usize,
}

pub(super) fn without_secrets(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut signs = Signs::default();
    for byte in text.bytes() {
        match byte {
            b'@' => signs.at = true,
            b':' => signs.colon = true,
            b'=' => signs.equals = true,
            b'"' | b'\'' => signs.quote = true,
            b',' => signs.comma = true,
            b'0'..=b'9' => signs.digits += 1,
            _ => {}
        }
    }
    let patterns = &*PATTERNS;
    let mut text = text;
    if signs.at && signs.colon {
        text = replaced(&patterns.url, text, |found| format!("{}:{HIDDEN}@", &found[1]));
    }
    text = replaced(&patterns.bearer, text, |found| format!("{}{HIDDEN}", &found[1]));
    if signs.colon || signs.equals {
        text = replaced(&patterns.named, text, |found| {
            let quote = |numbers: &[usize]| {
                numbers.iter().find_map(|number| found.get(*number)).map_or("", |quote| quote.as_str())
            };
            format!("{}{}{HIDDEN}{}", &found[1], quote(&[2, 4, 6]), quote(&[3, 5]))
        });
    }
    if signs.quote && signs.comma {
        text = replaced(&patterns.pair, text, |found| {
            let quote = |number: usize| found.get(number).map_or("", |quote| quote.as_str());
            format!("{}{}{}{HIDDEN}{}{}", &found[1], quote(2), quote(4), quote(3), quote(5))
        });
    }
    if signs.digits >= 13 {
        text = replaced(&patterns.card, text, |found| match (shown_card(&found[1]), found.get(2)) {
            // What is behind a card may be the number that is on its back.
            (Some(card), Some(between)) => format!("{card}{}{HIDDEN}", between.as_str()),
            (Some(card), None) => card,
            (None, _) => shown_card(&found[0]).unwrap_or_else(|| found[0].to_owned()),
        });
    }
    text
}

pub(super) fn replaced<'t>(
    pattern: &Regex,
    text: Cow<'t, str>,
    replacement: impl Fn(&Captures<'_>) -> String,
) -> Cow<'t, str> {
    match pattern.replace_all(&text, replacement) {
        Cow::Borrowed(_) => text,
        Cow::Owned(text) => Cow::Owned(text),
    }
}

/// What is shown of the number of a card, or of one with that of its back behind it: the last four digits.
pub(super) fn shown_card(text: &str) -> Option<String> {
    let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>();
    let shown = |digits: &[u8]| format!("{HIDDEN}{}", String::from_utf8_lossy(&digits[digits.len() - 4..]));
    if let Some(end) = text.rfind([' ', '-']) {
        let (card, behind) = (digits(&text[..end]), text.len() - end - 1);
        if matches!(behind, 3 | 4) && is_card(&card) {
            return Some(format!("{}{}{HIDDEN}", shown(&card), &text[end..=end]));
        }
    }
    let card = digits(text);
    is_card(&card).then(|| shown(&card))
}

/// By the check digit of ISO/IEC 7812.
fn is_card(digits: &[u8]) -> bool {
    if !(13..=19).contains(&digits.len()) || !(b'3'..=b'6').contains(&digits[0]) {
        return false;
    }
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0') << (place % 2);
            digit / 10 + digit % 10
        })
        .sum();
    sum.is_multiple_of(10)
}
