//! Who is at the other end of a connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::net::UnixStream;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A process of this host.
    Unix {
        /// Its pid as the kernel says; `None` if it is in a process namespace that this one cannot see.
        pid: Option<u32>,
    },
    /// A program anywhere, which has to show the token.
    Tcp(SocketAddr),
}

impl Peer {
    /// The peer of a Unix socket, if it may connect at all: only our own user and root may. The modes of home and
    /// socket say the same, but a home can be moved and modes can be changed.
    pub(crate) fn of_unix(stream: &UnixStream) -> io::Result<Self> {
        let credentials = stream.peer_cred()?;
        let own = rustix::process::geteuid().as_raw();
        if credentials.uid() != own && credentials.uid() != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("user {} may not use the socket of user {own}", credentials.uid()),
            ));
        }
        let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid != 0);
        Ok(Self::Unix { pid })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { pid: Some(pid) } => write!(f, "process {pid}"),
            Self::Unix { pid: None } => f.write_str("a process of another container"),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}
