//! Where words go: data to standard output, talk to standard error.

use std::io::{self, BufWriter, IsTerminal, Stderr, Stdout, Write};

use serde_json::Value as Json;

use crate::exit::Failure;

/// Both streams of a command.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    talk: Stderr,
    /// Data as JSON.
    pub(crate) json: bool,
    colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let talk = io::stderr();
        let colour = talk.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out: BufWriter::new(io::stdout()), talk, json, colour }
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
