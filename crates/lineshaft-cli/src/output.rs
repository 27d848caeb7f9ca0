//! Where words go: data to standard output, talk to standard error.

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal, Stderr, Stdout, Write};

use serde_json::Value as Json;

use crate::exit::Failure;

/// The form of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// A JSON document per line, each as soon as it is known.
    Lines,
}

impl Form {
    pub(crate) fn of(json: bool, jsonl: bool) -> Self {
        match (json, jsonl) {
            (_, true) => Self::Lines,
            (true, _) => Self::Json,
            _ => Self::Text,
        }
    }
}

/// Both streams of a command.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    talk: Stderr,
    pub(crate) form: Form,
    colour: bool,
}

impl Output {
    pub(crate) fn new(form: Form) -> Self {
        let talk = io::stderr();
        let colour = is_coloured(|name| std::env::var_os(name), talk.is_terminal());
        Self { out: BufWriter::new(io::stdout()), talk, form, colour }
    }

    /// Whether data is JSON, in a document or in lines.
    pub(crate) fn is_json(&self) -> bool {
        self.form != Form::Text
    }

    /// A line of data.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", line.as_ref())
    }

    /// Data as it is.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// A JSON document on a line of its own.
    pub(crate) fn json(&mut self, document: &Json) -> io::Result<()> {
        writeln!(self.out, "{document}")
    }

    /// What people may want to know beside the data.
    pub(crate) fn say(&mut self, words: impl AsRef<str>) {
        // Nobody can be told that nobody listens.
        let _ = writeln!(self.talk, "{}", words.as_ref());
    }

    /// A question, without an end of line.
    pub(crate) fn ask(&mut self, question: &str) {
        let _ = write!(self.talk, "{question}").and_then(|()| self.talk.flush());
    }

    /// Why it did not work, and what to do.
    pub(crate) fn complain(&mut self, failure: &Failure) {
        let _ = self.out.flush();
        let error = self.paint("error", "1;31");
        let code = failure.error.map(|code| format!("[{code}]")).unwrap_or_default();
        self.say(format!("{error}{code}: {}", failure.message));
        if let Some(hint) = &failure.hint {
            let name = self.paint("hint", "1;36");
            self.say(format!("{name}: {hint}"));
        }
    }

    pub(crate) fn warn(&mut self, words: &str) {
        let name = self.paint("warning", "1;33");
        self.say(format!("{name}: {words}"));
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn paint(&self, word: &str, style: &str) -> String {
        if self.colour { format!("\x1b[{style}m{word}\x1b[0m") } else { word.to_owned() }
    }
}

/// <https://no-color.org> and <https://bixense.com/clicolors>: no wins over force, force over the terminal.
fn is_coloured(variable: impl Fn(&str) -> Option<OsString>, is_terminal: bool) -> bool {
    let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
    let is_forced = variable("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    !is_set("NO_COLOR") && (is_forced || is_terminal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_unless_a_variable_says_otherwise() {
        for (variables, is_terminal, expected) in [
            (&[][..], true, true),
            (&[], false, false),
            (&[("NO_COLOR", "1")], true, false),
            (&[("NO_COLOR", "")], true, true),
            (&[("CLICOLOR_FORCE", "1")], false, true),
            (&[("CLICOLOR_FORCE", "0")], false, false),
            (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, false),
        ] {
            let variable = |name: &str| {
                variables.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value))
            };
            assert_eq!(is_coloured(variable, is_terminal), expected, "{variables:?} {is_terminal}");
        }
    }
}
