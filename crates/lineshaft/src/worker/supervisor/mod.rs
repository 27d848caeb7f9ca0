//! The supervisor of a worker: starts children, replaces those that die, reports their ends.
//!
//! Each child has a task that follows its [life](watch); the *crew* keeps their number, the connection to the server
//! and the worker's own end. Everything runs on the one thread that calls [`Supervisor::run`].

mod crew;
mod escalation;
mod last_word;
mod memory;
mod messages;
mod process;
mod reports;
mod watch;
mod wear;

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use tokio::sync::watch as changes;

use self::crew::Crew;
use super::options::{PROCESSES_MAX, default_name};
use super::{Error, Options};
use crate::talk::Talk;

/// The target of events of `tracing` that people were told of on standard error, too.
pub const TOLD: &str = "lineshaft::worker::told";

/// Who the worker is.
#[derive(Clone, Debug)]
struct Worker {
    options: Arc<Options>,
    name: Arc<str>,
    nonce: u64,
    /// Where it talks while it runs, unless it is to be silent.
    talk: Option<Talk>,
}

/// What is wanted of a worker; it only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    processes: u32,
    phase: Phase,
    /// Somebody waits for the end, and is told what for.
    aloud: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    /// As draining, but nobody waits for what runs.
    Leaving,
    Killing,
}

type Pids = Arc<Mutex<BTreeMap<u32, u32>>>;

/// A worker's supervisor, ready to run.
#[derive(Debug)]
pub struct Supervisor {
    worker: Worker,
    wishes: changes::Receiver<Wish>,
    pids: Pids,
}

/// Steers a running [`Supervisor`] from any thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    wishes: Arc<changes::Sender<Wish>>,
    pids: Pids,
}

impl Supervisor {
    /// Checks the options; starts nothing yet.
    pub fn new(options: Options) -> Result<(Self, Handle), Error> {
        options.check()?;
        let name = options.name.clone().map_or_else(default_name, Ok)?.into();
        let wish = Wish { processes: options.processes, phase: Phase::Running, aloud: false };
        let (wanted, wishes) = changes::channel(wish);
        let pids = Pids::default();
        let worker = Worker { options: Arc::new(options), name, nonce: fastrand::u64(1..), talk: None };
        let handle = Handle { wishes: Arc::new(wanted), pids: Arc::clone(&pids) };
        Ok((Self { worker, wishes, pids }, handle))
    }

    /// Runs until [`Handle::stop`] or [`Handle::kill`], and returns when no child is left; or until the worker cannot
    /// go on: [`Error::AppFailed`], [`Error::ChildrenDie`], [`Error::Spawn`], or [`Error::Server`] if the server does
    /// not answer within 5 s at the beginning. A server that goes away later is waited for.
    pub fn run(mut self) -> Result<(), Error> {
        self.worker.talk = self.worker.options.tee.then(Talk::to_stderr);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io("start the supervisor"))?;
        runtime.block_on(Crew::new(self.worker, self.wishes, self.pids).run())
    }

    /// As [`Self::run`], with the signals of a program: the first SIGTERM or SIGINT drains, the second one kills, and
    /// then this is [`Error::Killed`].
    pub fn run_with_signals(self, handle: &Handle) -> Result<(), Error> {
        let signals = Signals::follow(handle.clone())?;
        let result = self.run();
        let killed_by = signals.stop();
        result.and(killed_by.map_or(Ok(()), |signal| Err(Error::Killed { signal })))
    }
}

/// Runs a worker as a program: until SIGTERM or SIGINT, as [`Supervisor::run_with_signals`].
pub fn run(options: Options) -> Result<(), Error> {
    let (supervisor, handle) = Supervisor::new(options)?;
    supervisor.run_with_signals(&handle)
}

impl Handle {
    /// No new work: children finish or hand back what they have within the grace, then the supervisor returns.
    pub fn stop(&self) {
        self.wish(Phase::Draining, false);
    }

    /// The same, and says on standard error meanwhile what it waits for.
    pub fn stop_aloud(&self) {
        self.wish(Phase::Draining, true);
    }

    /// As [`Self::stop_aloud`], for a program whose user wants it to end: what runs is asked to stop at once, and killed
    /// after a second. Its jobs run again elsewhere or, where they may run once only, are given up.
    pub fn leave(&self) {
        self.wish(Phase::Leaving, true);
    }

    /// Ends every child now; jobs whose attempts had begun run again elsewhere or, where they may run once
    /// only, are given up.
    pub fn kill(&self) {
        self.wish(Phase::Killing, false);
    }

    /// Keeps at least `processes` children from here on.
    pub fn grow(&self, processes: u32) {
        let processes = processes.min(PROCESSES_MAX);
        self.wishes.send_if_modified(|wish| {
            let more = processes > wish.processes;
            wish.processes = wish.processes.max(processes);
            more
        });
    }

    /// Process ids of the children, oldest first.
    pub fn pids(&self) -> Vec<u32> {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner).values().copied().collect()
    }

    fn wish(&self, phase: Phase, aloud: bool) {
        self.wishes.send_if_modified(|wish| {
            let further = phase > wish.phase;
            wish.phase = wish.phase.max(phase);
            wish.aloud |= aloud;
            further
        });
    }
}

/// A thread that turns signals into wishes.
struct Signals {
    ids: Vec<signal_hook::SigId>,
    stop: UnixStream,
    /// The second signal, when it came.
    killed_by: Arc<AtomicI32>,
}

impl Signals {
    fn follow(handle: Handle) -> Result<Self, Error> {
        let failed = || Error::io("handle signals");
        let (came, raised) = UnixStream::pair().map_err(failed())?;
        let stop = raised.try_clone().map_err(failed())?;
        let (terminated, terminate) = UnixStream::pair().map_err(failed())?;
        terminated.set_nonblocking(true).map_err(failed())?;
        let ids = vec![
            // First the one that tells SIGTERM apart, then the one that wakes the thread.
            pipe::register(SIGTERM, terminate).map_err(failed())?,
            pipe::register(SIGTERM, raised.try_clone().map_err(failed())?).map_err(failed())?,
            pipe::register(SIGINT, raised).map_err(failed())?,
        ];
        let killed_by = Arc::new(AtomicI32::new(0));
        let killer = Arc::clone(&killed_by);
        let body = move || hear(came, terminated, &handle, &killer);
        thread::Builder::new().name("lineshaft-signals".into()).spawn(body).map_err(failed())?;
        Ok(Self { ids, stop, killed_by })
    }

    /// Follows them no longer; the signal that killed the worker, if one did.
    fn stop(self) -> Option<i32> {
        self.ids.into_iter().for_each(|id| _ = unregister(id));
        // Ends the thread's read.
        let _ = self.stop.shutdown(std::net::Shutdown::Both);
        Some(self.killed_by.load(Ordering::Acquire)).filter(|signal| *signal > 0)
    }
}

/// The first signal drains, the next one kills.
fn hear(mut came: UnixStream, mut terminated: UnixStream, handle: &Handle, killed_by: &AtomicI32) {
    let mut drains = false;
    let mut byte = [0; 1];
    while came.read(&mut byte).is_ok_and(|count| count > 0) {
        let signal = if terminated.read(&mut byte).is_ok() { SIGTERM } else { SIGINT };
        if drains {
            let _ = killed_by.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire);
            handle.kill();
        } else {
            handle.stop_aloud();
            drains = true;
        }
    }
}
