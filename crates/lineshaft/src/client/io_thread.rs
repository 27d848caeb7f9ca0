//! The thread on which all clients of a process do their input and output: `lineshaft-io`, started by the first one.

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot::{Sender, channel};

use crate::Error;
use crate::per_process::PerProcess;

/// A thread with a runtime; it ends when this is dropped.
struct IoThread {
    runtime: Handle,
    _running: Sender<()>,
}

static THREADS: PerProcess<IoThread> = PerProcess::new();

/// The runtime of this process's I/O thread.
pub(crate) fn handle() -> Result<Handle, Error> {
    THREADS.get_or_try_make(start).map(|thread| thread.runtime.clone())
}

fn start() -> Result<IoThread, Error> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(4)
        .build()
        .map_err(|error| Error::io("start the I/O runtime", error))?;
    let handle = runtime.handle().clone();
    let (running, dropped) = channel::<()>();
    std::thread::Builder::new()
        .name("lineshaft-io".into())
        .spawn(move || runtime.block_on(dropped))
        .map_err(|error| Error::io("start the I/O thread", error))?;
    Ok(IoThread { runtime: handle, _running: running })
}
