//! Finds the Python interpreter whose tasks a worker runs, and asks it about an app.

use std::env;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lineshaft::config::{Found, Value};
use lineshaft_wire::code;

use crate::context::{Context, working_directory};
use crate::exit::{FAILED, Failure, USAGE};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const NAMES: [&str; 2] = ["python3", "python"];

/// Prints version and interpreter, so that a wrapper script shows what it runs.
const WHO: &str = "import sys, lineshaft; print(lineshaft.__version__); print(sys.executable)";
/// Prints where the app that TARGET names keeps its jobs, after what its configuration is warned of, and what its tasks
/// take and give; what the app itself prints comes first.
const LOOK: &str = "\
import json, sys
from lineshaft._errors import LineshaftError
from lineshaft._child import load_app
from lineshaft._schema import schema_of
from lineshaft._target import report_of
try:
    app = load_app(sys.argv[1])
except BaseException as error:
    sys.exit(report_of(error))
try:
    for words in app._overrides.check(app.tasks):
        print('warning:', words, file=sys.stderr)
    url = app.url
except LineshaftError as error:
    sys.exit(str(error))
try:
    schema = json.dumps(schema_of(app))
except Exception as error:
    schema = ''
    print('warning: what its tasks take cannot be said:', repr(error), file=sys.stderr)
print('', url, schema, '.', sep='\\n')
";

/// The interpreter to run children with: the one that was set, the host's, else the first one found that has this
/// version of the package; says which one it chose.
pub(crate) fn interpreter(set: Found, context: &mut Context) -> Result<PathBuf, Failure> {
    if let Some(given) = set.value.and_then(Value::into_text).map(PathBuf::from) {
        return check(&given).map_err(|why| {
            Failure::new(USAGE, format!("option `{}`: {} cannot be used: {why}", set.origin, given.display()))
                .hint(install())
        });
    }
    if let Some(host) = &context.host.python {
        return Ok(host.clone());
    }
    match search()? {
        Ok((candidate, interpreter)) => {
            context.output.say(format!("using {}", candidate.display()));
            Ok(interpreter)
        }
        Err(found) => {
            Err(Failure::new(FAILED, format!("no Python interpreter with lineshaft {VERSION}: {found}"))
                .error(Some(code::NO_INTERPRETER))
                .hint(install()))
        }
    }
}

/// The interpreter that would be used, or why there is none; `None` if that cannot be said.
pub(crate) fn look(set: Found, context: &Context) -> Option<Result<String, String>> {
    if let Some(given) = set.value.and_then(Value::into_text) {
        let why = |why| format!("{given}, which `{}` names, cannot be used: {why}", set.origin);
        return Some(check(Path::new(&given)).map(|_| given.clone()).map_err(why));
    }
    if let Some(host) = &context.host.python {
        return Some(Ok(host.display().to_string()));
    }
    let found = search().ok()?;
    Some(found.map(|(candidate, _)| candidate.display().to_string()))
}

/// The first candidate that has this version of the package, and the interpreter behind it; or why none has.
fn search() -> Result<Result<(PathBuf, PathBuf), String>, Failure> {
    let mut refused = Vec::new();
    for candidate in candidates()? {
        match check(&candidate) {
            Ok(interpreter) => return Ok(Ok((candidate, interpreter))),
            Err(why) => refused.push(format!("{}: {why}", candidate.display())),
        }
    }
    Ok(Err(if refused.is_empty() { "none was found".to_owned() } else { refused.join("; ") }))
}

/// `$VIRTUAL_ENV`, `.venv` here or above, `PATH`.
fn candidates() -> Result<Vec<PathBuf>, Failure> {
    let cwd = working_directory()?;
    let virtual_env = env::var_os("VIRTUAL_ENV").filter(|path| !path.is_empty()).map(PathBuf::from);
    let dot_venv = cwd.ancestors().map(|directory| directory.join(".venv")).find(|path| path.is_dir());
    let environments = [virtual_env, dot_venv].into_iter().flatten().map(|path| path.join("bin/python"));
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).flat_map(|directory| NAMES.map(|name| directory.join(name)));
    let mut found: Vec<PathBuf> = environments.chain(on_path).filter(|path| path.is_file()).collect();
    let mut seen = Vec::new();
    found.retain(|path| {
        let is_new = !seen.contains(path);
        seen.push(path.clone());
        is_new
    });
    // Each one that is refused costs a start of an interpreter.
    found.truncate(4);
    Ok(found)
}

