//! Repeating output on the worker's standard error, each line with the attempt it belongs to.

/// Longest line kept waiting for its end.
const LINE_BYTES_MAX: usize = 4_000;

/// Puts a prefix before each line. Holds at most one unfinished line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    /// Appends the complete lines of `bytes` to `out`, each after `prefix`.
    pub(crate) fn push(&mut self, prefix: &str, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            for part in piece.chunks(LINE_BYTES_MAX) {
                self.unfinished.extend_from_slice(part);
                if part.ends_with(b"\n") || self.unfinished.len() >= LINE_BYTES_MAX {
                    self.finish(prefix, out);
                }
            }
        }
    }

    /// Whether the last line came to its end.
    pub(crate) fn is_finished(&self) -> bool {
        self.unfinished.is_empty()
    }

    /// Appends what is left of an unfinished line to `out`.
    pub(crate) fn finish(&mut self, prefix: &str, out: &mut Vec<u8>) {
        if self.unfinished.is_empty() {
            return;
        }
        out.extend_from_slice(prefix.as_bytes());
        out.append(&mut self.unfinished);
        if !out.ends_with(b"\n") {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], expected: &str) {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push("send·7f3a | ", piece.as_bytes(), &mut out);
        }
        lines.finish("send·7f3a | ", &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn each_line_has_its_prefix_however_the_bytes_come() {
        check(&[], "");
        check(&["one\ntwo\n"], "send·7f3a | one\nsend·7f3a | two\n");
        check(&["o", "n", "e\n\ntw", "o"], "send·7f3a | one\nsend·7f3a | \nsend·7f3a | two\n");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        lines.push("", &[b'x'; 10_000], &mut out);
        assert_eq!(out.len(), 8_002);
        assert!(lines.unfinished.len() < LINE_BYTES_MAX);
    }
}
