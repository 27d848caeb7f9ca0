//! Runs the simulation against engines that break one rule each:
//! `cargo run --release -p lineshaft-testkit --bin mutants -- [--seeds N] [--find] [NAME...]`.
//!
//! All mutants are made in one copy of the workspace in `target/mutants`, each behind a number, and built once. Each must
//! break a promise at the seed that the list has for it, and else within N seeds (2,000); the engine with no mutant must keep
//! them all in its first seeds. Exits with 1 if one is not noticed, or only by another seed than the list says.
//!
//! `--find` looks for the first seed of each, for the list.
//!
//! With `--models` it is about shared memory: each rule that is broken there must be noticed by the model that the list has
//! for it, which notices nothing where none is broken.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use lineshaft_testkit::mutants::{Mutant, VARIABLE, all, files, modelled, number_function, switched};

const SEEDS: &str = "2000";
/// Seeds that the copy without a mutant is tried with.
const SOUND_SEEDS: &str = "50";

/// What the command line asks for.
struct Wanted {
    seeds: String,
    find: bool,
    models: bool,
    names: Vec<String>,
}

fn main() -> ExitCode {
    let wanted = Wanted::parse(std::env::args().skip(1));
    match wanted.and_then(|wanted| run(&wanted)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(io::stderr(), "mutants: {error}"));
            ExitCode::from(2)
        }
    }
}

impl Wanted {
    fn parse(mut words: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut wanted = Self { seeds: SEEDS.to_owned(), find: false, models: false, names: Vec::new() };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seeds" => {
                    wanted.seeds = words.next().ok_or_else(|| io::Error::other("--seeds needs a number"))?;
                }
                "--find" => wanted.find = true,
                "--models" => wanted.models = true,
                name if all().any(|(_, mutant)| mutant.name == name) => wanted.names.push(word),
                name if modelled().any(|(_, modelled)| modelled.mutant.name == name) => {
                    wanted.models = true;
                    wanted.names.push(word);
                }
                _ => return Err(io::Error::other(format!("there is no mutant {word}"))),
            }
        }
        Ok(wanted)
    }

    fn wants(&self, mutant: &Mutant) -> bool {
        self.names.is_empty() || self.names.iter().any(|name| name == mutant.name)
    }
}

fn run(wanted: &Wanted) -> io::Result<bool> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = workspace.join("target/mutants");
    copy_workspace(&workspace, &copy)?;
    if wanted.models {
        return run_models(wanted, &Models::build(&copy)?);
    }
    let simulation = build(&copy)?;
    if let Some(broken) = simulate(&simulation, 0, "1", SOUND_SEEDS)? {
        return Err(io::Error::other(format!("the copy without a mutant breaks a promise: {broken}")));
    }
    let mut all_caught = true;
    for (number, mutant) in all().filter(|(_, mutant)| wanted.wants(mutant)) {
        let recorded = mutant.seed.filter(|_| !wanted.find).map(|seed| seed.to_string());
        let mut caught = match &recorded {
            Some(seed) => simulate(&simulation, number, seed, "1")?,
            None => None,
        };
        let is_known = caught.is_some();
        if caught.is_none() {
            caught = simulate(&simulation, number, "1", &wanted.seeds)?;
        }
        let is_as_listed = is_known || recorded.is_none();
        all_caught &= caught.is_some() && is_as_listed;
        let note = if is_as_listed { "" } else { " (the list has another seed)" };
        let outcome = caught.unwrap_or_else(|| "NOT NOTICED".to_owned());
        writeln!(io::stdout(), "{:38} {outcome}{note}", mutant.name)?;
    }
    Ok(all_caught)
}

fn run_models(wanted: &Wanted, models: &Models) -> io::Result<bool> {
    let rows: Vec<_> = modelled().filter(|(_, modelled)| wanted.wants(&modelled.mutant)).collect();
    let mut used: Vec<&str> = rows.iter().map(|(_, modelled)| modelled.model).collect();
    used.dedup();
    for model in used {
        if let Some(broken) = models.check(0, model)? {
            return Err(io::Error::other(format!("the copy without a mutant fails {model}: {broken}")));
        }
    }
    let mut all_caught = true;
    for (number, modelled) in rows {
        let caught = models.check(number, modelled.model)?;
        all_caught &= caught.is_some();
        let outcome = caught.unwrap_or_else(|| "NOT NOTICED".to_owned());
        writeln!(io::stdout(), "{:38} {outcome}", modelled.mutant.name)?;
    }
    Ok(all_caught)
}

