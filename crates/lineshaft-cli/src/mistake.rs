//! Mistakes on the command line, told as every other failure: what is wrong, and what to do.

use clap::Error;
use clap::error::ErrorKind;

use crate::exit::{Failure, USAGE};

/// Characters of a message; more of a word that makes no sense helps nobody.
const MESSAGE_CHARS: usize = 400;

/// The mistake in our form; `None` for help and version, which are no mistakes, and for a command that was not named,
/// where the help is the best answer.
pub(crate) fn of(error: &Error) -> Option<Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => None,
        _ => Some(failure(&error.render().to_string())),
    }
}

/// Clap writes paragraphs: the error, tips, the usage, where help is.
fn failure(text: &str) -> Failure {
    let (mut message, mut hints, mut usage) = (String::new(), Vec::new(), None);
    for paragraph in text.split("\n\n") {
        for line in paragraph.lines().map(str::trim) {
            if let Some(what) = line.strip_prefix("error: ") {
                message.push_str(what);
            } else if let Some(tip) = line.strip_prefix("tip: ") {
                hints.push(tip.to_owned());
            } else if let Some(line) = line.strip_prefix("Usage: ") {
                usage = Some(format!("usage: {line}"));
            } else if let Some(values) = line.strip_prefix("[possible values: ") {
                hints.push(format!("accepted: {}", values.trim_end_matches(']')));
            } else if usage.is_none() && !line.is_empty() && !line.starts_with("For more information") {
                message.push(' ');
                message.push_str(line);
            }
        }
    }
    let hint = if hints.is_empty() { usage } else { Some(hints.join("; ")) };
    let failure = Failure::new(USAGE, without_middle(&message));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure.hint("`lineshaft --help` says what there is"),
    }
}

/// The text, or its beginning and its end if it is long.
fn without_middle(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= MESSAGE_CHARS {
        return text.to_owned();
    }
    let half = MESSAGE_CHARS / 2;
    chars[..half].iter().chain(&['…']).chain(&chars[chars.len() - half..]).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Arguments;

    fn check(line: &str, message: &str, hint: &str) {
        let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
        let failure = of(&error).unwrap();
        assert_eq!(
            (&*failure.message, failure.hint.as_deref(), failure.code),
            (message, Some(hint), 2),
            "{line}"
        );
    }

    #[test]
    fn a_mistake_is_a_line_and_its_fix_another() {
        check(
            "lineshaft stauts",
            "unrecognized subcommand 'stauts'",
            "a similar subcommand exists: 'status'",
        );
        check(
            "lineshaft worker app --proceses 2",
            "unexpected argument '--proceses' found",
            "a similar argument exists: '--processes'",
        );
        check(
            "lineshaft worker",
            "the following required arguments were not provided: <TARGET>",
            "usage: lineshaft worker <TARGET>",
        );
        check(
            "lineshaft serve --durability none",
            "invalid value 'none' for '--durability <LEVEL>'",
            "accepted: sync, os",
        );
        check(
            "lineshaft job list --state failed",
            "invalid value 'failed' for '--state <STATE>': did you mean discarded? accepted: pending, scheduled, \
             available, running, retryable, completed, cancelled, discarded",
            "`lineshaft --help` says what there is",
        );
    }

    #[test]
    fn a_long_word_is_shown_by_its_beginning_and_its_end() {
        let word = "x".repeat(70_000);
        let error = Arguments::try_parse_from(["lineshaft", "job", "list", "--limit", &word]).unwrap_err();
        let message = of(&error).unwrap().message;
        assert!(message.starts_with("invalid value 'xxx") && message.chars().count() == 401, "{message}");
        assert!(message.contains("xxx' for '--limit <N>': "), "{message}");
    }

    #[test]
    fn help_is_no_mistake() {
        for line in ["lineshaft --help", "lineshaft --version", "lineshaft", "lineshaft job"] {
            let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(of(&error), None, "{line}");
        }
    }
}
