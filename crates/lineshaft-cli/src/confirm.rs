//! Asks before something is lost.

use std::io::{self, BufRead, IsTerminal};

use crate::context::Context;
use crate::exit::{DECLINED, Failure};

/// Asks `question?` unless `yes`. Where nobody can be asked, or somebody says no, it is declined: `otherwise` says
/// what was left as it is.
pub(crate) fn confirm(
    context: &mut Context,
    yes: bool,
    question: &str,
    otherwise: &str,
) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && context.output.is_seen()) {
        return Err(Failure::new(DECLINED, format!("nobody was asked whether to {question}"))
            .hint("--yes says so where there is no terminal"));
    }
    context.output.ask(&format!("{question}? [y/N] "));
    let mut line = String::new();
    let bytes = io::stdin().lock().read_line(&mut line);
    if !matches!(bytes, Ok(1..)) {
        // The end of the input, or bytes that are no text: the line of the question is still open.
        context.output.say("");
    }
    if matches!(line.trim().to_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(DECLINED, otherwise))
}
