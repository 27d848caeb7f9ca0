//! Runs the simulation against engines that break one rule each:
//! `cargo run -p lineshaft-testkit --bin mutants -- [--seeds N] [NAME...]`.
//!
//! Each mutant is made in a copy of the workspace in `target/mutants`, built there, and must break a promise within N
//! seeds (2,000). Exits with 1 if one does not.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use lineshaft_testkit::mutants::{MUTANTS, Mutant};

const SEEDS: &str = "2000";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(io::stderr(), "mutants: {error}"));
            ExitCode::from(2)
        }
    }
}

fn run(mut words: Vec<String>) -> io::Result<bool> {
    let mut seeds = SEEDS.to_owned();
    if let Some(at) = words.iter().position(|word| word == "--seeds") {
        seeds = words.get(at + 1).cloned().ok_or_else(|| io::Error::other("--seeds needs a number"))?;
        words.drain(at..at + 2);
    }
    let is_wanted = |mutant: &&Mutant| words.is_empty() || words.iter().any(|name| name == mutant.name);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = workspace.join("target/mutants");
    let mut all_caught = true;
    for mutant in MUTANTS.iter().filter(is_wanted) {
        copy_workspace(&workspace, &copy)?;
        mutate(&copy, mutant)?;
        let caught = simulate(&copy, &seeds)?;
        all_caught &= caught.is_some();
        let outcome = caught.unwrap_or_else(|| "NOT NOTICED".to_owned());
        writeln!(io::stdout(), "{:34} {outcome}", mutant.name)?;
    }
    Ok(all_caught)
}

/// Makes the copy what the workspace is; a file that did not change is left alone, so that little is built again.
fn copy_workspace(workspace: &Path, copy: &Path) -> io::Result<()> {
    fs::create_dir_all(copy)?;
    for name in ["Cargo.toml", "Cargo.lock", "crates", "examples", "README.md"] {
        copy_all(&workspace.join(name), &copy.join(name))?;
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        let content = fs::read(from)?;
        if fs::read(to).is_ok_and(|there| there == content) {
            return Ok(());
        }
        return fs::write(to, content);
    }
    fs::create_dir_all(to)?;
    let names = fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.iter().try_for_each(|name| copy_all(&from.join(name), &to.join(name)))
}

fn mutate(copy: &Path, mutant: &Mutant) -> io::Result<()> {
    let path = copy.join(mutant.file);
    let text = fs::read_to_string(&path)?;
    if text.matches(mutant.original).count() != 1 {
        return Err(io::Error::other(format!("{} does not fit {} any more", mutant.name, mutant.file)));
    }
    fs::write(path, text.replace(mutant.original, mutant.mutated))
}

/// Builds and runs the simulation; gives what the first seed that notices says.
fn simulate(copy: &Path, seeds: &str) -> io::Result<Option<String>> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| copy.to_owned(), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ran = Command::new(cargo)
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target.join("mutants"))
        // With the checks of a debug build, and fast enough for thousands of seeds.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .args(["run", "--quiet", "--package", "lineshaft-testkit", "--bin", "simulate", "--"])
        .args(["--seed", "1", "--seeds", seeds, "--as-found"])
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout);
    match (ran.status.code(), said.lines().next()) {
        (Some(0), _) => Ok(None),
        (Some(1), Some(line)) => Ok(Some(line.to_owned())),
        _ => Err(io::Error::other(format!("the simulation cannot be run: {}", ran.status))),
    }
}
