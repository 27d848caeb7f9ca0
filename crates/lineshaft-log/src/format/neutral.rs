//! Texts without what a terminal obeys, or what makes a line look like another one.
//!
//! A message may come from who attacks: an escape sequence rewrites what is on the screen, a line feed begins a record
//! that nobody logged, a sign that turns the direction of writing has a name read backwards.

/// Whether a sign is shown by its number: a terminal obeys it, or it makes a text look like another one.
pub fn is_hidden(sign: char) -> bool {
    matches!(sign, '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}')
}

/// Whether a text is of plain signs alone, which most are.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// Adds a text in one line.
pub(crate) fn push(out: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for sign in text.chars() {
        push_sign(out, sign);
    }
}

/// Adds a text of several lines, each but the first with `indent` before it.
pub(crate) fn push_lines(out: &mut Vec<u8>, text: &str, indent: &str) {
    for (number, line) in text.trim_end().split('\n').enumerate() {
        if number > 0 {
            out.push(b'\n');
            out.extend_from_slice(indent.as_bytes());
        }
        push(out, line);
    }
}

fn push_sign(out: &mut Vec<u8>, sign: char) {
    match sign {
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.push(b'\t'),
        sign if is_hidden(sign) && (sign as u32) < 0x100 => {
            out.extend_from_slice(format!("\\x{:02x}", sign as u32).as_bytes());
        }
        sign if is_hidden(sign) => out.extend_from_slice(format!("\\u{:04x}", sign as u32).as_bytes()),
        sign => out.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        for (text, expected) in [
            ("plain", "plain"),
            ("a\nb\r\tc", "a\\nb\\r\tc"),
            ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
            ("\u{9b}2J", "\\x9b2J"),
            ("user\u{202e}gpj.exe", "user\\u202egpj.exe"),
            ("a\u{61c}b\u{2060}c\u{ad}d", "a\\u061cb\\u2060c\\xadd"),
            ("grün ☂", "grün ☂"),
        ] {
            let mut out = Vec::new();
            push(&mut out, text);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }
}
