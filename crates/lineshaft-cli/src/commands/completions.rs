//! `lineshaft completions`: the script that teaches a shell to complete our words.
//!
//! The script asks the command itself at every Tab, so that it also knows the names of queues, tasks and jobs.

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::args::Shell;
use crate::context::Context;
use crate::exit::Failure;

/// Set by the script when a shell asks for completions.
pub(crate) const VARIABLE: &str = "LINESHAFT_COMPLETE";
const NAME: &str = "lineshaft";

pub(crate) fn run(shell: Shell, context: &mut Context) -> Result<(), Failure> {
    let mut script = Vec::new();
    completer(shell).write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    Ok(context.output.bytes(&script)?)
}

fn completer(shell: Shell) -> &'static dyn EnvCompleter {
    match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    }
}
