//! The runtime of a worker's child.
//!
//! The path of a job: the *session* (own thread, own connection) gives credit and receives leases into the queue; a slot
//! takes one with [`Attempts::next`] or [`Attempts::recv`], marks it in the attempt page with [`Attempts::begin`], runs
//! the body, and leaves the end with [`Attempts::finish`]; the session sends ends in batches and repeats them until they
//! are confirmed. What waits behind a long attempt is handed back. Meanwhile *guards* end the process when it has to
//! end.
//!
//! Nothing here takes a lock of the language on top: leases are renewed while a body computes.

mod accounts;
mod alert;
mod attempts;
mod checkpoint;
mod ending;
mod guard;
mod held;
mod helm;
mod job;
mod ledger;
mod logs;
mod output;
mod pace;
mod peak;
mod printed;
mod queue;
mod session;
mod slots;
mod started;
mod tee;
mod wear;
mod words;

use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lineshaft_ipc::allocator::share_one_heap;
use lineshaft_ipc::fd::adopt;
use lineshaft_ipc::process::{Pidfd, ProcessId};
use lineshaft_ipc::shared::{AttemptPage, Backlog, StopReason};
use lineshaft_wire::message::{AttachChild, Declared, ProcessKey};
use rustix::process::getppid;
use tokio::sync::mpsc;

use self::alert::Alert;
use self::attempts::Outputs;
use self::guard::Guard;
use self::output::Output;
use self::printed::Printed;
use self::queue::Shared;
use self::session::Session;
use self::words::Words;
use super::assignment::Assignment;
use super::death::Watched;
use super::link::Link;
use super::{Error, Kind, assignment};
use crate::Target;

pub use self::attempts::Attempts;
pub use self::checkpoint::Newest;
pub use self::job::{Ending, Job, Next, Ticket};

pub(super) use self::ending::{Noted, end_after};
pub(super) use self::guard::DRAIN;
pub use self::logs::Draft;
pub(super) use self::logs::left as logs_left;
pub(super) use self::session::LEASE_USED_MAX;
pub(super) use self::tee::Lines;

/// Most bytes of a report why the app does not load.
pub(super) const REPORT_BYTES_MAX: usize = 64 << 10;
/// Most bytes of a progress value.
pub const PROGRESS_BYTES_MAX: usize = 4_096;
pub use lineshaft_wire::message::CHECKPOINT_BYTES_MAX;
/// What a child writes to its supervisor when it has loaded the app, and before a report why it has not.
pub(super) const READY: u8 = b'r';
pub(super) const FAILED: u8 = b'f';
/// Written whenever an attempt with a limit of memory begins.
pub(super) const LIMITED: u8 = b'm';

/// A task that the child runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEntry {
    /// Its name.
    pub name: Arc<str>,
    /// The first and the last version whose jobs it runs.
    pub versions: (u32, u32),
    /// It must never run twice: the end of each attempt is confirmed before the next one begins, and an attempt that
    /// is interrupted is not put off.
    pub at_most_once: bool,
    /// Bytes of memory that its process may have, with all that it started: beyond them the supervisor kills it, and the
    /// attempt has crashed. `None` for as many as it likes. Nobody kills where the worker is in the same process.
    pub memory: Option<u64>,
    /// What its declaration says of its jobs, for clients that know it by its name alone.
    pub declared: Option<Declared>,
}

impl Default for TaskEntry {
    /// A task without a name, of the first version.
    fn default() -> Self {
        Self { name: "".into(), versions: (1, 1), at_most_once: false, memory: None, declared: None }
    }
}

impl TaskEntry {
    /// As the server is told of it.
    pub(super) fn runs(&self) -> Arc<str> {
        let (from, to) = self.versions;
        lineshaft_wire::task::runs(&self.name, from, to)
    }
}

/// This process as a worker's child; its [`Attempts`] are here to be run.
#[derive(Debug)]
pub struct Child {
    assignment: Assignment,
    shared: Arc<Shared>,
    attempts: Arc<Attempts>,
    output: Output,
    lifeline: UnixStream,
    sessions: mpsc::UnboundedSender<AttachChild>,
    started: Arc<AtomicBool>,
}

impl Deref for Child {
    type Target = Attempts;

    fn deref(&self) -> &Attempts {
        &self.attempts
    }
}

