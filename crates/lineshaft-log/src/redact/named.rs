//! Values in a text that stand behind a name: `password=x`, `"token": "x"`, `('cookie', 'x')`, `--password x`.
//!
//! It is looked for the signs between name and value, which are few, and not for names: so these may be whatever the
//! names of fields may be.

use std::borrow::Cow;
use std::ops::Range;

use super::hiding::Hiding;

/// So much of a name is looked at.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// The same where each byte may be three, with brackets.
const ENCODED_BYTES_MAX: usize = 3 * (NAME_BYTES_MAX + 4);
/// Line ends behind the sign, between any number of blanks.
const LINE_ENDS_MAX: usize = 3;

/// A name before a sign.
struct Name<'t> {
    /// Where it begins in the text.
    start: usize,
    /// What it is called, without what is encoded in it.
    called: Cow<'t, str>,
    /// Whether it stands in quotes.
    is_quoted: bool,
}

/// Hides values whose names are secret; `asks` is for a name of a field, and takes the most time.
pub(super) fn without_values(text: Cow<'_, str>, mut asks: impl FnMut(&str) -> bool) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let has_escapes = memchr::memchr(b'%', bytes).is_some();
    let mut hiding = Hiding::of(&text);
    for at in memchr::memchr3_iter(b':', b'=', b',', bytes) {
        if !hiding.is_open(at) {
            continue;
        }
        let mut is_secret = |name: &Name<'_>| {
            let is_query =
                bytes[at] == b'=' && name.start > 0 && matches!(bytes[name.start - 1], b'?' | b'&');
            asks(&name.called) || (is_query && is_signature(&name.called))
        };
        let written = name_before(&text, at).filter(|name| hiding.is_open(name.start));
        let mut name = written.filter(&mut is_secret);
        if name.is_none() && has_escapes && bytes[at] == b'=' {
            name = encoded_name_before(bytes, hiding.open_from(), at).filter(&mut is_secret);
        }
        let Some(name) = name else { continue };
        let value = match (bytes[at], name.is_quoted) {
            (b',', true) => quoted_item(bytes, at + 1),
            (b',', false) => None,
            _ => value_behind(bytes, at),
        };
        let Some(value) = value else { continue };
        let has_quotes = matches!(bytes[value.start.saturating_sub(1)], b'"' | b'\'');
        hiding.hide(if has_quotes { value } else { header(&text, &name, at, value) });
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

/// The name that ends before a sign, perhaps in quotes. It may be a key in brackets.
fn name_before(text: &str, sign: usize) -> Option<Name<'_>> {
    let bytes = text.as_bytes();
    let mut end = sign;
    // None of these is before another sign, too: so a text is not looked through twice, however many they are.
    while end > 0 && matches!(bytes[end - 1], b' ' | b'\t') {
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
    let called = text[start..end].trim_start_matches('-');
    (!is_count).then_some(Name { start, called: called.into(), is_quoted })
}

/// The name of a parameter that ends before a sign, if some of it is encoded as in URLs: `user%5Bauth%5D`. It begins where
/// the parameter does, and not before `open_from`.
fn encoded_name_before(bytes: &[u8], open_from: usize, sign: usize) -> Option<Name<'static>> {
    let is_part = |byte: &u8| is_of_name(*byte) || matches!(byte, b'%' | b'[' | b']');
    let least = open_from.max(sign.saturating_sub(ENCODED_BYTES_MAX));
    let start = sign - bytes[least..sign].iter().rev().take_while(|byte| is_part(byte)).count();
    memchr::memchr(b'%', &bytes[start..sign])?;
    let mut decoded = decoded(&bytes[start..sign]);
    decoded.push('=');
    let name = name_before(&decoded, decoded.len() - 1)?;
    Some(Name { start, called: name.called.into_owned().into(), is_quoted: name.is_quoted })
}

/// A text of which `%41` is an `A`. What is not ASCII is no name, and a `?`.
fn decoded(bytes: &[u8]) -> String {
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut text, mut at) = (String::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let (byte, length) = match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 3),
            (byte, ..) => (byte, 1),
        };
        text.push(if byte.is_ascii() { char::from(byte) } else { '?' });
        at += length;
    }
    text
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
    let value = value_at(bytes, end_of_space(bytes, at));
    (!value.is_empty()).then_some(value)
}

/// Behind the white space that begins there. What comes a few lines further down is no value.
fn end_of_space(bytes: &[u8], at: usize) -> usize {
    let (mut at, mut line_ends) = (at, 0);
    while let Some(byte) = bytes.get(at).filter(|byte| byte.is_ascii_whitespace()) {
        line_ends += usize::from(!matches!(byte, b' ' | b'\t'));
        if line_ends > LINE_ENDS_MAX {
            break;
        }
        at += 1;
    }
    at
}

/// The text in quotes that comes next.
fn quoted_item(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let (inside, end) = quote_at(bytes, end_of_space(bytes, at))?;
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
fn header(text: &str, name: &Name<'_>, sign: usize, value: Range<usize>) -> Range<usize> {
    let called = name.called.as_bytes();
    let ends_with = |end: &str| {
        called.len() >= end.len() && called[called.len() - end.len()..].eq_ignore_ascii_case(end.as_bytes())
    };
    let bytes = text.as_bytes();
    let quote = name.start.checked_sub(1).map(|at| bytes[at]).filter(|byte| matches!(byte, b'"' | b'\''));
    let line_end =
        |from: usize| end_of(bytes, from, |byte| byte != b'\n' && byte != b'\r' && Some(byte) != quote);
    if ends_with("cookie") {
        return if bytes[value.clone()].contains(&b'=') { value.start..line_end(value.end) } else { value };
    }
    let behind = end_of(bytes, value.end, |byte| matches!(byte, b' ' | b'\t'));
    if !ends_with("authorization") || behind == value.end {
        return value;
    }
    let has_scheme = is_scheme(&text[value.clone()]);
    if !has_scheme && bytes[sign] != b':' {
        return value;
    }
    let secret = behind..value_at(bytes, behind).end;
    // It may be a scheme that is not known, if no plain word is behind it.
    let may_have_scheme = !bytes[secret.clone()].iter().all(u8::is_ascii_lowercase);
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
