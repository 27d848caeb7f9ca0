//! How a worker comes to be: this program, started again.

use std::fs;
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use lineshaft_ipc::channel::Channel;
use lineshaft_ipc::claims::Claims;
use lineshaft_ipc::fd::{adopt, inherit};
use lineshaft_ipc::process::end_with_this_process;
use serde::{Deserialize, Serialize};

use super::builder::Options;
use super::{Error, SLOTS, labour};

/// The variable that holds what a worker is given, as JSON.
const VARIABLE: &str = "LINESHAFT_POOL_WORKER";
const PROGRAM: &str = "/proc/self/exe";

static IS_INITIALIZED: AtomicBool = AtomicBool::new(false);

/// To be called first in `main` by a program with pools: workers are the same program, started again, and in them this does
/// what the pool says and never returns. Elsewhere it returns at once. It reads the environment, and starts nothing.
///
/// What `main` does before is done in each worker too. See [`Pool`](super::Pool) for a program.
///
/// A test binary has no `main` of its own. There a test calls this and nothing else, and pools are made with
/// [`Builder::args`](super::Builder::args) that run that test alone: `["pool_worker", "--exact", "--nocapture"]`. The tests
/// that make pools call it first, too.
///
/// # Panics
///
/// In a worker, if what its parent gave it is not there.
pub fn init() {
    if IS_INITIALIZED.swap(true, Ordering::Relaxed) {
        return;
    }
    let Ok(text) = std::env::var(VARIABLE) else { return };
    let equipment: Equipment = serde_json::from_str(&text).expect("what a pool gives to its workers");
    // What a worker starts inherits the variable, and is none.
    if equipment.parent == parent_id() {
        let (tasks, results, claims) = equipment.open().expect("a worker has what its pool gave it");
        labour::work(equipment.worker, &tasks, results, claims);
    }
}

pub(super) fn check_initialized() -> Result<(), Error> {
    IS_INITIALIZED.load(Ordering::Relaxed).then_some(()).ok_or(Error::NotInitialized)
}

/// What a worker has from its parent: numbers of descriptors.
#[derive(Serialize, Deserialize)]
struct Equipment {
    parent: u32,
    worker: u32,
    tasks: (RawFd, RawFd),
    results: (RawFd, RawFd),
    claims: RawFd,
}

impl Equipment {
    fn open(&self) -> lineshaft_ipc::Result<(Channel, Channel, Claims)> {
        let channel = |(ring, arena)| Channel::from_fds(adopt(ring)?, adopt(arena)?);
        Ok((channel(self.tasks)?, channel(self.results)?, Claims::from_fd(adopt(self.claims)?, SLOTS)?))
    }
}

/// Starts worker `worker`, the leader of a process group of its own, so that a Ctrl-C is the parent's alone. It ends with
/// the thread that calls this.
pub(super) fn start(
    worker: u32,
    options: &Options,
    tasks: &Channel,
    results: &Channel,
    claims: &Claims,
) -> Result<Child, Error> {
    let mut command = Command::new(program());
    let mut args = std::env::args_os();
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    match &options.args {
        Some(own) => command.args(own),
        None => command.args(args),
    };
    command.process_group(0).stdin(Stdio::null());
    let mut pass = |channel: &Channel| -> lineshaft_ipc::Result<_> {
        let (ring, arena) = channel.as_fds();
        Ok((inherit(&mut command, ring)?, inherit(&mut command, arena)?))
    };
    let (tasks, results) = (pass(tasks)?, pass(results)?);
    let claims = inherit(&mut command, claims.as_fd())?;
    let equipment = Equipment { parent: std::process::id(), worker, tasks, results, claims };
    command.env(VARIABLE, serde_json::to_string(&equipment).map_err(io::Error::from).map_err(cannot_start)?);
    end_with_this_process(&mut command);
    command.spawn().map_err(cannot_start)
}

/// The file of this program, whatever has become of it: by its name if that still is the same file, since tools show that.
fn program() -> PathBuf {
    let is_same = |path: &PathBuf| {
        let (named, own) = (fs::metadata(path).ok()?, fs::metadata(PROGRAM).ok()?);
        ((named.dev(), named.ino()) == (own.dev(), own.ino())).then_some(())
    };
    std::env::current_exe().ok().filter(|path| is_same(path).is_some()).unwrap_or_else(|| PROGRAM.into())
}

fn cannot_start(source: io::Error) -> Error {
    lineshaft_ipc::Error::os("start a worker of a pool")(source).into()
}
