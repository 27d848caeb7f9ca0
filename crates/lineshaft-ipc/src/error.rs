//! What may go wrong with processes, pages and descriptors.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on a process, a shared page or a descriptor that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No process has this pid, or only its remains wait to be reaped.
    #[error("process {pid} does not exist any more")]
    NoProcess {
        /// The pid that was asked for.
        pid: u32,
    },
    /// The pid belongs to a younger process than the one meant.
    #[error(
        "process {pid} is another one by now: it started at tick {found}, the one meant at tick {expected}"
    )]
    ProcessReplaced {
        /// The pid that was asked for.
        pid: u32,
        /// Start time of the process meant.
        expected: u64,
        /// Start time of the process found.
        found: u64,
    },
    /// A process group that must not be signalled as asked.
    #[error("process group {pgid} cannot be signalled: {reason}")]
    BadGroup {
        /// The group that was asked for.
        pgid: u32,
        /// Why not.
        reason: &'static str,
    },
    /// A number that is not the descriptor it should be.
    #[error("descriptor {number} cannot be taken over: {reason}")]
    BadDescriptor {
        /// The descriptor's number.
        number: i32,
        /// Why not.
        reason: &'static str,
    },
    /// A descriptor that is not a page made by this version.
    #[error("not an attempt page of this version: {reason}")]
    BadPage {
        /// What does not fit.
        reason: String,
    },
    /// A descriptor that is not shared memory of the kind it should be, or a place that is not in it.
    #[error("not a segment as expected: {reason}")]
    BadSegment {
        /// What does not fit.
        reason: String,
    },
    /// What was waited for did not come in time.
    #[error("nothing came of it in time")]
    TimedOut,
    /// It was shut down: nothing can be put, or nothing is left to be got.
    #[error("it is shut down")]
    ShutDown,
    /// A message that does not fit however empty the ring is.
    #[error("a message of {bytes} bytes does not fit, {limit} are the most")]
    MessageTooLarge {
        /// Bytes that it has.
        bytes: usize,
        /// Bytes that it may have.
        limit: usize,
    },
    /// A message that is not as it was put: somebody has written to the memory who should not.
    #[error("message {number} is not as it was put, {lost} messages are lost")]
    BadMessage {
        /// Its number, counted around.
        number: u32,
        /// How many are lost with it, itself included.
        lost: u32,
    },
    /// A file of `/proc` that does not read as the kernel documents it.
    #[error("{path} cannot be understood: {content:?}")]
    BadProcFile {
        /// The file.
        path: String,
        /// The beginning of what it says.
        content: String,
    },
    /// There are as many open files as there may be, in this process or in the system.
    #[error("cannot {action}: {}", words_of_files(*limit))]
    TooManyFiles {
        /// What was tried, with its object.
        action: String,
        /// How many this process may have open (`RLIMIT_NOFILE`); `None` where it is the system that has no more.
        limit: Option<u64>,
    },
    /// Shared memory has no place in the addresses that this process may use.
    #[error(
        "cannot map {bytes} bytes of shared memory: this process may use {limit} bytes of addresses, all in all; \
         raise that limit (`ulimit -v`, RLIMIT_AS)"
    )]
    NoAddresses {
        /// Bytes of it.
        bytes: usize,
        /// The limit of this process.
        limit: u64,
    },
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Os {
        /// What was tried, with its object.
        action: String,
        /// The operating system's word.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: the refusal of `action`, such as "start a thread".
    pub fn os<E: Into<io::Error>>(action: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |source| {
            let (action, source) = (action.into(), source.into());
            match Errno::from_io_error(&source) {
                Some(Errno::MFILE) => {
                    Self::TooManyFiles { action, limit: getrlimit(Resource::Nofile).current }
                }
                Some(Errno::NFILE) => Self::TooManyFiles { action, limit: None },
                _ => Self::Os { action, source },
            }
        }
    }

    /// For `map_err`: so many bytes cannot be mapped.
    pub(crate) fn unmapped(bytes: usize) -> impl FnOnce(io::Error) -> Self {
        move |source| match (Errno::from_io_error(&source), getrlimit(Resource::As).current) {
            (Some(Errno::NOMEM), Some(limit)) => Self::NoAddresses { bytes, limit },
            _ => Self::os(format!("map {bytes} bytes of shared memory"))(source),
        }
    }

    /// What the operating system called it, if that was what went wrong.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::TooManyFiles { limit: Some(_), .. } => Some(Errno::MFILE.raw_os_error()),
            Self::TooManyFiles { limit: None, .. } => Some(Errno::NFILE.raw_os_error()),
            Self::NoAddresses { .. } => Some(Errno::NOMEM.raw_os_error()),
            Self::Os { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

fn words_of_files(limit: Option<u64>) -> String {
    match limit {
        Some(limit) => format!(
            "this process has {limit} files open, as many as it may; close some, or raise that limit (`ulimit -n`, \
             RLIMIT_NOFILE)"
        ),
        None => "the system has as many files open as it may; raise `fs.file-max`".to_owned(),
    }
}
