//! What was logged is written before a signal ends the process.
//!
//! A handler of a signal may do next to nothing, and what waits in a ring is none of that: it writes a byte to a pipe, and
//! a thread that reads there waits for the handlers and ends the process as the signal would have done. Those of a crash,
//! such as SIGSEGV and SIGABRT, wait for such a thread where they came, and go on: see [`lineshaft_ipc::crash`].
//!
//! Unsafe for the registration, whose action has to do with what is allowed in a handler.
#![allow(unsafe_code)]

use std::io::{self, Read};
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lineshaft_ipc::crash::{self, Act};
use pyo3::pyfunction;
use signal_hook::consts::SIGTERM;
use signal_hook::low_level::{emulate_default_handler, exit, register};

use super::state;

/// The process that waits for its handlers, and the end of the pipe that its thread does not read from. A fork of it ends
/// at once, as its thread is not there.
static PROCESS: AtomicI32 = AtomicI32::new(0);
static IS_ON: AtomicBool = AtomicBool::new(false);
static PIPE: AtomicI32 = AtomicI32::new(-1);
static SIGTERM_TOO: AtomicBool = AtomicBool::new(false);

/// From now on, in this process, these signals wait until what was logged is written; none, if there are none.
pub(super) fn watch(signals: &[i32]) -> io::Result<()> {
    let (crashes, mut ends): (Vec<i32>, Vec<i32>) =
        signals.iter().copied().partition(|signal| crash::SIGNALS.contains(signal));
    if SIGTERM_TOO.load(Ordering::Relaxed) && !ends.contains(&SIGTERM) {
        ends.push(SIGTERM);
    }
    crash::act_before_those(&crashes, (!crashes.is_empty()).then(|| Arc::new(flush_before_a_crash) as Act))?;
    watch_ends(&ends)
}

/// From the first record on, SIGTERM is one of these signals in this process, whatever `configure` says: the worker of a pool
/// is ended by it as soon as all results are known.
#[pyfunction]
pub(super) fn log_flush_before_sigterm() {
    SIGTERM_TOO.store(true, Ordering::Relaxed);
}

fn flush_before_a_crash() {
    super::formatting::without(|| state::flush_for_the_end(false));
}

fn watch_ends(signals: &[i32]) -> io::Result<()> {
    static REGISTERED: Mutex<Vec<i32>> = Mutex::new(Vec::new());

    let process = process();
    IS_ON.store(!signals.is_empty(), Ordering::Relaxed);
    if signals.is_empty() {
        return Ok(());
    }
    if PROCESS.load(Ordering::Relaxed) != process {
        let (mut reader, writer) = io::pipe()?;
        std::thread::Builder::new().name("lineshaft-log-signals".to_owned()).spawn(move || {
            let mut signal = [0];
            if reader.read_exact(&mut signal).is_ok() {
                state::flush_for_the_end(true);
                end(i32::from(signal[0]));
            }
        })?;
        // Open as long as the process is.
        PIPE.store(writer.into_raw_fd(), Ordering::Relaxed);
        PROCESS.store(process, Ordering::Relaxed);
    }
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    for signal in signals {
        if !registered.contains(signal) {
            let signal = *signal;
            // SAFETY: the action loads two numbers, asks for the process, and writes to a pipe or ends the process: all
            // of that is allowed in a handler. It does not allocate and takes no lock.
            unsafe { register(signal, move || arrived(signal)) }?;
            registered.push(signal);
        }
    }
    Ok(())
}

/// In a handler of a signal.
fn arrived(signal: i32) {
    if IS_ON.load(Ordering::Relaxed) && PROCESS.load(Ordering::Relaxed) == process() {
        // SAFETY: a pipe that is never closed.
        let pipe = unsafe { BorrowedFd::borrow_raw(PIPE.load(Ordering::Relaxed)) };
        if rustix::io::write(pipe, &[signal as u8]).is_ok() {
            return;
        }
    }
    end(signal);
}

/// As the signal would. What it would do is nothing to the first process of a container, which then goes all the same.
fn end(signal: i32) {
    if process() == 1 {
        exit(128 + signal);
    }
    let _ = emulate_default_handler(signal);
}

fn process() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}
