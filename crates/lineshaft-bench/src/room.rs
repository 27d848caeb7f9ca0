//! The directory of a run, on the disk that is measured.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cleanup::{Cleanup, remove};
use crate::error::{Error, Result};

/// A directory for homes and programs; removed when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    path: PathBuf,
    cleanup: Cleanup,
    homes: u32,
}

impl Room {
    /// A new directory in `parent`, whose name begins with `name`; there have to be `needed_bytes` of room.
    pub(crate) fn new(name: &str, parent: &Path, needed_bytes: u64, cleanup: &Cleanup) -> Result<Self> {
        let parent = std::path::absolute(parent).map_err(Error::io(format!("find {}", parent.display())))?;
        let free_bytes = free_bytes(&parent)?;
        if free_bytes < needed_bytes {
            return Err(Error::NoRoom { directory: parent, free_bytes, needed_bytes });
        }
        let path = make_directory(name, &parent)?;
        cleanup.keep_room(Some(path.clone()));
        Ok(Self { path, cleanup: cleanup.clone(), homes: 0 })
    }

    /// Leaves it where it is, for somebody to look at.
    pub(crate) fn keep(self) -> PathBuf {
        self.cleanup.keep_room(None);
        let path = self.path.clone();
        std::mem::forget(self);
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a new home may be; nothing is there yet.
    pub(crate) fn home(&mut self) -> PathBuf {
        self.homes += 1;
        self.path.join(format!("home-{}", self.homes))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        remove(&self.path);
        self.cleanup.keep_room(None);
    }
}

/// A directory of a new name: where process ids repeat, in containers say, one may be left of a run that was killed.
fn make_directory(name: &str, parent: &Path) -> Result<PathBuf> {
    let name = format!("{name}-{}", std::process::id());
    let mut path = parent.join(&name);
    for number in 2.. {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = parent.join(format!("{name}-{number}"));
            }
            result => {
                result.map_err(Error::io(format!("make {}", path.display())))?;
                break;
            }
        }
    }
    Ok(path)
}

/// What may be written to the file system of `directory`.
pub(crate) fn free_bytes(directory: &Path) -> Result<u64> {
    let found = rustix::fs::statvfs(directory)
        .map_err(|error| Error::io(format!("look at {}", directory.display()))(error.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// What a directory and everything in it take of the disk.
pub(crate) fn used_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, found)| if found.is_dir() { used_bytes(&path) } else { found.blocks() * 512 })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_goes_with_what_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let mut room = Room::new("test", parent.path(), 1, &Cleanup::default()).unwrap();
        let (first, second) = (room.home(), room.home());
        assert!(first != second && first.starts_with(room.path()));
        fs::create_dir_all(first.join("seg")).unwrap();
        fs::write(first.join("seg/1"), vec![1; 100_000]).unwrap();
        assert!(used_bytes(room.path()) >= 100_000);
        drop(room);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_run_that_was_killed_left_is_not_in_the_way() {
        let parent = tempfile::tempdir().unwrap();
        let [first, second] = [(); 2].map(|()| make_directory("test", parent.path()).unwrap());
        assert_ne!(first, second);
    }

    #[test]
    fn too_little_room_is_said_beforehand() {
        let parent = tempfile::tempdir().unwrap();
        let error = Room::new("test", parent.path(), u64::MAX, &Cleanup::default()).unwrap_err();
        assert!(matches!(&error, Error::NoRoom { needed_bytes: u64::MAX, .. }), "{error}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
