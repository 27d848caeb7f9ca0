//! The home of an embedded engine: where it is, what is in it, and whether it can be one.
//!
//! [`resolve()`] finds the home of a program; [`Home`] knows the names of what lies in it.

mod resolve;
mod suitable;

pub use resolve::{Resolved, Source, hide_password, resolve, start_directory};

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use lineshaft_ipc::home_socket::is_socket_of;

use crate::Error;

/// Bytes of a socket's path above which the socket lies elsewhere; the system's limit is 108, or 104 on macOS.
pub const SOCKET_PATH_BYTES_MAX: usize = 100;

/// Bytes of `run/address` and `run/token` that are read.
const RUN_FILE_BYTES_MAX: u64 = 16 << 10;

/// The directory of an embedded engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The home at `path`, made absolute at once so that a later change of directory does not move it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { path: std::path::absolute(&path).unwrap_or(path) }
    }

    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a server listens if the path is short enough for a socket.
    pub fn default_socket(&self) -> PathBuf {
        self.path.join("run/socket")
    }

    /// Where the server writes its addresses.
    pub fn address_file(&self) -> PathBuf {
        self.path.join("run/address")
    }

    /// Where the server writes the token for TCP.
    pub fn token_file(&self) -> PathBuf {
        self.path.join("run/token")
    }

    /// Where a server started on demand writes what it has to say.
    pub fn log_file(&self) -> PathBuf {
        self.path.join("output/server.log")
    }

    /// The addresses that the server wrote: the Unix socket, then any `HOST:PORT`. [`Error::NoServer`] if it wrote none,
    /// [`Error::Home`] if they are not for this user.
    pub fn addresses(&self) -> Result<Vec<String>, Error> {
        let text = read_run_file(&self.address_file()).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => suitable::explain(self, "read", &error),
            _ => self.no_server(&error),
        })?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    /// The socket on which the server of this home listens. [`Error::NoServer`] if `run/address` names none, or that of
    /// another home: the file goes along when a home is copied.
    pub fn socket(&self) -> Result<PathBuf, Error> {
        let addresses = self.addresses()?;
        let Some(named) = addresses.first().map(PathBuf::from) else {
            return Err(Error::no_server(self.describe(), "its run/address is empty"));
        };
        // A home that is moved while it is served takes its socket along, and not the name of that.
        match [named, self.default_socket()] {
            [named, _] if is_socket_of(&named, &self.path) => Ok(named),
            [_, own] if UnixStream::connect(&own).is_ok() => Ok(own),
            [named, _] => Err(self.not_ours(&named)),
        }
    }

    fn not_ours(&self, socket: &Path) -> Error {
        let detail = if socket.exists() {
            let socket = socket.display();
            format!(
                "its run/address names {socket}, of another home: it was copied or moved while it was served"
            )
        } else {
            "none is running".to_owned()
        };
        Error::no_server(self.describe(), detail)
    }

    /// Makes the directory if it is missing (0700, with a `.gitignore` of its own) and checks that an engine can live
    /// in it. Gives a warning to show where it can, but better would not.
    pub fn prepare(&self) -> Result<Option<String>, Error> {
        suitable::check_owner(self)?;
        suitable::check_place(self)?;
        self.create().map_err(|error| suitable::explain(self, "written", &error))?;
        suitable::check(self)
    }

    fn create(&self) -> io::Result<()> {
        for directory in [self.path.clone(), self.path.join("run"), self.path.join("output")] {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let ignore = self.path.join(".gitignore");
        if !ignore.exists() {
            fs::write(ignore, "# The home of a Lineshaft engine: data, not source.\n*\n")?;
        }
        Ok(())
    }

    fn no_server(&self, error: &io::Error) -> Error {
        let detail = match error.kind() {
            io::ErrorKind::NotFound if self.path.exists() => "none is running".to_owned(),
            io::ErrorKind::NotFound => "there is no such home yet".to_owned(),
            _ => format!("{}: {error}", self.address_file().display()),
        };
        Error::no_server(self.describe(), detail)
    }

    fn describe(&self) -> String {
        format!("the home {}", self.path.display())
    }
}

fn read_run_file(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path)?.take(RUN_FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
