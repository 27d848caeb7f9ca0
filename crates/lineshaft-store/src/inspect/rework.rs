//! Changes many files of a home as a whole or not at all, and keeps what they were.
//!
//! New contents are written beside the home's files, then a file `REWORK` that says what goes where, and only then are
//! files moved. Whoever opens a home in which that was interrupted goes on with it first: every step can be repeated.

use std::io;

use crate::disk::{Disk, DiskFile, OpenMode, Overlay, join, publish, read_all};
use crate::{Error, Home};

const REWORK: &str = "REWORK";
const STEP_BYTES: usize = 1 << 20;

/// Carries out what was changed on an overlay. What was there before is kept below the directory `aside`, under its
/// names. Gives the paths of what is kept.
///
/// Costs a copy of every changed file. [`Error::Full`] if there is no room for them; then nothing was changed.
pub fn rework<D: Disk>(home: &Home<Overlay<D>>, aside: &str) -> Result<Vec<String>, Error> {
    let (overlay, disk) = (home.disk(), home.disk().base());
    let changed = overlay.changed().map_err(Error::io("read", ".", 0))?;
    let needed_bytes: u64 = changed.iter().map(|change| change.length.unwrap_or(0)).sum();
    if let Ok(free_bytes) = disk.free_bytes()
        && free_bytes < needed_bytes
    {
        return Err(Error::Full { needed_bytes, free_bytes: Some(free_bytes) });
    }
    let mut plan = format!("aside {aside}\n");
    let mut kept = Vec::new();
    for change in &changed {
        if change.replaces {
            plan.extend(["keep ", &change.path, "\n"]);
            kept.push(change.path.clone());
        }
        if change.length.is_some() {
            plan.extend(["place ", &change.path, "\n"]);
            let path = join(&staging(aside), &change.path);
            stage(overlay, disk, &change.path, &path).map_err(Error::io("write", &path, needed_bytes))?;
        }
    }
    publish(disk, "", REWORK, &[plan.as_bytes()]).map_err(Error::io("write", REWORK, plan.len() as u64))?;
    finish(disk)?;
    Ok(kept)
}

/// Goes on with a rework that was interrupted, if one was.
pub(crate) fn finish<D: Disk>(disk: &D) -> Result<(), Error> {
    let plan = match read_all(disk, REWORK) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", REWORK, 0)(error)),
    };
    let mut aside = "";
    for line in plan.lines() {
        let Some((verb, path)) = line.split_once(' ') else { continue };
        match verb {
            "aside" => aside = path,
            "keep" => keep(disk, path, &join(aside, path)).map_err(Error::io("keep", path, 0))?,
            _ => place(disk, &join(&staging(aside), path), path).map_err(Error::io("place", path, 0))?,
        }
    }
    disk.sync_dir("").map_err(Error::io("sync", ".", 0))?;
    disk.remove_file(REWORK).map_err(Error::io("remove", REWORK, 0))?;
    disk.sync_dir("").map_err(Error::io("sync", ".", 0))
}

fn staging(aside: &str) -> String {
    join(aside, "new")
}

fn stage<D: Disk>(overlay: &Overlay<D>, disk: &D, from: &str, to: &str) -> io::Result<()> {
    disk.create_dir_all(parent(to))?;
    let (source, target) = (overlay.open(from, OpenMode::Read)?, disk.open(to, OpenMode::Create)?);
    let mut buffer = vec![0; STEP_BYTES];
    let mut offset = 0;
    loop {
        let count = source.read_at(offset, &mut buffer)?;
        if count == 0 {
            break;
        }
        target.write_all_at(offset, &buffer[..count])?;
        offset += count as u64;
    }
    target.sync_data()?;
    disk.sync_dir(parent(to))
}

/// Moves a file aside, unless that was done before.
fn keep<D: Disk>(disk: &D, path: &str, aside: &str) -> io::Result<()> {
    if exists(disk, aside)? || !exists(disk, path)? {
        return Ok(());
    }
    disk.create_dir_all(parent(aside))?;
    disk.rename(path, aside)?;
    disk.sync_dir(parent(aside))?;
    disk.sync_dir(parent(path))
}

/// Moves a new file to its place, unless that was done before.
fn place<D: Disk>(disk: &D, staged: &str, path: &str) -> io::Result<()> {
    if !exists(disk, staged)? {
        return Ok(());
    }
    disk.create_dir_all(parent(path))?;
    disk.rename(staged, path)?;
    disk.sync_dir(parent(path))
}

fn exists<D: Disk>(disk: &D, path: &str) -> io::Result<bool> {
    match disk.open(path, OpenMode::Read) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
