//! Where words go: data to standard output, talk to standard error.

use std::io::{self, BufWriter, IsTerminal, Stderr, Stdout, Write};

use serde_json::Value as Json;

use crate::args::Colour;
use crate::exit::Failure;
use crate::plain;

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
    pub(crate) fn new(form: Form, colour: Colour) -> Self {
        let talk = io::stderr();
        let colour = colour.is_on(|name| std::env::var_os(name), talk.is_terminal());
        Self { out: BufWriter::new(io::stdout()), talk, form, colour }
    }

    /// Whether data is JSON, in a document or in lines.
    pub(crate) fn is_json(&self) -> bool {
        self.form != Form::Text
    }

    /// Columns of the terminal that shows the data; `None` where something else reads it.
    pub(crate) fn columns(&self) -> Option<usize> {
        let (width, _) = terminal_size::terminal_size_of(self.out.get_ref())?;
        Some(usize::from(width.0)).filter(|columns| *columns > 0)
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
        writeln!(self.out, "{}", plain::json(document))
    }

    /// What people may want to know beside the data.
    pub(crate) fn say(&mut self, words: impl AsRef<str>) {
        // Nobody can be told that nobody listens.
        let _ = writeln!(self.talk, "{}", plain::lines(words.as_ref()));
    }

    /// Whether a question would be seen.
    pub(crate) fn is_seen(&self) -> bool {
        self.talk.is_terminal()
    }

    /// A question, without an end of line.
    pub(crate) fn ask(&mut self, question: &str) {
        let _ = write!(self.talk, "{}", plain::line(question)).and_then(|()| self.talk.flush());
    }

    /// Why it did not work, and what to do.
    pub(crate) fn complain(&mut self, failure: &Failure) {
        let _ = self.out.flush();
        let code = failure.error.map(|code| format!("[{code}]")).unwrap_or_default();
        self.headed("error", "1;31", &format!("{code}: {}", failure.message));
        if let Some(hint) = &failure.hint {
            self.headed("hint", "1;36", &format!(": {hint}"));
        }
    }

    pub(crate) fn warn(&mut self, words: &str) {
        self.headed("warning", "1;33", &format!(": {words}"));
    }

    /// Words whose first one says what they are, in colour where there are colours.
    fn headed(&mut self, head: &str, style: &str, words: &str) {
        let words = plain::lines(words);
        // Nobody can be told that nobody listens.
        let _ = if self.colour {
            writeln!(self.talk, "\x1b[{style}m{head}\x1b[0m{words}")
        } else {
            writeln!(self.talk, "{head}{words}")
        };
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
