//! What ends a child whatever its slot does: the death of its supervisor, a lease that cannot be renewed, SIGTERM.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lineshaft_ipc::group::kill_group;
use lineshaft_ipc::process::ProcessId;
use lineshaft_ipc::tree::{descendants, end_trees};
use rustix::process::{Signal, getpgrp};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;

use super::queue::Shared;
use crate::worker::death::Watched;
use crate::worker::{Kind, StopReason};

/// How often the lease of a running attempt is looked at.
const LEASE_LOOK: Duration = Duration::from_millis(100);
/// What the supervisor writes to make a child drain.
pub(crate) const DRAIN: u8 = b'd';

/// What the guards watch.
pub(super) struct Guard {
    pub(super) shared: Arc<Shared>,
    pub(super) lifeline: UnixStream,
    pub(super) supervisor: Watched,
    /// Readable when SIGTERM came.
    pub(super) terminate: UnixStream,
    /// Readable when the supervisor asked attempts to stop.
    pub(super) asked: Option<UnixStream>,
    /// Whether the child has jobs to bring to an end before it goes.
    pub(super) started: Arc<AtomicBool>,
}

impl Guard {
    /// Watches until the process ends.
    pub(super) async fn run(self) {
        let Self { shared, lifeline, supervisor, terminate, asked, started } = self;
        tokio::join!(
            follow_supervisor(lifeline, &shared, &started),
            await_death(&supervisor, shared.kind),
            follow_signal(terminate, &shared, &started),
            follow_lease(&shared),
            follow_asks(asked, &shared),
        );
    }
}

/// Ends this process and all that it started, at once.
pub(super) fn die() -> ! {
    let group = getpgrp().as_raw_nonzero().get() as u32;
    let killed = kill_group(group, Signal::KILL);
    tracing::error!(?killed, "the own process group survived SIGKILL");
    std::process::abort();
}

/// [`die`] for slots of this kind. Where they share the process, what their attempts started goes too if it is in a group of
/// its own.
pub(super) fn die_with_strays(kind: Kind) -> ! {
    if kind != Kind::Process {
        let strays = ProcessId::current().and_then(descendants);
        let ended = strays.and_then(|strays| end_trees(&strays, Duration::ZERO));
        tracing::debug!(?ended, "what the attempts had started");
    }
    die()
}

async fn follow_supervisor(mut lifeline: UnixStream, shared: &Shared, started: &AtomicBool) {
    let mut buffer = [0; 16];
    loop {
        match lifeline.read(&mut buffer).await {
            Ok(count) if buffer[..count].contains(&DRAIN) => drain(shared, started),
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => die_with_strays(shared.kind),
        }
    }
}

/// A fork of the supervisor may hold the lifeline open, but it is not the supervisor.
async fn await_death(supervisor: &Watched, kind: Kind) {
    supervisor.ended().await;
    die_with_strays(kind);
}

/// SIGTERM of the supervisor, which says so in the page, ends the process; another one (from a service manager) drains.
async fn follow_signal(mut terminate: UnixStream, shared: &Shared, started: &AtomicBool) {
    let mut buffer = [0; 16];
    while terminate.read(&mut buffer).await.is_ok_and(|count| count > 0) {
        if shared.page.is_ending() {
            let result = signal_hook::low_level::emulate_default_handler(signal_hook::consts::SIGTERM);
            tracing::error!(?result, "SIGTERM did not end the process");
        }
        drain(shared, started);
    }
}

/// The bodies in threads and coroutines hear of requests to stop by the language on top, which waits for them.
async fn follow_asks(asked: Option<UnixStream>, shared: &Shared) {
    let Some(mut asked) = asked else { return };
    let mut buffer = [0; 64];
    while asked.read(&mut buffer).await.is_ok_and(|count| count > 0) {
        shared.tell_stops();
    }
}

/// A child that has not loaded its app has nothing to bring to an end.
fn drain(shared: &Shared, started: &AtomicBool) {
    if !started.load(Ordering::Acquire) {
        die();
    }
    shared.drain();
}

/// A lease that could not be renewed may soon go to somebody else: what runs under it must be dead by then.
async fn follow_lease(shared: &Shared) {
    loop {
        tokio::time::sleep(LEASE_LOOK).await;
        let mut state = shared.state();
        if !state.is_late(Instant::now()) {
            continue;
        }
        if state.slots.busy() == 0 {
            if state.lapse() {
                shared.wake.notify_one();
            }
            continue;
        }
        drop(state);
        shared.request_all_stops(StopReason::LeaseLost);
        die_with_strays(shared.kind);
    }
}

/// The descriptor's socket for the runtime.
pub(super) fn socket(fd: OwnedFd) -> io::Result<UnixStream> {
    let socket = std::os::unix::net::UnixStream::from(fd);
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}
