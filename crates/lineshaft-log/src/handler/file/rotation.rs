//! When another file is begun, and what becomes of those before.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::write::GzEncoder;
use rustix::fs::{FlockOperation, flock};

use super::lock;

/// When a file is full, and what becomes of it: `app.log` is renamed to `app.log.1`, that to `app.log.2`, and so on.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// A file that would be longer is full.
    pub size_bytes: Option<u64>,
    /// A file that was written in an earlier one of these periods, counted from 1970, is full.
    pub every: Option<Duration>,
    /// How many full ones are kept.
    pub keep: u32,
    /// What is done with full ones.
    pub compression: Compression,
}

/// What is done with full files.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Compression {
    /// They stay as they are.
    #[default]
    None,
    /// They become `app.log.1.gz`.
    Gzip,
}

/// How long it is waited for a moment in which nobody writes.
const WAIT: Duration = Duration::from_secs(1);

impl Rotation {
    /// Begins another file if the one that is open at `path` is full, or would be with so many bytes more. `now` is the
    /// time since 1970. Whoever else writes it waits until that is done.
    pub(super) fn rotate_if_due(
        &self,
        path: &Path,
        file: &File,
        more_bytes: u64,
        now: Duration,
    ) -> io::Result<()> {
        if !self.is_due(file, more_bytes, now)? {
            return Ok(());
        }
        if !lock::wait(file, FlockOperation::NonBlockingLockExclusive, WAIT)? {
            // Others are writing, or have died with a lock: a file that is too long for now is better than none.
            return Ok(());
        }
        let rotated = self.rotate(path, file, more_bytes, now);
        flock(file, FlockOperation::Unlock)?;
        rotated
    }

    fn is_due(&self, file: &File, more_bytes: u64, now: Duration) -> io::Result<bool> {
        let found = file.metadata()?;
        if found.len() == 0 {
            return Ok(false);
        }
        let is_full = self.size_bytes.is_some_and(|most| found.len() + more_bytes > most);
        let written = Duration::from_secs(found.mtime().max(0) as u64);
        let is_old = self.every.is_some_and(|every| period_of(written, every) < period_of(now, every));
        Ok(is_full || is_old)
    }

    fn rotate(&self, path: &Path, file: &File, more_bytes: u64, now: Duration) -> io::Result<()> {
        // Somebody may have been faster, while this one waited for the lock.
        let (ours, found) = (file.metadata()?, fs::metadata(path));
        let is_ours = found.is_ok_and(|found| (found.dev(), found.ino()) == (ours.dev(), ours.ino()));
        if !is_ours || !self.is_due(file, more_bytes, now)? {
            return Ok(());
        }
        match (self.keep, self.compression) {
            (0, _) => fs::remove_file(path),
            (_, Compression::None) => {
                self.make_room(path)?;
                fs::rename(path, numbered(path, 1, ""))
            }
            (_, Compression::Gzip) => self.compress(path),
        }
    }

    /// The full file, compressed under its new name before it goes: a crash in between leaves both, and loses nothing.
    /// No other one moves before that is whole, which it may never be where the disk is full.
    fn compress(&self, path: &Path) -> io::Result<()> {
        let (part, whole) = (numbered(path, 1, ".gz.part"), numbered(path, 1, ".gz"));
        let made = write_compressed(path, &part)
            .and_then(|()| self.make_room(path))
            .and_then(|()| fs::rename(&part, &whole));
        if made.is_err() {
            let _ = fs::remove_file(&part);
        }
        made?;
        fs::remove_file(path).inspect_err(|_| {
            // It is still there, and would be compressed again and again.
            let _ = fs::remove_file(&whole);
        })
    }

    /// Moves full files up to where a number is free; the last goes if none is. So one who tries again moves nothing.
    fn make_room(&self, path: &Path) -> io::Result<()> {
        let endings = ["", ".gz"];
        let is_free = |number: u32| {
            endings.iter().all(|ending| {
                let found = fs::symlink_metadata(numbered(path, number, ending));
                found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
            })
        };
        let last = (1..self.keep).find(|number| is_free(*number)).unwrap_or(self.keep);
        for number in (1..=last).rev() {
            for ending in endings {
                let from = numbered(path, number, ending);
                let moved = if number == last {
                    fs::remove_file(from)
                } else {
                    fs::rename(from, numbered(path, number + 1, ending))
                };
                moved.or_else(
                    |error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) },
                )?;
            }
        }
        Ok(())
    }
}

fn write_compressed(path: &Path, part: &Path) -> io::Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    // Never readable for more than the log is, nor when this ends in the middle.
    let made =
        OpenOptions::new().write(true).create(true).truncate(true).mode(permissions.mode()).open(part)?;
    let mut encoder = GzEncoder::new(made, flate2::Compression::default());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    let made = encoder.finish()?;
    made.set_permissions(permissions)
}

fn numbered(path: &Path, number: u32, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}{ending}"));
    name.into()
}

fn period_of(time: Duration, every: Duration) -> u128 {
    time.as_nanos() / every.as_nanos().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_full_by_size_and_by_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("app.log");
        fs::write(&path, "12345").expect("a file");
        let file = File::open(&path).expect("a file");
        let mtime = file.metadata().expect("metadata").mtime() as u64;
        let day = Duration::from_secs(86_400);
        let rotation =
            |size_bytes, every| Rotation { size_bytes, every, keep: 1, compression: Compression::None };
        let seconds = (mtime / 86_400 + 1) * 86_400;
        let (next_day, before) = (Duration::from_secs(seconds), Duration::from_secs(seconds - 1));
        for (rotation, more_bytes, now, is_due) in [
            (rotation(Some(10), None), 5, next_day, false),
            (rotation(Some(10), None), 6, next_day, true),
            (rotation(None, Some(day)), 6, next_day, true),
            (rotation(None, Some(day)), 6, before, false),
        ] {
            assert_eq!(
                rotation.is_due(&file, more_bytes, now).expect("metadata"),
                is_due,
                "{rotation:?} {now:?}"
            );
        }
    }
}