impl Child {
    /// Takes over what the supervisor handed to this process, and starts to watch, before the app is loaded: the
    /// process ends with its supervisor from here on. Its output goes through a pipe already.
    ///
    /// [`Error::NotAChild`] if no supervisor started the process. Call it once.
    pub fn from_env() -> Result<Self, Error> {
        let assignment = Assignment::from_env()?;
        // One body at a time; where there are several, they may well need heaps of their own.
        if assignment.kind == Kind::Process {
            share_one_heap();
        }
        let page = Arc::new(AttemptPage::from_fd(adopt(assignment.page)?)?);
        let tee = assignment.tee.map(adopt).transpose()?;
        let another = || tee.as_ref().map(OwnedFd::try_clone).transpose();
        let another = || another().map_err(Error::io("duplicate standard error"));
        let (its_tee, words) = (another()?, Words::new(another()?));
        // Standard error is what attempts print, of which records are no part.
        #[cfg(feature = "log")]
        lineshaft_log::handler::redirect_consoles(another()?);
        let output = Output::start(adopt(assignment.output)?, tee, Arc::clone(&page))?;
        let backlog = Arc::new(Backlog::from_fd(adopt(assignment.logs)?)?);
        let shared =
            Arc::new(Shared::new(page, assignment.kind, backlog, Arc::clone(&assignment.worker_name)));
        let outputs = match assignment.kind {
            Kind::Process => Outputs::Pipe(output.clone()),
            _ => Outputs::Each(Printed::new(Arc::clone(&shared.page), its_tee)),
        };
        let lifeline = UnixStream::from(adopt(assignment.lifeline)?);
        let its_lifeline = lifeline.try_clone().map_err(Error::io("duplicate the lifeline"))?;
        let alert = Alert::new(its_lifeline.into());
        let attempts = Arc::new(Attempts::new(Arc::clone(&shared), outputs, Some(alert)));
        let started = Arc::new(AtomicBool::new(false));
        let sessions = start_thread(&assignment, &shared, &lifeline, &started, words)?;
        Ok(Self { assignment, shared, attempts, output, lifeline, sessions, started })
    }

    /// The name of the variable that made this process a child, to be removed from its environment.
    pub const fn variable() -> &'static str {
        assignment::VARIABLE
    }

    /// The child's number within its worker.
    pub fn number(&self) -> u32 {
        self.assignment.number
    }

    /// The slots, to be kept where they are run.
    pub fn attempts(&self) -> &Arc<Attempts> {
        &self.attempts
    }

    /// The home it works for, where it knows one.
    pub fn target(&self) -> Target {
        (&self.assignment.address).into()
    }

    /// The app is loaded and declares these tasks: connects and asks for jobs. [`Job::task`] counts in this list.
    ///
    /// What was printed until now belongs to no attempt: flush before.
    pub fn start(&self, tasks: Vec<TaskEntry>) -> Result<(), Error> {
        self.output.settle();
        let ProcessId { pid, start_time } = ProcessId::current()?;
        let introduction = AttachChild {
            worker: self.assignment.worker,
            worker_name: Arc::clone(&self.assignment.worker_name),
            number: self.assignment.number,
            process: ProcessKey { pid, start_time },
            tasks: tasks.iter().map(TaskEntry::runs).collect(),
            queues: self.assignment.queues.clone(),
            held: Vec::new(),
            declared: tasks.iter().filter_map(|task| task.declared.clone()).collect(),
            attach: 0,
        };
        self.attempts.set_tasks(tasks);
        self.attempts.begin_wear(self.assignment.growth);
        self.started.store(true, Ordering::Release);
        // The thread lives as long as the process.
        let _ = self.sessions.send(introduction);
        self.tell(&[READY])
    }

    /// The app cannot be loaded: the supervisor gets the report, cut to 64 KiB, and the process should exit.
    pub fn fail(&self, report: &str) -> Result<(), Error> {
        self.output.settle();
        let report = &report.as_bytes()[..report.len().min(REPORT_BYTES_MAX)];
        self.tell(&[&[FAILED], report].concat())
    }

    fn tell(&self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            match rustix::io::write(&self.lifeline, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => thread::sleep(Duration::from_millis(1)),
                Err(error) => return Err(Error::io("talk to the supervisor")(error)),
            }
        }
        Ok(())
    }

    /// Waits up to `timeout` until the server has confirmed every end; false if it has not.
    pub fn close(&self, timeout: Duration) -> bool {
        self.attempts.settle_output();
        self.shared.settle(timeout)
    }
}

/// Starts the thread of session and guards. The session begins when its introduction comes.
fn start_thread(
    assignment: &Assignment,
    shared: &Arc<Shared>,
    lifeline: &UnixStream,
    started: &Arc<AtomicBool>,
    words: Words,
) -> Result<mpsc::UnboundedSender<AttachChild>, Error> {
    let supervisor = Pidfd::open(assignment.supervisor)?;
    if getppid().is_none_or(|parent| parent.as_raw_nonzero().get() as u32 != assignment.supervisor) {
        return Err(Error::NotAChild { detail: "its supervisor is gone".to_owned() });
    }
    let (terminated, on_terminate) = UnixStream::pair().map_err(Error::io("open a socket pair"))?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, on_terminate)
        .map_err(Error::io("handle SIGTERM"))?;
    let asked = follow_asks(assignment.kind)?;
    let lifeline = lifeline.try_clone().map_err(Error::io("duplicate the lifeline"))?;
    let parts = Parts {
        shared: Arc::clone(shared),
        link: Link::new((&assignment.address).into()),
        lifeline: lifeline.into(),
        terminated: terminated.into(),
        asked: asked.map(Into::into),
        supervisor,
        started: Arc::clone(started),
        words,
    };
    let (introduce, introduction) = mpsc::unbounded_channel();
    shared.helm()?.spawn(async {
        if let Err(error) = parts.run(introduction).await {
            tracing::error!(%error, "a child's connection failed");
            guard::die();
        }
    });
    let shared = Arc::clone(shared);
    let thread = thread::Builder::new().name("lineshaft-child".into());
    let spawned = thread.spawn(move || shared.stand_by());
    spawned.map_err(Error::io("start the connection's thread"))?;
    Ok(introduce)
}

