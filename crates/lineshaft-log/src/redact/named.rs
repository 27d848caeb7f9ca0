//! Values in a text that stand behind a name: `password=x`, `"token": "x"`, `('cookie', 'x')`, `--password x`.
//!
//! It is looked for the signs between name and value, which are few, and not for names: so these may be whatever the
//! names of fields may be.

use std::borrow::Cow;
use std::ops::Range;

use super::hiding::Hiding;

/// So much of a name is looked at.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// Spaces before and behind the sign.
const SPACES_MAX: usize = 3;

/// Hides values whose names are secret; `asks` is for a name of a field, and takes the most time.
pub(super) fn without_values(text: Cow<'_, str>, mut asks: impl FnMut(&str) -> bool) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut hiding = Hiding::of(&text);
    for at in memchr::memchr3_iter(b':', b'=', b',', bytes) {
        if !hiding.is_open(at) {
            continue;
        }
        let Some((name, is_quoted)) = name_before(&text, at).filter(|(name, _)| hiding.is_open(name.start))
        else {
            continue;
        };
        let is_query = bytes[at] == b'=' && name.start > 0 && matches!(bytes[name.start - 1], b'?' | b'&');
        let called = text[name.clone()].trim_start_matches('-');
        if !(asks(called) || (is_query && is_signature(called))) {
            continue;
        }
        let value = match (bytes[at], is_quoted) {
            (b',', true) => quoted_item(bytes, at + 1),
            (b',', false) => None,
            _ => value_behind(bytes, at),
        };
        let Some(value) = value else { continue };
        let has_quotes = matches!(bytes[value.start.saturating_sub(1)], b'"' | b'\'');
        hiding.hide(if has_quotes { value } else { header(&text, called, name.start, at, value) });
    }
    hiding.finish().map_or(text, Cow::Owned)
}

/// Hides the words behind options of programs.
pub(super) fn without_options(text: Cow<'_, str>, mut asks: impl FnMut(&str) -> bool) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut hiding = Hiding::of(&text);
    for at in memchr::memmem::find_iter(bytes, "--") {
        if !hiding.is_open(at) || (at > 0 && !bytes[at - 1].is_ascii_whitespace()) {
            continue;
        }
        let name = at + 2..end_of(bytes, at + 2, is_of_name);
        let value = end_of(bytes, name.end, |byte| matches!(byte, b' ' | b'\t'));
        if value == name.end || name.is_empty() || matches!(bytes.get(value), None | Some(b'-')) {
            continue;
        }
        let name = name.start.max(name.end.saturating_sub(NAME_BYTES_MAX))..name.end;
        if asks(&text[name]) {
            hiding.hide(value_at(bytes, value));
        }
    }
    hiding.finish().map_or(text, Cow::Owned)
}

