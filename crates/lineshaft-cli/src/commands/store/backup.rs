//! `lineshaft store backup`: a copy of a home, served or not, from which it can be restored.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use lineshaft::client::Client;
use lineshaft::home::Home;
use lineshaft::launch;
use lineshaft_engine::inspect::check_is_home;
use lineshaft_engine::{Error, backup};
use lineshaft_store::backup::{DIRECTORIES, Facts, MANIFEST, Manifest, take};
use lineshaft_store::{Appended, Error as StoreError, FileDisk, JournalEnd};
use lineshaft_wire::message::{FilesHeld, RefusalCode};
use serde_json::json;

use super::failure::{of_engine, of_store};
use super::progress::{Keeper, Progress};
use crate::args::Backup;
use crate::context::{Context, answer};
use crate::exit::{FAILED, Failure, USAGE};
use crate::show::{bytes, count_of};
use crate::times::{now_ms, rfc3339};

/// The manifest while it is written: there from the beginning of a backup, and not any more at its end.
const CLAIM: &str = "MANIFEST.tmp";

pub(super) fn run(args: &Backup, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    let destination =
        std::path::absolute(&args.destination).map_err(|error| cannot("use", &args.destination, &error))?;
    check_is_home(home.path()).map_err(|error| of_engine(&error))?;
    let place = Destination::make(destination, &home)?;
    let taken = if launch::is_answering(&home) {
        of_served(&home, &place.path, args, context)
    } else {
        let mut progress = Progress::new(context, "copied", args.rate, None);
        let to = FileDisk::new(&*place.path);
        backup::of_stopped(home.path(), &to, facts(args), &mut progress).map_err(|error| match error {
            Error::Store(error) => failed(&error, &place.path),
            error => of_engine(&error),
        })
    };
    let manifest = match taken {
        Ok(manifest) => manifest,
        Err(failure) => {
            place.remove();
            return Err(context.interrupt.or("backup", failure));
        }
    };
    report(&manifest, &home, &place.path, context)
}

fn facts(args: &Backup) -> Facts {
    let (version, created_ms) = (env!("CARGO_PKG_VERSION").to_owned(), now_ms());
    Facts { version, created_ms, logs: !args.without_logs }
}

/// The server keeps the files as they are, while this copies them.
fn of_served(home: &Home, to: &Path, args: &Backup, context: &mut Context) -> Result<Manifest, Failure> {
    let client = context.running_client()?;
    let held = hold(&client)?;
    let epoch = client.welcome().map(|welcome| welcome.epoch);
    let keeper = Keeper { client: client.clone(), lsn: held.lsn, epoch };
    let mut progress = Progress::new(context, "copied", args.rate, Some(keeper));
    let from = FileDisk::new(home.path());
    take(&from, &FileDisk::new(to), end_of(&held), facts(args), &mut progress)
        .map_err(|error| failed(&error, to))
}

/// Only what is written can be too much for a disk, and that is the backup.
fn failed(error: &StoreError, to: &Path) -> Failure {
    match error {
        StoreError::GivenUp { .. } => of_store(error)
            .hint("take it again; with the server stopped (`lineshaft stop`) nobody has to hold the files"),
        StoreError::Full { needed_bytes, .. } => {
            let message = format!("no space left for {needed_bytes} more bytes in {}", to.display());
            Failure::new(FAILED, message).hint("the home is as it was; choose a disk with more room")
        }
        _ => of_store(error),
    }
}

fn hold(client: &Client) -> Result<FilesHeld, Failure> {
    answer(client.hold_files(None)).map_err(|failure| match client.welcome() {
        Some(welcome) if failure.error == RefusalCode::BadFrame.code() => Failure::new(
            FAILED,
            format!("the server is of version {} and cannot hold its files for a backup", welcome.version),
        )
        .hint("restart it with this version, or stop it: a stopped home can be backed up"),
        _ => failure,
    })
}

fn end_of(held: &FilesHeld) -> JournalEnd {
    let FilesHeld { lsn, crc, first_segment, last_segment, last_segment_bytes } = *held;
    JournalEnd { newest: Appended { lsn, crc }, first_segment, last_segment, last_segment_bytes }
}

/// Where the backup goes: a directory that was empty or not there.
struct Destination {
    path: PathBuf,
    is_new: bool,
}

impl Destination {
    fn make(path: PathBuf, home: &Home) -> Result<Self, Failure> {
        let is_new = !path.exists();
        if is_within(&path, home.path()) {
            let message = format!("{} is in the home itself", path.display());
            return Err(
                Failure::new(USAGE, message).hint("choose a directory outside of it, better on another disk")
            );
        }
        if !is_new {
            check_empty(&path)?;
        }
        // Arguments and results of jobs are nobody else's business.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| cannot("create", &path, &error))?;
        claim(&path)?;
        Ok(Self { path, is_new })
    }

    /// Removes what was copied: a part of a backup helps nobody.
    fn remove(&self) {
        for name in [MANIFEST, CLAIM] {
            let _ = fs::remove_file(self.path.join(name));
        }
        for name in DIRECTORIES {
            let _ = fs::remove_dir_all(self.path.join(name));
        }
        if self.is_new {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Of two backups that found the directory empty, one has it.
fn claim(path: &Path) -> Result<(), Failure> {
    match File::create_new(path.join(CLAIM)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let message = format!("another backup is being written to {}", path.display());
            Err(Failure::new(USAGE, message).hint("choose another directory"))
        }
        Err(error) => Err(cannot("write to", path, &error)),
    }
}

fn check_empty(path: &Path) -> Result<(), Failure> {
    let mut entries = fs::read_dir(path).map_err(|error| cannot("read", path, &error))?;
    if entries.next().is_none() {
        return Ok(());
    }
    let is_unfinished = path.join(CLAIM).exists() && !path.join(MANIFEST).exists();
    let hint = if is_unfinished {
        "it looks like a backup that did not come to its end: remove it, or choose another directory"
    } else {
        "choose a directory that is empty or does not exist"
    };
    Err(Failure::new(USAGE, format!("{} is not empty", path.display())).hint(hint))
}

/// Whether `path` is, or would be, in `directory`, whatever links lead there.
pub(super) fn is_within(path: &Path, directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    let existing = path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    existing.is_some_and(|(ancestor, found)| {
        let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
        found.join(rest).starts_with(&directory)
    })
}

pub(super) fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FAILED, format!("cannot {verb} {}: {error}", path.display()))
}

fn report(manifest: &Manifest, home: &Home, to: &Path, context: &mut Context) -> Result<(), Failure> {
    let files = manifest.files.len() as u64;
    if context.output.is_json() {
        let document = json!({
            "home": home.path().display().to_string(),
            "backup": to.display().to_string(),
            "lsn": manifest.lsn,
            "first_lsn": manifest.first_lsn,
            "files": files,
            "bytes": manifest.bytes(),
            "logs": manifest.has_logs(),
            "version": manifest.version,
            "created_at": rfc3339(manifest.created_ms),
        });
        return Ok(context.output.json(&document)?);
    }
    let size = bytes(manifest.bytes());
    let files = count_of(files, "file");
    let words = format!("{} holds the home at commit {}: {files}, {size}", to.display(), manifest.lsn);
    Ok(context.output.line(words)?)
}