/// Makes the copy what the workspace is, with the mutants in it; a file that did not change is left alone, so that little is
/// built again.
fn copy_workspace(workspace: &Path, copy: &Path) -> io::Result<()> {
    for name in ["Cargo.toml", "Cargo.lock", "crates", "examples", "fuzz", "README.md"] {
        copy_all(workspace, copy, Path::new(name))?;
    }
    Ok(())
}

fn copy_all(workspace: &Path, copy: &Path, name: &Path) -> io::Result<()> {
    let (from, to) = (workspace.join(name), copy.join(name));
    if from.is_dir() {
        fs::create_dir_all(&to)?;
        let names =
            fs::read_dir(&from)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
        return names.iter().try_for_each(|inside| copy_all(workspace, copy, &name.join(inside)));
    }
    let content = mutated(name, fs::read(&from)?)?;
    if fs::read(&to).is_ok_and(|there| there == content) {
        return Ok(());
    }
    fs::create_dir_all(copy)?;
    fs::write(to, content)
}

/// What a file of the copy holds.
fn mutated(name: &Path, content: Vec<u8>) -> io::Result<Vec<u8>> {
    let Some(name) = name.to_str() else { return Ok(content) };
    if files().contains(&name) {
        let text = String::from_utf8(content).map_err(io::Error::other)?;
        return Ok(switched(name, &text).map_err(io::Error::other)?.into_bytes());
    }
    let is_root =
        name.strip_suffix("lib.rs").is_some_and(|source| files().iter().any(|it| it.starts_with(source)));
    if is_root {
        return Ok([content, number_function().into_bytes()].concat());
    }
    Ok(content)
}

/// Builds the simulation with all mutants; gives the program.
fn build(copy: &Path) -> io::Result<PathBuf> {
    // What the workspace is built from besides itself need not be built again.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| copy.join(".."), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", &target)
        // With the checks of a debug build, and fast enough for thousands of seeds.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .args(["build", "--quiet", "--package", "lineshaft-testkit", "--bin", "simulate"])
        .output()?;
    if !built.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&built.stderr).into_owned()));
    }
    // Its name is the one of the workspace's own.
    let simulation = target.join("debug/simulate-with-mutants");
    fs::rename(target.join("debug/simulate"), &simulation)?;
    Ok(simulation)
}

/// The models of `lineshaft-ipc` with all mutants.
struct Models<'c> {
    copy: &'c Path,
    target: PathBuf,
}

impl<'c> Models<'c> {
    fn build(copy: &'c Path) -> io::Result<Self> {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| copy.join(".."), PathBuf::from);
        let models = Self { copy, target: target.join("model") };
        let built = models.command(0, &["--no-run"]).output()?;
        if !built.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&built.stderr).into_owned()));
        }
        Ok(models)
    }

    /// What a model says that notices; `None` if it notices nothing.
    fn check(&self, number: u32, model: &str) -> io::Result<Option<String>> {
        let ran = self.command(number, &["--", "--exact", model]).output()?;
        let (said, error) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        match ran.status.code() {
            Some(0) if said.contains("1 passed") => Ok(None),
            Some(101) if said.contains("1 failed") => {
                let mut lines = said.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
                Ok(Some(lines.next().unwrap_or("it failed").to_owned()))
            }
            // What a model holds is dropped as it fails, where it may fail again.
            Some(101) if error.contains("SIGABRT") => Ok(Some("it aborted".to_owned())),
            _ => Err(io::Error::other(format!("{model} cannot be run: {error}"))),
        }
    }

    fn command(&self, number: u32, words: &[&str]) -> Command {
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(self.copy).env("RUSTFLAGS", format!("{flags} --cfg model"));
        command.env(VARIABLE, number.to_string()).arg("test").arg("--target-dir").arg(&self.target);
        command.args(["--locked", "--lib", "--package", "lineshaft-ipc"]).args(words);
        command
    }
}

/// Runs so many seeds from `seed` on; gives what the first one that notices says.
fn simulate(simulation: &Path, number: u32, seed: &str, seeds: &str) -> io::Result<Option<String>> {
    let ran = Command::new(simulation)
        .env(VARIABLE, number.to_string())
        .args(["--seed", seed, "--seeds", seeds, "--as-found"])
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout);
    match (ran.status.code(), said.lines().next()) {
        (Some(0), _) => Ok(None),
        (Some(1), Some(line)) => Ok(Some(line.to_owned())),
        _ => Err(io::Error::other(format!("the simulation cannot be run: {}", ran.status))),
    }
}