/// The interpreter behind `program` if it has this version of the package, else why not.
fn check(program: &Path) -> Result<PathBuf, String> {
    let output = python(program, [OsStr::new("-c"), OsStr::new(WHO)], Stdio::piped())
        .map_err(|error| error.to_string())?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = words.lines();
    match (output.status.success(), lines.next(), lines.next()) {
        (true, Some(VERSION), Some(_)) => Ok(from_anywhere(program)),
        (true, Some(version), _) => Err(format!("it has lineshaft {version}, this is {VERSION}")),
        _ => Err(last_line(&output.stderr)),
    }
}

/// `program` for a process in another directory. The name of a command stays one, and a link in an environment too.
fn from_anywhere(program: &Path) -> PathBuf {
    match program.components().count() {
        1 => program.to_owned(),
        _ => std::path::absolute(program).unwrap_or_else(|_| program.to_owned()),
    }
}

fn python<'a>(
    program: &Path,
    args: impl IntoIterator<Item = &'a OsStr>,
    stderr: Stdio,
) -> std::io::Result<Output> {
    Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).output()
}

fn last_line(stderr: &[u8]) -> String {
    let words = String::from_utf8_lossy(stderr);
    words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it failed without a word").to_owned()
}

/// What an app says of itself.
pub(crate) struct Looked {
    /// Where it keeps its jobs.
    pub(crate) home: String,
    /// What its tasks take and give, as JSON; empty if that cannot be said.
    pub(crate) schema: String,
}

/// Imports the app that `target` names once and asks it. Its traceback goes to standard error if it does not import.
pub(crate) fn look_at_app(
    interpreter: &Path,
    target: &str,
    context: &mut Context,
) -> Result<Looked, Failure> {
    let args = [OsStr::new("-c"), OsStr::new(LOOK), OsStr::new(target)];
    let output = python(interpreter, args, Stdio::inherit())
        .map_err(|error| Failure::new(FAILED, format!("cannot run {}: {error}", interpreter.display())))?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<&str> = words.trim_end().lines().collect();
    let said = lines.split_off(lines.len().saturating_sub(3));
    let looked = match said[..] {
        [home, schema, "."] if output.status.success() => {
            Some(Looked { home: home.to_owned(), schema: schema.to_owned() })
        }
        _ => {
            lines.extend(said);
            None
        }
    };
    for line in lines.iter().filter(|line| !line.is_empty()) {
        context.output.say(line);
    }
    looked.ok_or_else(|| {
        let what = format!("the app {target} cannot be loaded");
        // Killed, by a lack of memory for example, it had no time to say why.
        let failure = match output.status.signal() {
            Some(_) => Failure::new(FAILED, format!("{what}: its interpreter ended by {}", output.status)),
            None => Failure::new(FAILED, what).hint("what it raised is above"),
        };
        failure.error(Some(code::APP_FAILED))
    })
}

fn install() -> String {
    format!("`pip install lineshaft=={VERSION}` there, or --python PATH")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn fake(script: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("python3");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        (directory, path)
    }

    #[test]
    fn an_interpreter_with_this_version_is_accepted() {
        let (_directory, path) = fake(&format!("echo {VERSION}; echo /usr/bin/python3"));
        assert_eq!(check(&path), Ok(path.clone()));
    }

    /// Workers and the programs of `bench` start in directories of their own, where a relative path led nowhere.
    #[test]
    fn a_relative_path_is_good_from_anywhere() {
        let cwd = env::current_dir().unwrap();
        assert_eq!(from_anywhere(Path::new(".venv/bin/python")), cwd.join(".venv/bin/python"));
        assert_eq!(from_anywhere(Path::new("python3")), Path::new("python3"));
        assert_eq!(from_anywhere(Path::new("/usr/bin/python3")), Path::new("/usr/bin/python3"));
    }

    #[test]
    fn others_are_refused_with_the_reason() {
        let (_directory, path) = fake("echo 0.0.1; echo /usr/bin/python3");
        assert_eq!(check(&path), Err(format!("it has lineshaft 0.0.1, this is {VERSION}")));
        let (_directory, path) =
            fake("echo \"ModuleNotFoundError: No module named 'lineshaft'\" >&2; exit 1");
        assert_eq!(check(&path), Err("ModuleNotFoundError: No module named 'lineshaft'".into()));
        let (_directory, path) = fake("exit 1");
        assert_eq!(check(&path), Err("it failed without a word".into()));
    }
}
