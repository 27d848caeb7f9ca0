//! Text of others on a terminal: what a task raised or printed into its reason must not move the cursor.

use std::borrow::Cow;
use std::fmt::Write;

use lineshaft_log::is_hidden;

/// The text on one line, with every control character written out.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// The text with its lines and tabs, and every other control character written out.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |char| matches!(char, '\n' | '\t'))
}

fn escaped(text: &str, may_stay: fn(char) -> bool) -> Cow<'_, str> {
    let is_bad = |char: char| is_hidden(char) && !may_stay(char);
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match char {
            '\n' if is_bad(char) => safe.push_str("\\n"),
            '\t' if is_bad(char) => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            char if is_bad(char) && u32::from(char) < 0x100 => {
                let _ = write!(safe, "\\x{:02x}", u32::from(char));
            }
            char if is_bad(char) => {
                let _ = write!(safe, "\\u{:04x}", u32::from(char));
            }
            char => safe.push(char),
        }
    }
    Cow::Owned(safe)
}

/// JSON that means the same, with each of these characters written out.
pub(crate) fn json(document: &serde_json::Value) -> String {
    let text = document.to_string();
    if !text.contains(is_hidden) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        // Those there are stand in texts, since what is between them is ASCII; none has more than 16 bits.
        if is_hidden(char) {
            let _ = write!(safe, "\\u{:04x}", u32::from(char));
        } else {
            safe.push(char);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(line("größer"), "größer");
        assert_eq!(line("a\nb\t\u{1b}[2J\u{9b}\r"), "a\\nb\\t\\x1b[2J\\x9b\\r");
        assert_eq!(line("mail\u{202e}gpj.exe"), "mail\\u202egpj.exe");
        let document = serde_json::json!({"text": "\u{9b}2J\u{202e}é\u{1b}"});
        assert_eq!(json(&document), r#"{"text":"\u009b2J\u202eé\u001b"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json(&document)).unwrap(), document);
        assert_eq!(lines("a\nb\t\u{1b}]0;x\u{7}"), "a\nb\t\\x1b]0;x\\x07");
    }
}
