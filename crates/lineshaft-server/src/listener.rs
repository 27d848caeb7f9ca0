//! Where connections come in.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::Error;

/// The Unix socket, and the TCP socket if one was asked for.
#[derive(Debug)]
pub(crate) struct Listeners {
    unix: UnixListener,
    tcp: Option<TcpListener>,
}

/// A connection that has just been accepted.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// By the Unix socket.
    Unix(UnixStream),
    /// By TCP.
    Tcp(TcpStream, SocketAddr),
}

impl Listeners {
    /// Takes over a bound Unix socket and listens on `HOST:PORT` if there is one. Needs a runtime.
    pub(crate) fn new(unix: std::os::unix::net::UnixListener, listen: Option<&str>) -> Result<Self, Error> {
        let unix = UnixListener::from_std(unix).map_err(Error::Runtime)?;
        Ok(Self { unix, tcp: listen.map(listen_tcp).transpose()? })
    }

    /// The TCP address, with the port that was taken where port 0 was asked for.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The next connection. Cancel-safe.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        tokio::select! {
            accepted = self.unix.accept() => accepted.map(|(stream, _)| Accepted::Unix(stream)),
            accepted = accept_tcp(self.tcp.as_ref()) => accepted,
        }
    }
}

fn listen_tcp(address: &str) -> Result<TcpListener, Error> {
    std::net::TcpListener::bind(address)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        })
        .map_err(|source| Error::Listen { address: address.to_owned(), source })
}

async fn accept_tcp(listener: Option<&TcpListener>) -> io::Result<Accepted> {
    let Some(listener) = listener else { return std::future::pending().await };
    let (stream, address) = listener.accept().await?;
    // A reply waits for nothing, and a host that vanished must not hold its connection for ever.
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(&stream, true)?;
    Ok(Accepted::Tcp(stream, address))
}
