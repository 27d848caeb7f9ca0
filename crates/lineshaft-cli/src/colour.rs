//! Whether words are coloured: `--color`, then <https://no-color.org>, <https://bixense.com/clicolors>, the terminal.

use std::ffi::{OsStr, OsString};

use clap::{ColorChoice, ValueEnum};

/// What `--color` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On terminals that can, unless NO_COLOR is set
    #[default]
    #[expect(clippy::doc_markdown, reason = "shown as help, where backticks are noise")]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colour {
    /// Whether words to a stream that is a terminal or not are coloured.
    pub(crate) fn is_on(self, variable: impl Fn(&str) -> Option<OsString>, is_terminal: bool) -> bool {
        let is_set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let is_forced = || variable("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
        let is_dumb = || variable("TERM").is_some_and(|value| value == "dumb");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => !is_set("NO_COLOR") && (is_forced() || (is_terminal && !is_dumb())),
        }
    }

    /// What an unread command line asks for: its mistakes are shown so, too.
    pub(crate) fn asked(args: &[OsString]) -> Self {
        let mut words = args.iter().skip(1).take_while(|word| *word != "--");
        let mut found = Self::Auto;
        while let Some(word) = words.next() {
            let value = match word.to_str() {
                Some("--color") => words.next().map(OsString::as_os_str),
                Some(word) => word.strip_prefix("--color=").map(OsStr::new),
                None => None,
            };
            let read = value.and_then(OsStr::to_str).and_then(|value| Self::from_str(value, false).ok());
            found = read.unwrap_or(found);
        }
        found
    }
}

impl From<Colour> for ColorChoice {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Auto => Self::Auto,
            Colour::Always => Self::Always,
            Colour::Never => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_for_terminals_unless_somebody_says_otherwise() {
        for (colour, variables, is_terminal, expected) in [
            (Colour::Auto, &[][..], true, true),
            (Colour::Auto, &[], false, false),
            (Colour::Auto, &[("NO_COLOR", "1")], true, false),
            (Colour::Auto, &[("NO_COLOR", "")], true, true),
            (Colour::Auto, &[("TERM", "dumb")], true, false),
            (Colour::Auto, &[("CLICOLOR_FORCE", "1")], false, true),
            (Colour::Auto, &[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], true, true),
            (Colour::Auto, &[("CLICOLOR_FORCE", "0")], false, false),
            (Colour::Auto, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], true, false),
            (Colour::Always, &[("NO_COLOR", "1"), ("TERM", "dumb")], false, true),
            (Colour::Never, &[("CLICOLOR_FORCE", "1")], true, false),
        ] {
            let variable = |name: &str| {
                variables.iter().find(|(other, _)| *other == name).map(|(_, value)| OsString::from(value))
            };
            assert_eq!(
                colour.is_on(variable, is_terminal),
                expected,
                "{colour:?} {variables:?} {is_terminal}"
            );
        }
    }

    #[test]
    fn the_colour_of_a_mistake_is_read_before_the_mistake() {
        for (line, expected) in [
            ("lineshaft --color never stauts", Colour::Never),
            ("lineshaft stauts --color=always", Colour::Always),
            ("lineshaft stauts --color", Colour::Auto),
            ("lineshaft --color=blue stauts", Colour::Auto),
            ("lineshaft enqueue -- --color=always", Colour::Auto),
        ] {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(Colour::asked(&args), expected, "{line}");
        }
    }
}
