//! Descriptors: passing them to a child by number, and what sockets and pipes need beyond the standard library.
#![allow(unsafe_code)] // pre_exec, taking over a number, and a socket option whose safe wrapper forbids pid 0.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_getfd, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::{Error, Result};

/// The lowest number for a descriptor that a child inherits: above standard input, output and error.
const NUMBER_MIN: RawFd = 3;

/// Lets the child that `command` starts inherit `fd`, and returns its number there, for [`adopt`].
///
/// The number is taken in this process until `command` is dropped, but only that child inherits it: children that
/// other threads start meanwhile do not.
pub fn inherit(command: &mut Command, fd: BorrowedFd<'_>) -> Result<RawFd> {
    let passed =
        fcntl_dupfd_cloexec(fd, NUMBER_MIN).map_err(Error::os("duplicate a descriptor for a child"))?;
    let number = passed.as_raw_fd();
    // SAFETY: the closure runs between fork and exec and only calls fcntl, which is async-signal-safe; it neither
    // allocates nor locks. The descriptor is open, as the closure owns it.
    unsafe {
        command.pre_exec(move || Ok(fcntl_setfd(&passed, FdFlags::empty())?));
    }
    Ok(number)
}

/// Takes over descriptor `number`, which the parent passed by [`inherit`]. From here on it closes on exec.
///
/// [`Error::BadDescriptor`] if it is not open, is standard input, output or error, or closes on exec: then it was not
/// inherited, or taken over before, and has another owner here. (Rust and Python open every descriptor that way.)
pub fn adopt(number: RawFd) -> Result<OwnedFd> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let refused = |reason| Error::BadDescriptor { number, reason };
    if number < NUMBER_MIN {
        return Err(refused("it is not one that a parent passes on"));
    }
    // SAFETY: only borrowed for two calls of fcntl, which answer EBADF for a closed number.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(borrowed).map_err(|_| refused("it is not open"))?;
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(refused("it has another owner in this process"));
    }
    set_cloexec(borrowed, true)?;
    // SAFETY: the number is open, and nobody owned it: an inherited descriptor was not marked to close on exec, and
    // marking it under the lock makes every second call fail.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Lets `fd` stay open across every later exec of this process and its children, whoever starts them.
///
/// Prefer [`inherit`], which passes it to one child only.
pub fn clear_cloexec(fd: impl AsFd) -> Result<()> {
    set_cloexec(fd, false)
}

/// Says whether `fd` closes on exec.
pub fn set_cloexec(fd: impl AsFd, close: bool) -> Result<()> {
    let flags = if close { FdFlags::CLOEXEC } else { FdFlags::empty() };
    fcntl_setfd(fd, flags).map_err(Error::os("change a descriptor's close-on-exec mark"))
}

/// Says whether reads and writes of `fd` return at once instead of waiting. Shared by every duplicate of it.
pub fn set_nonblocking(fd: impl AsFd, nonblocking: bool) -> Result<()> {
    rustix::io::ioctl_fionbio(fd, nonblocking).map_err(Error::os("change a descriptor's non-blocking mark"))
}

/// A pipe, (read end, write end), both closing on exec.
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).map_err(Error::os("open a pipe"))
}

/// Who is at the other end of a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// The process that connected or listened; 0 if it is not visible from here (another pid namespace).
    pub pid: u32,
    /// Its effective user then.
    pub uid: u32,
    /// Its effective group then.
    pub gid: u32,
}

/// Who is at the other end of the connected Unix stream socket `socket`, by the kernel's word.
pub fn peer_credentials(socket: impl AsFd) -> Result<PeerCredentials> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the pointers are to locals of the type this option fills, and `length` is its size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    // The kernel answers for a socket that is not connected, or not a Unix one, with no user.
    if result == 0 && credentials.uid == u32::MAX {
        return Err(Error::os("ask for the peer of a socket")(Errno::NOTCONN));
    }
    if result != 0 {
        return Err(Error::os("ask for the peer of a socket")(std::io::Error::last_os_error()));
    }
    Ok(PeerCredentials { pid: credentials.pid as u32, uid: credentials.uid, gid: credentials.gid })
}
