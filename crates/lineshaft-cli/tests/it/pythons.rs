//! A command that cargo built looks for its Python, and says which one it took.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::command::{Ended, Shell, ended};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An interpreter at `path` that has `version` of the package and says its name when it is asked about an app.
fn python(path: &Path, version: &str) -> PathBuf {
    python_that(path, version, "echo \"$0 was asked\" >&2; exit 1")
}

/// An interpreter that does this when it is asked about an app.
fn python_that(path: &Path, version: &str, when_asked: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *__version__*) echo {version}; echo \"$0\";; *) {when_asked};; esac\n"
    );
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

/// A worker in a project with these variables; `PATH` has the shell's tools alone.
fn worker(shell: &Shell, words: &[&str], variables: &[(&str, &Path)]) -> Ended {
    let mut command = shell.command(&[&["worker", "app"], words].concat());
    command.env("PATH", "/nowhere").envs(variables.iter().copied());
    ended(command.output().unwrap())
}

fn check_chosen(ended: &Ended, expected: &Path) {
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains(&format!("using {}\n", expected.display())), "{ended:?}");
    assert!(ended.err.contains(&format!("{} was asked\n", expected.display())), "{ended:?}");
}

#[test]
fn the_environment_comes_before_the_directory_and_that_before_the_path() {
    let shell = Shell::new();
    let root = shell.directory();
    let on_path = python(&root.join("bin/python3"), VERSION);
    let path = ("PATH", on_path.parent().unwrap());
    check_chosen(&worker(&shell, &[], &[path]), &on_path);

    let dot_venv = python(&root.join(".venv/bin/python"), VERSION);
    check_chosen(&worker(&shell, &[], &[path]), &dot_venv);

    let active = python(&root.join("active/bin/python"), VERSION);
    let virtual_env = root.join("active");
    check_chosen(&worker(&shell, &[], &[path, ("VIRTUAL_ENV", &virtual_env)]), &active);
}

#[test]
fn a_flag_a_variable_and_a_file_name_the_interpreter() {
    let shell = Shell::new();
    let root = shell.directory();
    python(&root.join(".venv/bin/python"), VERSION);
    let other = python(&root.join("other/python"), VERSION);
    let asked = format!("{} was asked\n", other.display());
    let by_flag = worker(&shell, &["--python", other.to_str().unwrap()], &[]);
    assert!(by_flag.err.starts_with(&asked), "what was named needs no announcement: {by_flag:?}");
    let by_variable = worker(&shell, &[], &[("LINESHAFT_PYTHON", &other)]);
    assert!(by_variable.err.starts_with(&asked), "{by_variable:?}");
    fs::write(root.join("lineshaft.toml"), "python = \"other/python\"\n").unwrap();
    let by_file = worker(&shell, &[], &[]);
    assert!(by_file.err.starts_with(&asked), "{by_file:?}");
}

/// It looked for one as if none was set.
#[test]
fn the_doctor_looks_at_the_interpreter_that_was_set() {
    let shell = Shell::new();
    let root = shell.directory();
    python(&root.join(".venv/bin/python"), VERSION);
    let doctor = |set: &Path| {
        let mut command = shell.command(&["doctor", "--json"]);
        let report = ended(command.env("PATH", "/nowhere").env("LINESHAFT_PYTHON", set).output().unwrap());
        let report: serde_json::Value = serde_json::from_str(&report.out).unwrap();
        let findings = report["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|finding| finding["check"] == "python").unwrap()
    };
    let other = python(&root.join("other/python"), VERSION);
    let found = doctor(&other);
    assert!(found["message"].as_str().unwrap().starts_with(other.to_str().unwrap()), "{found}");
    let found = doctor(Path::new("/none/python"));
    assert_eq!(found["severity"], "warning");
    assert!(
        found["message"].as_str().unwrap().contains("/none/python, which `LINESHAFT_PYTHON` names"),
        "{found}"
    );
}

#[test]
fn an_interpreter_with_another_version_is_passed_over_or_refused_with_the_reason() {
    let shell = Shell::new();
    let root = shell.directory();
    let old = python(&root.join(".venv/bin/python"), "0.0.1");
    let fitting = python(&root.join("bin/python3"), VERSION);
    check_chosen(&worker(&shell, &[], &[("PATH", fitting.parent().unwrap())]), &fitting);

    let reason = format!("it has lineshaft 0.0.1, this is {VERSION}");
    let alone = worker(&shell, &[], &[]);
    let expected = format!(
        "error[LS0032]: no Python interpreter with lineshaft {VERSION}: {}: {reason}\n\
         hint: `pip install lineshaft=={VERSION}` there, or --python PATH\n",
        old.display()
    );
    assert_eq!((alone.code, alone.err), (1, expected));

    let named = worker(&shell, &["--python", old.to_str().unwrap()], &[]);
    let expected = format!("error: option `--python`: {} cannot be used: {reason}\n", old.display());
    assert_eq!(named.code, 2);
    assert!(named.err.starts_with(&expected), "{named:?}");
}

/// It said that what was raised stands above, where nothing was.
#[test]
fn an_interpreter_that_is_killed_while_it_looks_at_the_app_is_said_to_be_killed() {
    let shell = Shell::new();
    let killed = python_that(&shell.directory().join("python3"), VERSION, "kill -9 $$");
    let ended = worker(&shell, &["--python", killed.to_str().unwrap()], &[]);
    let expected =
        "error[LS0030]: the app app cannot be loaded: its interpreter ended by signal: 9 (SIGKILL)\n";
    assert_eq!((ended.code, ended.err.as_str()), (1, expected));
}
