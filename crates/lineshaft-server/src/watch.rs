//! Watching worker processes: the engine ends an attempt at once only when its process is proven dead.
//!
//! A watch outlives the connection that asked for it, since a broken connection says nothing about the process.
#![allow(unsafe_code)] // Handing a descriptor to the runtime, for which tokio has no safe function any more.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lineshaft_engine::Handle;
use lineshaft_ipc::process::{Pidfd, ProcessId};
use lineshaft_wire::message::ProcessKey;
use rustc_hash::FxHashMap;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::stream::Peer;

/// Processes watched at once; those beyond are left to their leases.
const WATCHED_MAX: usize = 16_384;

/// How long the death of a process waits for what its connections still hold: ends that it reported before it died
/// must reach the engine first. Longer only if somebody else keeps its sockets open.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// The processes that are watched.
#[derive(Clone)]
pub(crate) struct Watch {
    engine: Handle,
    watched: Arc<Mutex<FxHashMap<ProcessKey, Watched>>>,
}

#[derive(Default)]
struct Watched {
    connections: usize,
    drained: Arc<Notify>,
}

/// A connection's part in the watch of its process; dropped when everything that it received is with the engine.
pub(crate) struct Attached {
    watch: Watch,
    process: ProcessKey,
}

/// What a message's claim to be from a process is worth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The kernel says so too: its death can be proven.
    Proven,
    /// It cannot be checked, as over TCP: only leases tell.
    Unproven,
    /// It is another process; the text says which.
    False(String),
}

/// Compares the process that a peer says it is with what the kernel says.
pub(crate) fn check(peer: Peer, process: ProcessKey) -> Claim {
    let Peer::Unix { pid: Some(pid) } = peer else { return Claim::Unproven };
    if pid != process.pid {
        return Claim::False(format!("the message names process {}, but process {pid} sent it", process.pid));
    }
    match ProcessId::of(pid) {
        Ok(found) if found.start_time != process.start_time => Claim::False(format!(
            "the message says that process {pid} started at tick {}, but it did at tick {}",
            process.start_time, found.start_time
        )),
        Ok(_) | Err(lineshaft_ipc::Error::NoProcess { .. }) => Claim::Proven,
        Err(error) => {
            tracing::warn!(%error, "cannot check a worker's process");
            Claim::Unproven
        }
    }
}

impl Watch {
    /// Watches for `engine`.
    pub(crate) fn new(engine: Handle) -> Self {
        Self { engine, watched: Arc::default() }
    }

    /// Tells the engine when `process` dies, soon if it is dead already. Must be called within the runtime, and after
    /// the engine got the message that names the process. Watching one twice is watching it once.
    pub(crate) fn begin(&self, process: ProcessKey) -> Option<Attached> {
        let mut watched = self.lock();
        if watched.len() >= WATCHED_MAX && !watched.contains_key(&process) {
            tracing::warn!(pid = process.pid, "too many processes to watch another: its leases must tell");
            return None;
        }
        let is_new = !watched.contains_key(&process);
        watched.entry(process).or_default().connections += 1;
        drop(watched);
        if is_new {
            tokio::spawn(self.clone().follow(process));
        }
        Some(Attached { watch: self.clone(), process })
    }

    async fn follow(self, process: ProcessKey) {
        match death(process).await {
            Ok(()) => self.report(process).await,
            Err(error) => {
                tracing::warn!(pid = process.pid, %error, "cannot watch a worker's process: its leases must tell");
            }
        }
        self.lock().remove(&process);
    }

    async fn report(&self, process: ProcessKey) {
        if tokio::time::timeout(DRAIN_TIMEOUT, self.drained(process)).await.is_err() {
            tracing::info!(pid = process.pid, "a dead worker's connection is still open");
        }
        tracing::debug!(pid = process.pid, "a worker's process is dead");
        self.engine.process_died(process);
    }

    async fn drained(&self, process: ProcessKey) {
        while let Some(drained) = self.open_connections(process) {
            drained.notified().await;
        }
    }

    fn open_connections(&self, process: ProcessKey) -> Option<Arc<Notify>> {
        self.lock()
            .get(&process)
            .filter(|watched| watched.connections > 0)
            .map(|watched| watched.drained.clone())
    }

    fn lock(&self) -> MutexGuard<'_, FxHashMap<ProcessKey, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(watched) = self.watch.lock().get_mut(&self.process) {
            watched.connections -= 1;
            watched.drained.notify_one();
        }
    }
}

/// Waits until `process` is dead.
async fn death(process: ProcessKey) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if let Some(pidfd) = open(process)? {
        let _ = pidfd.readable().await?;
    }
    Ok(())
}

/// The process's descriptor, `None` if it is dead.
fn open(process: ProcessKey) -> Result<Option<AsyncFd<PollPidfd>>, Box<dyn std::error::Error + Send + Sync>> {
    let id = ProcessId { pid: process.pid, start_time: process.start_time };
    match Pidfd::of(id) {
        Ok(pidfd) => Ok(Some(register(pidfd)?)),
        Err(lineshaft_ipc::Error::NoProcess { .. } | lineshaft_ipc::Error::ProcessReplaced { .. }) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn register(pidfd: Pidfd) -> std::io::Result<AsyncFd<PollPidfd>> {
    // SAFETY: a `PollPidfd` owns its descriptor, names the same one as long as it lives, and never gives it away, so
    // the descriptor stays open as long as the registration.
    let registered = unsafe { AsyncFd::register_with_interest(PollPidfd(pidfd), Interest::READABLE) };
    registered.map_err(Into::into)
}

/// A [`Pidfd`] as the runtime takes it.
#[derive(Debug)]
struct PollPidfd(Pidfd);

impl AsRawFd for PollPidfd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> ProcessKey {
        let ProcessId { pid, start_time } = ProcessId::current().unwrap();
        ProcessKey { pid, start_time }
    }

    #[test]
    fn a_claim_is_worth_what_the_kernel_says() {
        let own = own();
        let peer = Peer::Unix { pid: Some(own.pid) };
        assert_eq!(check(peer, own), Claim::Proven);
        assert_eq!(check(Peer::Unix { pid: None }, own), Claim::Unproven);
        assert_eq!(check(Peer::Tcp(([127, 0, 0, 1], 1).into()), own), Claim::Unproven);
    }

    #[test]
    fn a_false_claim_names_both_processes() {
        let own = own();
        let peer = Peer::Unix { pid: Some(own.pid) };
        let Claim::False(text) = check(peer, ProcessKey { pid: 1, ..own }) else { panic!("another pid") };
        assert_eq!(text, format!("the message names process 1, but process {} sent it", own.pid));
        let Claim::False(text) = check(peer, ProcessKey { start_time: 7, ..own }) else {
            panic!("another start")
        };
        assert!(text.contains("at tick 7"), "{text}");
    }
}
