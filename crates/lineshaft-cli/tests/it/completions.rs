//! Completion, by a real shell.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command::{Shell, ended};

/// What bash offers for the last of `words`.
fn bash(shell: &Shell, words: &str) -> Vec<String> {
    let script = shell.directory().join("completions.bash");
    fs::write(&script, shell.out(&["completions", "bash"])).unwrap();
    let asking = format!(
        "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9\n\
         _clap_complete_lineshaft lineshaft \"${{COMP_WORDS[COMP_CWORD]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let command = shell.command(&[]);
    let directory = Path::new(command.get_program()).parent().unwrap().display().to_string();
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &asking]).current_dir(shell.directory());
    bash.env("LINESHAFT_URL", shell.home());
    bash.env("PATH", format!("{directory}:{}", std::env::var("PATH").unwrap_or_default()));
    let ended = ended(bash.output().unwrap());
    assert_eq!(ended.err, "");
    ended.out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_flags() {
    let shell = Shell::new();
    assert_eq!(bash(&shell, "lineshaft st"), ["status", "stop", "store"]);
    assert_eq!(bash(&shell, "lineshaft job re"), ["result", "retry"]);
    assert_eq!(bash(&shell, "lineshaft worker app --proc"), ["--processes"]);
    assert_eq!(bash(&shell, "lineshaft serve --durability ''"), ["sync", "os"]);
    assert!(!shell.home().exists(), "pressing Tab makes no home");
}

#[test]
fn bash_completes_names_and_ids_of_what_is_there() {
    let shell = Shell::new();
    let id = shell.out(&["enqueue", "mail.send", "--queue", "letters"]);
    assert_eq!(bash(&shell, "lineshaft queue pause ''")[0], "letters");
    assert_eq!(bash(&shell, "lineshaft enqueue mail"), ["mail.send"]);
    assert_eq!(bash(&shell, "lineshaft job show ''")[0], id);
    assert_eq!(bash(&shell, "lineshaft job list --state av"), ["available"]);
}

#[test]
fn zsh_and_fish_read_their_scripts_where_they_are_installed() {
    let shell = Shell::new();
    for (name, opening) in [("zsh", "#compdef lineshaft"), ("fish", "complete --keep-order")] {
        let script = shell.out(&["completions", name]);
        assert!(script.trim_start().starts_with(opening), "{name}: {script}");
        let path = shell.directory().join(name);
        fs::write(&path, &script).unwrap();
        if let Ok(output) = Command::new(name).arg("-n").arg(&path).output() {
            assert!(output.status.success(), "{name}: {output:?}");
        }
    }
}