/// The parameters of URLs that are signed.
fn is_signature(name: &str) -> bool {
    let end = name.rfind(['-', '_']).map_or(0, |at| at + 1);
    ["signature", "sig"].iter().any(|known| name[end..].eq_ignore_ascii_case(known))
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The name that ends before a sign, perhaps in quotes, and whether it is. It may be a key in brackets.
fn name_before(text: &str, sign: usize) -> Option<(Range<usize>, bool)> {
    let bytes = text.as_bytes();
    let mut end = sign;
    while end > 0 && sign - end < SPACES_MAX && matches!(bytes[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    // As in `tokens[]=x`.
    end -= if bytes[..end].ends_with(b"[]") { 2 } else { 0 };
    let is_key = bytes[..end].ends_with(b"]");
    end -= usize::from(is_key);
    let is_quoted = end > 0 && matches!(bytes[end - 1], b'"' | b'\'');
    if is_quoted {
        end -= 1;
        while end > 0 && bytes[end - 1] == b'\\' {
            end -= 1;
        }
    } else if bytes[sign] == b',' {
        return None;
    }
    let least = end.saturating_sub(NAME_BYTES_MAX);
    let mut start = end;
    while start > least && is_of_name(bytes[start - 1]) {
        start -= 1;
    }
    let name = &bytes[start..end];
    // What has no letters, as times do not, need not be asked for; two have no name of a secret.
    if name.len() < 3 || !name.iter().any(u8::is_ascii_alphabetic) {
        return None;
    }
    if bytes[sign] == b',' && !bytes[..start].ends_with(b"\"") && !bytes[..start].ends_with(b"'") {
        return None;
    }
    // "[auth]: ..." says who logs, and is no key of something.
    if is_key
        && !is_quoted
        && !(start > 1 && bytes[start - 1] == b'[' && !bytes[start - 2].is_ascii_whitespace())
    {
        return None;
    }
    // "12 tokens: ..." counts some.
    let is_plural = name.ends_with(b"s") && !name.ends_with(b"ss");
    let is_count = is_plural
        && bytes[sign] == b':'
        && start > 1
        && bytes[start - 1] == b' '
        && bytes[start - 2].is_ascii_digit();
    (!is_count).then_some((start..end, is_quoted))
}

/// The value behind the sign.
fn value_behind(bytes: &[u8], sign: usize) -> Option<Range<usize>> {
    let mut at = sign + 1;
    match (bytes[sign], bytes.get(at)) {
        (b':', Some(b':')) => return None,
        (b':', _) if sign > 0 && bytes[sign - 1] == b':' => return None,
        (b':', Some(b'/')) if bytes.get(at + 1) == Some(&b'/') => return None,
        (b':', Some(b'=')) | (b'=', Some(b'=' | b'>')) => at += 1,
        _ => {}
    }
    let at = end_of(&bytes[..bytes.len().min(at + SPACES_MAX)], at, |byte| byte.is_ascii_whitespace());
    let value = value_at(bytes, at);
    (!value.is_empty()).then_some(value)
}

/// The text in quotes that comes next.
fn quoted_item(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let at = end_of(&bytes[..bytes.len().min(at + SPACES_MAX)], at, |byte| byte.is_ascii_whitespace());
    let (inside, end) = quote_at(bytes, at)?;
    // It is a name itself, of a dict.
    let behind = end_of(bytes, end, |byte| byte == b' ');
    (bytes.get(behind) != Some(&b':')).then_some(inside)
}

/// What is in quotes, or up to where something else begins. Brackets belong to it, with all that is in them:
/// `Some("x")`.
fn value_at(bytes: &[u8], at: usize) -> Range<usize> {
    if let Some((inside, _)) = quote_at(bytes, at) {
        return inside;
    }
    let is_part = |byte: u8| {
        !byte.is_ascii_whitespace()
            && !matches!(byte, b'"' | b'\'' | b',' | b';' | b'&' | b'}' | b']' | b')' | b'[' | b'{' | b'(')
    };
    let mut end = end_of(bytes, at, is_part);
    // As Rust shows a struct: `Secret { value: "x" }`.
    let is_struct = matches!(bytes[end..], [b' ', b'{', space, ..] if space.is_ascii_whitespace());
    if is_struct && bytes[at..end].first().is_some_and(u8::is_ascii_uppercase) {
        end += 1;
    }
    while matches!(bytes.get(end), Some(b'[' | b'{' | b'(')) {
        end = end_of(bytes, end_of_brackets(bytes, end), is_part);
    }
    at..end
}

/// What is inside of the quotes that begin there, perhaps after letters as `b` or `rb` and with backslashes before
/// them.
fn quote_at(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let is_prefix = |byte: u8| matches!(byte.to_ascii_lowercase(), b'b' | b'u' | b'r' | b'f');
    let at = end_of(&bytes[..bytes.len().min(at + 2)], at, is_prefix);
    let open = end_of(bytes, at, |byte| byte == b'\\');
    let (depth, quote) = (open - at, *bytes.get(open)?);
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let start = open + 1;
    let mut from = start;
    while let Some(found) = memchr::memchr(quote, &bytes[from..]).map(|found| found + from) {
        let before = bytes[start..found].iter().rev().take_while(|byte| **byte == b'\\').count();
        // Quotes that are part of the value have more backslashes before them, or, where there are none, an odd number.
        let is_end = if depth == 0 {
            before % 2 == 0
        } else {
            before <= depth || (before - depth) % (2 * (depth + 1)) == 0
        };
        if is_end {
            return Some((start..found - before.min(depth), found + 1));
        }
        from = found + 1;
    }
    Some((start..bytes.len(), bytes.len()))
}

/// Behind the bracket that closes the one that stands there, or the end.
fn end_of_brackets(bytes: &[u8], open: usize) -> usize {
    let (mut depth, mut at) = (0_usize, open);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b'"' | b'\'' => {
                at = quote_at(bytes, at).map_or(at + 1, |(_, end)| end);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// What an `Authorization` begins with, if it does.
const SCHEMES: &[&str] = &[
    "basic",
    "bearer",
    "digest",
    "negotiate",
    "ntlm",
    "token",
    "apikey",
    "api-key",
    "oauth",
    "hawk",
    "dpop",
    "hmac",
    "signature",
    "sharedkey",
    "sharedkeylite",
    "vapid",
    "hoba",
    "mutual",
    "ssws",
    "bot",
    "aws",
    "key",
];

fn is_scheme(word: &str) -> bool {
    let begins = |known: &str| word.get(..known.len()).is_some_and(|start| start.eq_ignore_ascii_case(known));
    SCHEMES.iter().any(|known| word.eq_ignore_ascii_case(known)) || begins("aws4-") || begins("scram-")
}

/// Of headers, the rest of the line belongs to the value: all of a `Cookie`, and what is behind the scheme of an
/// `Authorization`, which stays.
fn header(text: &str, name: &str, name_start: usize, sign: usize, value: Range<usize>) -> Range<usize> {
    let ends_with = |end: &str| {
        name.len() >= end.len()
            && name.as_bytes()[name.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    };
    let bytes = text.as_bytes();
    let quote = name_start.checked_sub(1).map(|at| bytes[at]).filter(|byte| matches!(byte, b'"' | b'\''));
    let line_end =
        |from: usize| end_of(bytes, from, |byte| byte != b'\n' && byte != b'\r' && Some(byte) != quote);
    if ends_with("cookie") {
        return if bytes[value.clone()].contains(&b'=') { value.start..line_end(value.end) } else { value };
    }
    let behind = end_of(bytes, value.end, |byte| matches!(byte, b' ' | b'\t'));
    if !ends_with("authorization") || behind == value.end {
        return value;
    }
    let secret = behind..value_at(bytes, behind).end;
    let has_scheme = is_scheme(&text[value.clone()]);
    // It may be a scheme that is not known, if no plain word is behind it.
    let may_have_scheme = bytes[sign] == b':' && !bytes[secret.clone()].iter().all(u8::is_ascii_lowercase);
    if !has_scheme && !may_have_scheme {
        return value;
    }
    let start = if has_scheme { behind } else { value.start };
    let padded =
        bytes[secret.clone()].iter().rev().skip_while(|byte| **byte == b'=').any(|byte| *byte == b'=');
    start..if padded || bytes.get(secret.end) == Some(&b'"') { line_end(secret.end) } else { secret.end }
}

fn end_of(bytes: &[u8], at: usize, is_part: impl Fn(u8) -> bool) -> usize {
    let at = at.min(bytes.len());
    at + bytes[at..].iter().take_while(|byte| is_part(**byte)).count()
}
