//! Records to systemd's journal, with their fields.
//!
//! Its native protocol (`JOURNAL_NATIVE_PROTOCOL` of systemd.io): a datagram of `KEY=value` lines, where a value with line feeds
//! has its length before it; what is too long for a datagram goes as a sealed file without a name.

use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, sendmsg_addr, socket_with,
};

use super::syslog::severity;
use super::{Failure, Handler};
use crate::error::Error;
use crate::format::json;
use crate::level::LevelNames;
use crate::record::Record;
use crate::value::Value;

/// Where and under what name to write.
#[derive(Clone, Debug)]
pub struct JournaldOptions {
    /// Its socket; `/run/systemd/journal/socket` on every machine that has one.
    pub path: PathBuf,
    /// What the program is called there.
    pub name: String,
}

/// Writes to the journal.
#[derive(Debug)]
pub struct Journald {
    options: JournaldOptions,
    address: SocketAddrUnix,
    socket: OwnedFd,
    levels: Arc<LevelNames>,
    out: Vec<u8>,
}

/// Keys that are ours or the journal's: a field of such a name has `FIELD_` before it.
const TAKEN: [&str; 13] = [
    "MESSAGE",
    "MESSAGE_ID",
    "PRIORITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "SYSLOG_FACILITY",
    "LOGGER",
    "LEVEL",
    "THREAD",
    "CODE_FILE",
    "CODE_LINE",
    "CODE_FUNC",
    "EXCEPTION",
];
/// The journal takes no longer keys.
const KEY_BYTES_MAX: usize = 64;

impl Journald {
    /// Opens the way there. The journal itself may come and go.
    pub fn open(options: JournaldOptions, levels: &Arc<LevelNames>) -> Result<Self, Error> {
        let refused = |source: io::Error| Error::File { path: options.path.clone(), source };
        let address = SocketAddrUnix::new(&*options.path).map_err(|error| refused(error.into()))?;
        if !options.path.exists() {
            return Err(refused(Errno::NOENT.into()));
        }
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        let socket = socket.map_err(|error| refused(error.into()))?;
        Ok(Self { address, socket, levels: levels.clone(), out: Vec::new(), options })
    }

    fn send(&mut self, record: &Record) -> Result<(), Errno> {
        self.write_out(record);
        match self.send_bytes(&self.out, &mut SendAncillaryBuffer::default()) {
            Err(Errno::MSGSIZE | Errno::NOBUFS) => self.send_file(),
            sent => sent,
        }
    }

    fn send_bytes(&self, bytes: &[u8], control: &mut SendAncillaryBuffer<'_, '_, '_>) -> Result<(), Errno> {
        let parts = [IoSlice::new(bytes)];
        let parts = if bytes.is_empty() { &[][..] } else { &parts[..] };
        rustix::io::retry_on_intr(|| {
            sendmsg_addr(&self.socket, &self.address, parts, control, SendFlags::NOSIGNAL).map(drop)
        })
    }

    fn send_file(&self) -> Result<(), Errno> {
        let file = memfd_create("lineshaft-log", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
        let mut file = std::fs::File::from(file);
        file.write_all(&self.out).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        let files = [file.as_fd()];
        let mut space = [const { std::mem::MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&files));
        self.send_bytes(&[], &mut control)
    }

    fn write_out(&mut self, record: &Record) {
        self.out.clear();
        let out = &mut self.out;
        push(out, "MESSAGE", record.message.as_bytes());
        push(out, "PRIORITY", severity(record.level).to_string().as_bytes());
        push(out, "SYSLOG_IDENTIFIER", self.options.name.as_bytes());
        push(out, "LOGGER", record.logger.as_bytes());
        push(out, "LEVEL", self.levels.shown(record.level).to_string().as_bytes());
        push(out, "THREAD", record.thread.name.as_bytes());
        if let Some(place) = &record.place {
            push(out, "CODE_FILE", place.file.as_bytes());
            push(out, "CODE_LINE", place.line.to_string().as_bytes());
            push(out, "CODE_FUNC", place.function.as_bytes());
        }
        if let Some(exception) = &record.exception {
            push(out, "EXCEPTION", exception.as_bytes());
        }
        for (key, value) in &record.fields {
            let key = key_of(key);
            match value {
                Value::Str(text) => push(out, &key, text.as_bytes()),
                value => {
                    let mut text = Vec::new();
                    json::push_value(&mut text, value);
                    push(out, &key, &text);
                }
            }
        }
    }
}

impl Handler for Journald {
    fn handle(&mut self, records: &[&Record]) -> Result<(), Failure> {
        for (done, record) in records.iter().enumerate() {
            self.send(record).map_err(|error| Failure { done, refused: 0, reason: error.to_string() })?;
        }
        Ok(())
    }
}

/// A field: on a line, or with its length where it has line feeds itself.
fn push(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A name as the journal takes it: capitals, digits and `_`, beginning with a capital.
fn key_of(name: &str) -> String {
    let sign = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_uppercase() } else { '_' };
    let mut key: String = name.chars().map(sign).collect();
    if TAKEN.contains(&&*key) || !key.starts_with(|first: char| first.is_ascii_uppercase()) {
        key.insert_str(0, "FIELD_");
    }
    key.truncate(KEY_BYTES_MAX);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_keys() {
        let long = "x".repeat(100);
        for (name, key) in [
            ("user", "USER"),
            ("shop.mail-to", "SHOP_MAIL_TO"),
            ("message", "FIELD_MESSAGE"),
            ("_pid", "FIELD__PID"),
            ("1st", "FIELD_1ST"),
            ("größe", "GR__E"),
            ("", "FIELD_"),
            (&long, &long[..64].to_uppercase()),
        ] {
            assert_eq!(key_of(name), key);
        }
    }
}
