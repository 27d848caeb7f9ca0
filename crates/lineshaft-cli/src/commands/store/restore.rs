//! `lineshaft store restore`: a backup becomes a home again.

use std::fs;
use std::path::Path;

use lineshaft::home::Home;
use lineshaft_engine::Error;
use lineshaft_engine::backup::{self, Restored};
use lineshaft_store::backup::Manifest;
use lineshaft_store::{Error as StoreError, FileDisk};
use serde_json::json;

use super::backup::{cannot, is_within};
use super::failure::of_engine;
use super::progress::Progress;
use crate::args::Restore;
use crate::context::Context;
use crate::exit::{Failure, NOT_FOUND, USAGE};
use crate::show::jobs;
use crate::times::{now_ms, rfc3339};

pub(super) fn run(args: &Restore, context: &mut Context) -> Result<(), Failure> {
    let home = context.home()?;
    check_places(&home, &args.backup)?;
    let mut progress = Progress::new(context, "checked", None, None);
    let checked = backup::check(FileDisk::new(&*args.backup), args.until_lsn, &mut progress);
    let checked = checked.map_err(|error| context.interrupt.or("restore", of_engine(&error)))?;
    let is_new = !home.path().exists();
    if let Some(warning) = home.prepare()? {
        context.output.warn(&warning);
    }
    let mut progress = Progress::new(context, "restored", None, None);
    match checked.restore(FileDisk::new(home.path()), now_ms(), &mut progress) {
        Ok(restored) => report(&restored, checked.manifest(), &home, context),
        Err(error) => {
            if has_begun(&error) {
                clear(home.path(), is_new);
            }
            Err(context.interrupt.or("restore", of_engine(&error)))
        }
    }
}

fn check_places(home: &Home, backup: &Path) -> Result<(), Failure> {
    let path = home.path();
    if !backup.is_dir() {
        return Err(Failure::new(NOT_FOUND, format!("there is no directory {}", backup.display())));
    }
    if is_within(path, backup) {
        let message = format!("the home {} would be in the backup itself", path.display());
        return Err(Failure::new(USAGE, message).hint("choose another one with --home"));
    }
    let is_empty = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(cannot("read", path, &error)),
    };
    if is_empty {
        return Ok(());
    }
    let hint = "a backup is never restored over something: move the directory away, or choose another one with --home";
    Err(Failure::new(USAGE, format!("the home {} is not empty", path.display())).hint(hint))
}

/// Whether there is something of ours to remove: else another one restores there, or made a home meanwhile.
fn has_begun(error: &Error) -> bool {
    !matches!(error, Error::Store(StoreError::Locked { .. } | StoreError::NotEmpty))
}

/// Removes what an unfinished restore left.
fn clear(home: &Path, is_new: bool) {
    if !backup::is_unfinished(home) {
        return;
    }
    for name in ["seg", "snap", "blob", "cold", "archive", "logs", "run", "output"] {
        let _ = fs::remove_dir_all(home.join(name));
    }
    for name in ["LOCK", ".gitignore", "FORMAT.tmp", "FORMAT"] {
        let _ = fs::remove_file(home.join(name));
    }
    if is_new {
        let _ = fs::remove_dir(home);
    }
}

fn report(
    restored: &Restored,
    manifest: &Manifest,
    home: &Home,
    context: &mut Context,
) -> Result<(), Failure> {
    let place = home.path().display().to_string();
    if context.output.is_json() {
        let document = json!({
            "home": place,
            "lsn": restored.lsn,
            "newest_lsn": manifest.lsn,
            "created_at": rfc3339(manifest.created_ms),
            "epoch": restored.epoch,
            "unfinished": restored.unfinished,
            "lost": restored.lost,
            "archived": restored.archived,
            "dropped": restored.dropped.jobs,
        });
        return Ok(context.output.json(&document)?);
    }
    context.output.line(format!(
        "{place} is what it was at commit {} of {}: {} not finished, {} in the history",
        restored.lsn,
        manifest.lsn,
        jobs(restored.unfinished),
        jobs(restored.archived)
    ))?;
    for words in notes(restored) {
        context.output.say(words);
    }
    Ok(())
}

/// What people might miss or wonder about.
fn notes(restored: &Restored) -> Vec<String> {
    let mut notes = Vec::new();
    if restored.lost > 0 {
        let count = jobs(restored.lost);
        notes.push(format!(
            "{count} ran at that commit: those attempts are lost, and all but at-most-once jobs run again"
        ));
    }
    if restored.dropped.jobs > 0 {
        let count = jobs(restored.dropped.jobs);
        notes.push(format!(
            "{count} went into the history after that commit and were taken out of it: those that ended after it are \
             there again, not finished"
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second of two restores into one directory removed what the first one had written.
    #[test]
    fn what_another_restore_writes_is_left_alone() {
        let locked = StoreError::Locked { pid: 7, host: "vm".to_owned() };
        assert!(!has_begun(&locked.into()) && !has_begun(&StoreError::NotEmpty.into()));
        assert!(has_begun(&StoreError::Poisoned.into()));
    }

    #[test]
    fn what_is_lost_or_there_again_is_said() {
        let restored = Restored {
            lsn: 7,
            epoch: 1,
            unfinished: 3,
            lost: 1,
            archived: 0,
            dropped: lineshaft_store::Dropped { jobs: 2_000, blocks: 2, bytes: 9 },
        };
        let said = notes(&restored);
        assert!(said[0].starts_with("1 job ran at that commit"), "{said:?}");
        assert!(said[1].starts_with("2,000 jobs went into the history after that commit"), "{said:?}");
        assert!(
            notes(&Restored { lost: 0, dropped: lineshaft_store::Dropped::default(), ..restored }).is_empty()
        );
    }
}