/// Readable when the supervisor asked attempts to stop. A process hears it in the language on top, by SIGUSR1 itself.
fn follow_asks(kind: Kind) -> Result<Option<UnixStream>, Error> {
    if kind == Kind::Process {
        return Ok(None);
    }
    let (asked, on_ask) = UnixStream::pair().map_err(Error::io("open a socket pair"))?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGUSR1, on_ask)
        .map_err(Error::io("handle SIGUSR1"))?;
    Ok(Some(asked))
}

/// What the thread of session and guards is made of.
struct Parts {
    shared: Arc<Shared>,
    link: Link,
    lifeline: OwnedFd,
    terminated: OwnedFd,
    asked: Option<OwnedFd>,
    supervisor: Pidfd,
    started: Arc<AtomicBool>,
    words: Words,
}

impl Parts {
    async fn run(self, mut introduction: mpsc::UnboundedReceiver<AttachChild>) -> Result<(), Error> {
        let Self { shared, link, lifeline, terminated, asked, supervisor, started, words } = self;
        let supervisor = Watched::new(supervisor)?;
        let socket = |fd| guard::socket(fd).map_err(Error::io("start the connection's thread"));
        let (lifeline, terminate) = (socket(lifeline)?, socket(terminated)?);
        let asked = asked.map(socket).transpose()?;
        let guard = Guard { shared: Arc::clone(&shared), lifeline, supervisor, terminate, asked, started };
        let session = async {
            if let Some(introduction) = introduction.recv().await {
                Session::new(shared, link, introduction, words).run().await;
            }
        };
        tokio::join!(guard.run(), session);
        Ok(())
    }
}

/// The runtime without a process around it, for an in-process worker.
#[derive(Clone, Debug)]
pub(super) struct LocalParts {
    shared: Arc<Shared>,
    attempts: Arc<Attempts>,
}

impl LocalParts {
    pub(super) fn new(
        page: Arc<AttemptPage>,
        backlog: Arc<Backlog>,
        (kind, worker): (Kind, Arc<str>),
        tee: Option<OwnedFd>,
    ) -> Self {
        let shared = Arc::new(Shared::new(page, kind, backlog, worker));
        let outputs = Outputs::Each(Printed::new(Arc::clone(&shared.page), tee));
        let attempts = Arc::new(Attempts::new(Arc::clone(&shared), outputs, None));
        Self { shared, attempts }
    }

    pub(super) fn attempts(&self, tasks: Vec<TaskEntry>) -> Arc<Attempts> {
        self.attempts.set_tasks(tasks);
        Arc::clone(&self.attempts)
    }

    /// Serves the slots until it is dropped.
    pub(super) async fn session(&self, link: Link, introduction: AttachChild, words: Option<OwnedFd>) {
        let words = Words::new(words);
        Session::new(Arc::clone(&self.shared), link, introduction, words).run().await;
    }

    pub(super) fn drain(&self) {
        self.shared.drain();
    }

    pub(super) fn settle(&self, timeout: Duration) -> bool {
        self.shared.settle(timeout)
    }

    /// No attempt is in a slot, and none waits for one.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.shared.state();
        state.slots.busy() == 0 && state.unsettled == 0 && state.waiting.is_empty()
    }

    pub(super) fn newest(&self) -> Option<lineshaft_wire::Fence> {
        self.shared.page.newest().map(wire_fence)
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.shared.state().is_late(now)
    }

    pub(super) fn request_all_stops(&self, reason: StopReason) {
        self.shared.request_all_stops(reason);
    }

    pub(super) fn tell_stops(&self) {
        self.shared.tell_stops();
    }

    /// Asks attempts to stop whose time is over.
    pub(super) fn watch_clocks(&self, now_ms: u64) {
        let page = &self.shared.page;
        for begun in page.begun() {
            let is_late = begun.timeout_ms > 0 && now_ms.saturating_sub(begun.started_ms) >= begun.timeout_ms;
            if is_late && page.stop_requested(begun.place, begun.fence).is_none() {
                page.request_stop(begun.place, begun.fence, StopReason::TimedOut);
            }
        }
    }

    /// Running attempts that were asked to stop.
    pub(super) fn stopping(&self) -> Vec<lineshaft_wire::Fence> {
        let page = &self.shared.page;
        let asked =
            |begun: &lineshaft_ipc::shared::Begun| page.stop_requested(begun.place, begun.fence).is_some();
        page.begun().filter(asked).map(|begun| wire_fence(begun.fence)).collect()
    }
}

/// A fence of the page, as on the wire.
pub(super) fn wire_fence(fence: lineshaft_ipc::shared::Fence) -> lineshaft_wire::Fence {
    lineshaft_wire::Fence { epoch: fence.epoch, counter: fence.counter }
}
