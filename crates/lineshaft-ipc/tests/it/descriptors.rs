//! Descriptors passed on, and what sockets tell.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use lineshaft_ipc::Error;
use lineshaft_ipc::fd::{
    PeerCredentials, adopt, clear_cloexec, inherit, peer_credentials, pipe, set_nonblocking,
};

use crate::support::{child_value, this_binary};

#[test]
fn a_child_inherits_what_it_was_passed_and_others_do_not() {
    let (reader, writer) = pipe().unwrap();
    let mut command = this_binary("descriptors::child_writes_into_what_it_inherited", "");
    let number = inherit(&mut command, writer.as_fd()).unwrap();
    command.env("LINESHAFT_IPC_TEST_CHILD", number.to_string());
    let other =
        Command::new("sh").args(["-c", &format!("test ! -e /proc/self/fd/{number}")]).status().unwrap();
    assert!(other.success(), "a child that was not passed it has it");
    assert!(command.status().unwrap().success());
    drop((command, writer));
    let mut read = String::new();
    File::from(reader).read_to_string(&mut read).unwrap();
    assert_eq!(read, "hello");
}

#[test]
fn child_writes_into_what_it_inherited() {
    let Some(number) = child_value() else { return };
    let number = number.parse().unwrap();
    let taken = adopt(number).unwrap();
    assert!(matches!(adopt(number), Err(Error::BadDescriptor { .. })), "it has an owner now");
    let closes =
        Command::new("sh").args(["-c", &format!("test ! -e /proc/self/fd/{number}")]).status().unwrap();
    assert!(closes.success(), "it goes on to grandchildren");
    File::from(taken).write_all(b"hello").unwrap();
}

#[test]
fn descriptors_with_another_owner_are_not_taken_over() {
    let (reader, _writer) = pipe().unwrap();
    for number in [-1, 0, 1, 2, 1_000_000, i32::MAX, reader.as_raw_fd()] {
        assert!(matches!(adopt(number), Err(Error::BadDescriptor { .. })), "{number}");
    }
    clear_cloexec(&reader).unwrap();
    let number = reader.into_raw_fd();
    assert_eq!(adopt(number).unwrap().as_raw_fd(), number);
}

#[test]
fn a_socket_tells_who_is_at_the_other_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (server, _) = listener.accept().unwrap();
    let PeerCredentials { pid, uid, gid } = peer_credentials(&server).unwrap();
    assert_eq!(pid, std::process::id());
    assert_eq!(peer_credentials(&client).unwrap(), PeerCredentials { pid, uid, gid });
}

#[test]
fn what_has_no_peer_is_an_error() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(matches!(peer_credentials(&udp), Err(Error::Os { .. })));
    let (reader, _writer) = pipe().unwrap();
    assert!(matches!(peer_credentials(&reader), Err(Error::Os { .. })));
}

#[test]
fn a_non_blocking_pipe_does_not_wait() {
    let (reader, writer) = pipe().unwrap();
    set_nonblocking(&reader, true).unwrap();
    let mut reader = File::from(reader);
    assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    set_nonblocking(&reader, false).unwrap();
    drop(writer);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}
