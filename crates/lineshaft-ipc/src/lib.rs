//! Processes, shared pages and descriptors of one Linux host: the main home of `unsafe`.
//!
//! - [`process`]: who a process is for certain, whether it still lives, and its end, by pidfd.
//! - [`group`]: process groups, and ending one until nothing of it is left.
//! - [`tree`]: what a process started, and ending that.
//! - [`shared`]: [`AttemptPage`](shared::AttemptPage), in which a child marks what it begins and prints, and which
//!   outlives it.
//! - [`segment`]: memory that several processes share; [`sync`]: what they wait for each other with in it.
//! - [`ring`]: a bounded queue of messages between processes; [`channel`]: one whose large messages go through an
//!   [`arena`], and are not copied on the way out.
//! - [`claims`]: shares of work that are claimed from the front and taken back from the end.
//! - [`table`]: a cache of values by key, of all processes of a host.
//! - [`crash`]: what is done before a crash ends the process.
//! - [`fd`]: passing descriptors to a child, and what else sockets need beyond the standard library.
//! - [`socket`]: a Unix socket for a runtime, which wakes its thread for what arrives and nothing else.
//! - [`spin`]: a runtime that polls for a moment before its thread sleeps.
//! - [`scratch`]: a file without a name, for what is wanted back but needs no memory meanwhile.
//! - [`allocator`]: where memory is taken from.
//! - [`memory`]: how much of it there is.
//! - [`rss`]: how much of it processes have.
//! - [`stacks`]: what another thread of this process does, down to where it began something.
//! - [`usage`]: what this process and its threads have used so far.
//! - [`home_fs`]: what kind of file system a directory is on.
//! - [`home_socket`]: which socket belongs to which home.
//!
//! The crate deliberately knows no job, lease or message, and keeps no threads but that of [`crash`]. Each `unsafe` block
//! stays in a module that says why, and ends in a safe type.

pub mod allocator;
pub mod arena;
pub mod channel;
pub mod claims;
pub mod crash;
mod error;
pub mod fd;
pub mod group;
pub mod home_fs;
pub mod home_socket;
pub mod memory;
mod proc_files;
pub mod process;
mod processors;
#[cfg(test)]
mod resident;
pub mod ring;
pub mod rss;
pub mod scratch;
pub mod segment;
pub mod shared;
pub mod socket;
pub mod spin;
pub mod stacks;
pub mod sync;
pub mod table;
pub mod tree;
pub mod usage;

pub use error::{Error, Result};
/// A signal by name, such as `Signal::TERM`.
pub use rustix::process::Signal;
