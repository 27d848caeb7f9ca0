//! Where clients find the server: the socket in the home, or elsewhere if its path would be too long, and the file
//! `run/address` that names it.

use std::fs::DirBuilder;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use lineshaft_ipc::home_socket::{directory_name, identity};

use crate::Error;
use crate::home::{ServedHome, write_private};

/// Longest socket path used. The system's limit is 108 on Linux and 104 on macOS, with a NUL.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// The server's address; dropping it takes the files away, unless another server's have taken their place: that happens
/// where a home is removed and made anew.
#[derive(Debug)]
pub(crate) struct Address {
    socket: PathBuf,
    identity: Option<(u64, u64)>,
    file: PathBuf,
    directory: Option<PathBuf>,
}

impl Address {
    /// Binds the Unix socket, mode 0600. The caller holds the home's lock: a socket that is there already is one
    /// that a killed server left behind.
    pub(crate) fn bind(home: &ServedHome) -> Result<(UnixListener, Self), Error> {
        let (socket, directory) = choose(home, &candidates())?;
        let mut address = Self { socket, identity: None, file: home.run().join("address"), directory };
        remove_if_there(&address.socket).map_err(Error::home("remove", &address.socket))?;
        let listener = UnixListener::bind(&address.socket)
            .and_then(|listener| {
                std::fs::set_permissions(&address.socket, std::fs::Permissions::from_mode(0o600))?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            })
            .map_err(Error::home("listen on", &address.socket))?;
        address.identity = identity(&address.socket).ok();
        Ok((listener, address))
    }

    /// Writes `run/address`: the socket's path, then a line `HOST:PORT` if the server listens there too.
    pub(crate) fn publish(&self, tcp: Option<SocketAddr>) -> Result<(), Error> {
        write_private(&self.file, &format!("{}\n", self.lines(tcp).join("\n")))
    }

    /// What a server says when it is ready.
    pub(crate) fn describe(&self, tcp: Option<SocketAddr>) -> String {
        self.lines(tcp).join(" ")
    }

    fn lines(&self, tcp: Option<SocketAddr>) -> Vec<String> {
        let socket = self.socket.display().to_string();
        std::iter::once(socket).chain(tcp.map(|address| address.to_string())).collect()
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        if identity(&self.socket).ok() != self.identity {
            return;
        }
        let is_named = std::fs::read_to_string(&self.file)
            .is_ok_and(|named| named.lines().next() == self.socket.to_str());
        let file = if is_named { remove_if_there(&self.file) } else { Ok(()) };
        let removed = file
            .and_then(|()| remove_if_there(&self.socket))
            .and_then(|()| self.directory.as_deref().map_or(Ok(()), std::fs::remove_dir));
        if let Err(error) = removed {
            tracing::warn!(socket = %self.socket.display(), %error, "cannot remove the address");
        }
    }
}

/// The socket's path, and the directory made for it if it is not the home's.
fn choose(home: &ServedHome, candidates: &[PathBuf]) -> Result<(PathBuf, Option<PathBuf>), Error> {
    let socket = home.run().join("socket");
    if fits(&socket) {
        return Ok((socket, None));
    }
    let name = directory_name(home.path()).map_err(Error::home("look at", home.path()))?;
    let mut error = Error::SocketPath { home: home.path().to_owned(), limit: SOCKET_PATH_BYTES_MAX };
    for directory in candidates.iter().map(|candidate| candidate.join(&name)) {
        let socket = directory.join("socket");
        if !fits(&socket) {
            continue;
        }
        match ensure_private(&directory) {
            Ok(()) => return Ok((socket, Some(directory))),
            Err(refusal) => error = refusal,
        }
    }
    Err(error)
}

fn fits(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES_MAX
}

/// The runtime directory first, since it is private already and emptied at the end of the login.
fn candidates() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let all = runtime.into_iter().chain([std::env::temp_dir(), PathBuf::from("/tmp")]);
    all.filter(|path| path.is_absolute() && path.is_dir()).collect()
}

/// Temporary directories are open to everybody, so a directory that is there already must be our own and closed.
fn ensure_private(path: &Path) -> Result<(), Error> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_private(path),
        created => created.map_err(Error::home("create", path)),
    }
}

fn check_private(path: &Path) -> Result<(), Error> {
    let metadata = path.symlink_metadata().map_err(Error::home("look at", path))?;
    let detail = if !metadata.is_dir() {
        "it is not a directory"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to another user"
    } else if metadata.mode() & 0o077 != 0 {
        "it is open to other users"
    } else {
        return Ok(());
    };
    Err(Error::SocketDirectory { path: path.to_owned(), detail: detail.to_owned() })
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep_home(directory: &Path) -> ServedHome {
        ServedHome::prepare(&directory.join("d".repeat(60)).join("e".repeat(60))).unwrap()
    }

    #[test]
    fn a_short_home_holds_its_socket() {
        let directory = tempfile::tempdir().unwrap();
        let home = ServedHome::prepare(directory.path()).unwrap();
        assert_eq!(choose(&home, &[]).unwrap(), (home.run().join("socket"), None));
    }

    #[test]
    fn a_deep_home_gets_a_private_directory_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let home = deep_home(directory.path());
        let (socket, made) = choose(&home, &[directory.path().to_owned()]).unwrap();
        let made = made.unwrap();
        assert_eq!((socket.parent(), made.parent()), (Some(made.as_path()), Some(directory.path())));
        assert_eq!(made.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(choose(&home, &[directory.path().to_owned()]).unwrap().0, socket);
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let home = deep_home(directory.path());
        let planted = directory.path().join(directory_name(home.path()).unwrap());
        std::fs::create_dir(&planted).unwrap();
        std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = choose(&home, &[directory.path().to_owned()]).unwrap_err().to_string();
        assert!(error.ends_with("it is open to other users"), "{error}");
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let home = deep_home(directory.path());
        std::os::unix::fs::symlink(
            directory.path(),
            directory.path().join(directory_name(home.path()).unwrap()),
        )
        .unwrap();
        let error = choose(&home, &[directory.path().to_owned()]).unwrap_err().to_string();
        assert!(error.ends_with("it is not a directory"), "{error}");
    }

    #[test]
    fn without_a_short_directory_the_home_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let home = deep_home(directory.path());
        let error = choose(&home, &[home.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains(&home.path().display().to_string()), "{error}");
    }
}
