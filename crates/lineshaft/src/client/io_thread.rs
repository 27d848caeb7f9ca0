//! The thread on which all clients of a process do their input and output: `lineshaft-io`, started by the first one.

use std::sync::{Mutex, OnceLock, PoisonError};

use tokio::runtime::{Builder, Handle};

use crate::Error;

struct IoThread {
    pid: u32,
    runtime: Handle,
}

/// The thread of the process that started one first. No lock guards it once it runs, so that a fork finds none held.
static FIRST: OnceLock<IoThread> = OnceLock::new();
/// The thread of a process that was forked from that one.
static FORKED: Mutex<Option<IoThread>> = Mutex::new(None);

/// The runtime of this process's I/O thread.
pub(crate) fn handle() -> Result<Handle, Error> {
    let pid = std::process::id();
    if let Some(first) = FIRST.get().filter(|first| first.pid == pid) {
        return Ok(first.runtime.clone());
    }
    let mut forked = FORKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(started) = running(forked.as_ref(), pid) {
        return Ok(started);
    }
    let thread = start(pid)?;
    let runtime = thread.runtime.clone();
    if let Err(thread) = FIRST.set(thread) {
        // The runtime of a parent must not be dropped here: its descriptors are shared with it.
        std::mem::forget(forked.replace(thread));
    }
    Ok(runtime)
}

/// The thread that another caller started while this one waited for the lock, or an earlier one of a fork.
fn running(forked: Option<&IoThread>, pid: u32) -> Option<Handle> {
    let started = [FIRST.get(), forked].into_iter().flatten().find(|thread| thread.pid == pid);
    started.map(|thread| thread.runtime.clone())
}

fn start(pid: u32) -> Result<IoThread, Error> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(4)
        .build()
        .map_err(|error| Error::io("start the I/O runtime", error))?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("lineshaft-io".into())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(|error| Error::io("start the I/O thread", error))?;
    Ok(IoThread { pid, runtime: handle })
}
