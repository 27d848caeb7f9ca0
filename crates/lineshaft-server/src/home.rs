//! The home's directory as the server needs it: private, ignored by version control, and still the same one later.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lineshaft_ipc::home_socket::identity;

use crate::Error;

/// A home that exists; its path is absolute and free of links.
#[derive(Debug)]
pub(crate) struct ServedHome {
    path: PathBuf,
    identity: (u64, u64),
}

impl ServedHome {
    /// Makes the home and its `run` directory, mode 0700, with a `.gitignore` in a home that has none.
    pub(crate) fn prepare(path: &Path) -> Result<Self, Error> {
        create_private(path, true).map_err(Error::home("create", path))?;
        let path = path.canonicalize().map_err(Error::home("find", path))?;
        let identity = identity(&path).map_err(Error::home("look at", &path))?;
        let home = Self { path, identity };
        home.write_gitignore()?;
        let run = home.run();
        create_private(&run, false).map_err(Error::home("create", &run))?;
        Ok(home)
    }

    /// The home's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where socket, address and token are.
    pub(crate) fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// Whether the directory is still there, rather than removed, or removed and made anew.
    pub(crate) fn still_exists(&self) -> bool {
        match identity(&self.path) {
            Ok(now) => now == self.identity,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    fn write_gitignore(&self) -> Result<(), Error> {
        let path = self.path.join(".gitignore");
        let created = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = match created {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => Err(error),
            Ok(mut file) => file.write_all(b"*\n"),
        };
        written.map_err(Error::home("write", &path))
    }
}

/// Writes a file of mode 0600 so that a reader sees the whole of it or the one before.
pub(crate) fn write_private(path: &Path, contents: &str) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    create_private_file(&temporary)
        .and_then(|mut file| file.write_all(contents.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(Error::home("write", path))
}

fn create_private_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn create_private(path: &Path, parents: bool) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).recursive(parents).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => created,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_home_is_private_and_ignored_by_git() {
        let directory = tempfile::tempdir().unwrap();
        let home = ServedHome::prepare(&directory.path().join("app/.lineshaft")).unwrap();
        assert_eq!((mode(home.path()), mode(&home.run())), (0o700, 0o700));
        assert_eq!(std::fs::read_to_string(home.path().join(".gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn an_existing_home_keeps_its_files() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(".gitignore"), "mine").unwrap();
        ServedHome::prepare(directory.path()).unwrap();
        let home = ServedHome::prepare(directory.path()).unwrap();
        assert_eq!(std::fs::read_to_string(home.path().join(".gitignore")).unwrap(), "mine");
    }

    #[test]
    fn a_removed_home_is_noticed_even_when_another_takes_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("home");
        let home = ServedHome::prepare(&path).unwrap();
        assert!(home.still_exists());
        std::fs::rename(&path, directory.path().join("kept")).unwrap();
        assert!(!home.still_exists());
        std::fs::create_dir(&path).unwrap();
        assert!(!home.still_exists());
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "").unwrap();
        let error = ServedHome::prepare(&path).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }

    #[test]
    fn private_files_are_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        write_private(&path, "one").unwrap();
        write_private(&path, "two").unwrap();
        assert_eq!((std::fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("two", 0o600));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
