//! What looks like a secret in a text.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::HIDDEN;
use super::hiding::Hiding;
use super::named::{without_options, without_values};

struct Patterns {
    marks: Regex,
    bearer: Regex,
    jwt: Regex,
    known: Regex,
    key: Regex,
    card: Regex,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let compiled = |pattern| Regex::new(pattern).expect("it is a pattern");
    Patterns {
        // Literals, so that a text is looked through with the widest instructions there are.
        marks: compiled(
            "[Bb]earer|BEARER|gh[pousr]_|github_pat_|[sr]k_live_|[sr]k_test_|xox[abeoprs]-|glpat-|AKIA|ASIA|eyJ",
        ),
        bearer: compiled(r"(?i)(\bbearer\s+)[a-z0-9._~+/=-]{8,}"),
        // Apart from the others: until it is known whether one begins here, none of those behind it counts, and each
        // of many in one word would have the rest of that word read again.
        jwt: compiled(r"\beyJ[A-Za-z0-9_-]{4,}\.eyJ[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*"),
        known: compiled(
            r"(?x) \b (?: gh[pousr]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{16,} | [sr]k_(?:live|test)_[A-Za-z0-9]{8,}
                | xox[abeoprs]-[A-Za-z0-9-]{8,} | glpat-[A-Za-z0-9_-]{16,} | A[KS]IA[A-Z0-9]{16}\b )",
        ),
        key: compiled(
            r"(?s)(-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----).*?(-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\z)",
        ),
        card: compiled(
            // As they are written mostly before any other way, so that what is behind them is no part of them.
            r"(?x)\b( [3-6][0-9]{3} (?:[\ -][0-9]{4}){3}\b | [3-6][0-9]{12,18}\b | [3-6](?:[\ -]?[0-9]){12,18}\b )
            (?: ( (?:[\ ,;|]{1,3}[0-9]{2}/[0-9]{2,4})? [\ ,;/|]{1,3} ) [0-9]{3,4}\b )?",
        ),
    }
});

/// What a look at the bytes says may be in a text: most texts have none of it, and need no pattern.
mod sign {
    pub(super) const AT: u8 = 1;
    pub(super) const COLON: u8 = 2;
    pub(super) const EQUALS: u8 = 4;
    pub(super) const QUOTE: u8 = 8;
    pub(super) const COMMA: u8 = 16;
    pub(super) const DASH: u8 = 32;
}

/// Without branches and tables, so that it is done for many bytes at once.
fn sign_of(byte: u8) -> u8 {
    let is = |known: u8, sign: u8| u8::from(byte == known).wrapping_neg() & sign;
    is(b'@', sign::AT)
        | is(b':', sign::COLON)
        | is(b'=', sign::EQUALS)
        | is(b'"', sign::QUOTE)
        | is(b'\'', sign::QUOTE)
        | is(b',', sign::COMMA)
        | is(b'-', sign::DASH)
}

/// `asks` says whether the value of a name is hidden.
pub(super) fn without_secrets(text: Cow<'_, str>, mut asks: impl FnMut(&str) -> bool) -> Cow<'_, str> {
    let signs = text.bytes().fold(0, |signs, byte| signs | sign_of(byte));
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let has = |all: u8| signs & all == all;
    let patterns = &*PATTERNS;
    let mut text = text;
    if has(sign::AT | sign::COLON) {
        text = without_passwords(text);
    }
    if has(sign::DASH) && memchr::memmem::find(text.as_bytes(), b"--").is_some() {
        text = replaced(&patterns.key, text, |found| format!("{}{HIDDEN}{}", &found[1], &found[2]));
        text = without_options(text, &mut asks);
    }
    if patterns.marks.is_match(&text) {
        text = replaced(&patterns.bearer, text, |found| format!("{}{HIDDEN}", &found[1]));
        text = replaced(&patterns.jwt, text, |_| HIDDEN.to_owned());
        text = replaced(&patterns.known, text, |_| HIDDEN.to_owned());
    }
    if signs & (sign::COLON | sign::EQUALS) != 0 || has(sign::QUOTE | sign::COMMA) {
        text = without_values(text, &mut asks);
    }
    if digits >= 13 {
        text = replaced(&patterns.card, text, |found| match (shown_card(&found[1]), found.get(2)) {
            // What is behind a card may be the number that is on its back.
            (Some(card), Some(between)) => format!("{card}{}{HIDDEN}", between.as_str()),
            (Some(card), None) => card,
            (None, _) => shown_card(&found[0]).unwrap_or_else(|| found[0].to_owned()),
        });
    }
    text
}

/// Hides the passwords in URLs, and the users of those with `http` that have no password: they are tokens.
fn without_passwords(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut hiding = Hiding::of(&text);
    let mut ats = Ats { text: &text, found: 0..0 };
    for at in memchr::memmem::find_iter(text.as_bytes(), "://") {
        let start = at + 3;
        if !hiding.is_open(start) {
            continue;
        }
        // No longer than to the next URL, whose slashes end it.
        let is_end = |sign: char| sign.is_whitespace() || matches!(sign, '/' | '?' | '#' | '"' | '\'' | ',');
        let authority = start..text[start..].find(is_end).map_or(text.len(), |end| start + end);
        let is_http = text[..at].ends_with("http") || text[..at].ends_with("https");
        if let Some(secret) = secret_of(&mut ats, authority, is_http) {
            hiding.hide(secret);
        }
    }
    hiding.finish().map_or(text, Cow::Owned)
}

fn secret_of(ats: &mut Ats<'_>, authority: Range<usize>, is_http: bool) -> Option<Range<usize>> {
    let (text, start) = (ats.text, authority.start);
    let authority = &text[authority];
    let colon = authority.find(':').map(|colon| start + colon);
    // A password may have signs in it that should have been written otherwise: `u:a/b@host`. Not so the port of a host.
    let is_port =
        colon.is_some_and(|colon| authority[colon + 1 - start..].bytes().all(|byte| byte.is_ascii_digit()));
    let end = match authority.rfind('@') {
        Some(end) => start + end,
        None if colon.is_some() && !is_port && !authority.starts_with('[') => ats.next(start)?,
        None => return None,
    };
    match colon.filter(|colon| *colon < end) {
        Some(colon) if is_http && matches!(&text[colon + 1..end], "" | "x-oauth-basic") => Some(start..colon),
        Some(colon) => Some(colon + 1..end),
        None if is_http && end > start => Some(start..end),
        None => None,
    }
}

/// Finds `@` in words; what was looked through is not looked through again.
struct Ats<'t> {
    text: &'t str,
    /// From where it was looked last, to the `@` or white space that is next.
    found: Range<usize>,
}

impl Ats<'_> {
    /// The next one of the word that goes on here.
    fn next(&mut self, at: usize) -> Option<usize> {
        if !self.found.contains(&at) {
            let is_end = |sign: char| sign == '@' || sign.is_whitespace();
            self.found = at..self.text[at..].find(is_end).map_or(self.text.len(), |end| at + end);
        }
        self.text[self.found.end..].starts_with('@').then_some(self.found.end)
    }
}

/// What is hidden of a DSN without a scheme, as `ada:swordfish@tcp(db)/shop`.
pub(super) fn password_of_dsn(text: &str) -> Option<String> {
    let (user, rest) = text.split_once(':')?;
    let end = rest.rfind('@')?;
    let is_plain = !rest.starts_with("//") && !user.contains(['/', '@', ' ', '=']);
    is_plain.then(|| format!("{user}:{HIDDEN}{}", &rest[end..]))
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
