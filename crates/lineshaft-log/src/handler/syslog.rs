//! Records to the system's log.
//!
//! Over a Unix socket in the form that its daemons read there (RFC 3164 without a host, as `syslog(3)` sends it), over UDP
//! in that of RFC 5424. A record is a datagram.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Failure, Handler};
use crate::error::Error;
use crate::format::{Format, Formatter, Zone};
use crate::level::{Level, LevelNames};
use crate::record::Record;

/// Where the system's log is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SyslogAddress {
    /// At a socket of this machine, `/dev/log` for most.
    Unix(PathBuf),
    /// At a host and a port.
    Udp(String),
}

/// Where and how to write.
#[derive(Clone, Debug)]
pub struct SyslogOptions {
    /// Where.
    pub address: SyslogAddress,
    /// What part of the system logs, 0 to 23; 1 is a user's program.
    pub facility: u8,
    /// What the program is called there: printable ASCII without spaces, at most 48 signs.
    pub name: String,
    /// The form of what stands behind time and name.
    pub format: Format,
}

/// Writes to the system's log.
#[derive(Debug)]
pub struct Syslog {
    options: SyslogOptions,
    formatter: Formatter,
    socket: Option<Socket>,
    host: String,
    zone: TimeZone,
    out: Vec<u8>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

/// Longer datagrams are cut: a daemon reads so much at most, and UDP loses what comes in many parts.
const UNIX_BYTES_MAX: usize = 32 << 10;
const UDP_BYTES_MAX: usize = 2 << 10;
const CUT: &[u8] = "… [cut]".as_bytes();

/// How much a record matters to the system: RFC 5424, table 2.
pub(super) fn severity(level: Level) -> u8 {
    match level {
        level if level >= Level::CRITICAL => 2,
        level if level >= Level::ERROR => 3,
        level if level >= Level::WARNING => 4,
        level if level > Level::INFO => 5,
        Level::INFO => 6,
        _ => 7,
    }
}

impl Syslog {
    /// Opens the way there.
    pub fn open(options: SyslogOptions, levels: &Arc<LevelNames>) -> Result<Self, Error> {
        let socket = connected(&options.address).map_err(|source| match &options.address {
            SyslogAddress::Unix(path) => Error::File { path: path.clone(), source },
            SyslogAddress::Udp(address) => {
                Error::Address { address: address.clone(), reason: source.to_string() }
            }
        })?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let formatter = Formatter::new(options.format.clone(), Zone::Local, levels.clone());
        let zone = TimeZone::system();
        Ok(Self { options, formatter, socket: Some(socket), host, zone, out: Vec::new() })
    }

    fn send(&mut self, record: &Record) -> io::Result<()> {
        self.write_out(record);
        // A daemon that began anew has another socket at the same place.
        for _ in 0..2 {
            let socket = match self.socket.take() {
                Some(socket) => socket,
                None => connected(&self.options.address)?,
            };
            match sent(&socket, &self.out) {
                Ok(()) => {
                    self.socket = Some(socket);
                    return Ok(());
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    /// A datagram.
    fn write_out(&mut self, record: &Record) {
        let priority = self.options.facility * 8 + severity(record.level);
        let instant = Timestamp::from_nanosecond(record.time_ns.into()).unwrap_or_default();
        let (name, process) = (&self.options.name, record.process);
        let (head, bytes_max) = match &self.options.address {
            SyslogAddress::Unix(_) => {
                let time = instant.to_zoned(self.zone.clone()).strftime("%b %e %H:%M:%S");
                (format!("<{priority}>{time} {name}[{process}]: "), UNIX_BYTES_MAX)
            }
            SyslogAddress::Udp(_) => {
                let time = instant.strftime("%Y-%m-%dT%H:%M:%S.%6fZ");
                let host = if self.host.is_empty() { "-" } else { &self.host };
                (format!("<{priority}>1 {time} {host} {name} {process} - - "), UDP_BYTES_MAX)
            }
        };
        self.out.clear();
        self.out.extend_from_slice(head.as_bytes());
        self.formatter.push(&mut self.out, record);
        self.out.pop();
        cut(&mut self.out, bytes_max);
    }
}

impl Handler for Syslog {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        self.formatter.prepare(records);
        for (done, record) in records.iter().enumerate() {
            self.send(record).map_err(|error| Failure { done, refused: 0, reason: error.to_string() })?;
        }
        Ok(())
    }

    fn unformatted(&self) -> (u64, &str) {
        self.formatter.unformatted()
    }
}

fn connected(address: &SyslogAddress) -> io::Result<Socket> {
    match address {
        SyslogAddress::Unix(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            Ok(Socket::Unix(socket))
        }
        SyslogAddress::Udp(address) => {
            let found = address.to_socket_addrs()?.next();
            let found = found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has no address"))?;
            let any: SocketAddr = if found.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
            let socket = UdpSocket::bind(any)?;
            socket.connect(found)?;
            Ok(Socket::Udp(socket))
        }
    }
}

fn sent(socket: &Socket, datagram: &[u8]) -> io::Result<()> {
    loop {
        let sent = match socket {
            Socket::Unix(socket) => socket.send(datagram),
            Socket::Udp(socket) => socket.send(datagram),
        };
        match sent {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            sent => return sent.map(drop),
        }
    }
}

/// Whether the other end is not there any more, under this socket.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | NotConnected | BrokenPipe)
}

/// Cuts a text that is too long, not in the middle of a sign, and says so.
fn cut(out: &mut Vec<u8>, bytes_max: usize) {
    if out.len() <= bytes_max {
        return;
    }
    let mut end = bytes_max - CUT.len();
    while end > 0 && out[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    out.truncate(end);
    out.extend_from_slice(CUT);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_severities() {
        let severities = [5, 10, 20, 25, 30, 40, 50, 60].map(|level| severity(Level(level)));
        assert_eq!(severities, [7, 7, 6, 5, 4, 3, 2, 2]);
    }

    #[test]
    fn what_is_cut_ends_with_a_whole_sign() {
        for bytes_max in 20..30 {
            let mut out = "ä".repeat(100).into_bytes();
            cut(&mut out, bytes_max);
            let text = String::from_utf8(out).expect("whole signs");
            assert!(text.len() <= bytes_max && text.ends_with("ä… [cut]"), "{text}");
        }
    }
}
