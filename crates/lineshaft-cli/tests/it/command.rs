//! Runs the command with a home of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A home, and what is run on it.
pub(crate) struct Shell {
    directory: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Shell {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Runs `lineshaft` with these words.
    pub(crate) fn run(&self, words: &[&str]) -> Ended {
        ended(self.command(words).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs it and expects it to work; gives its standard output without the last end of line.
    pub(crate) fn out(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
        ended.out.trim_end().to_owned()
    }

    /// The same, read as JSON.
    pub(crate) fn json(&self, words: &[&str]) -> serde_json::Value {
        let mut words = words.to_vec();
        words.push("--json");
        serde_json::from_str(&self.out(&words)).unwrap()
    }

    /// Starts `lineshaft serve` and waits until it says that it is ready.
    pub(crate) fn serve(&self) -> Served {
        let mut child =
            self.command(&["serve"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Served { child, line: line.trim_end().to_owned() }
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lineshaft"));
        command.args(words).current_dir(self.directory.path()).env("LINESHAFT_URL", self.home());
        command.env_remove("VIRTUAL_ENV").env_remove("LINESHAFT_LOG");
        // Neither the user's settings nor a forced colour belong to a test.
        command.env("XDG_CONFIG_HOME", self.directory.path().join("xdg")).env_remove("CLICOLOR_FORCE");
        command
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Whatever server is left goes with the home.
        let _ = self.run(&["stop"]);
    }
}

/// A server started by a test.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) line: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Processes with this directory in their arguments.
pub(crate) fn processes_of(directory: &Path) -> Vec<String> {
    let command_of = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).unwrap_or_default();
    let commands = fs::read_dir("/proc").unwrap().flatten().map(command_of);
    let commands = commands.map(|command| String::from_utf8_lossy(&command).replace('\0', " "));
    commands.filter(|command| command.contains(&*directory.to_string_lossy())).collect()
}

/// An id as it is printed.
pub(crate) fn is_id(text: &str) -> bool {
    text.parse::<lineshaft_wire::JobId>().is_ok()
}
