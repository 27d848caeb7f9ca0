//! The runtime of a worker's child.
//!
//! The path of a job: the *session* (own thread, own connection) gives credit and receives leases into the queue; the
//! slot takes one with [`Child::next`], marks it in the attempt page with [`Child::begin`], runs the body, and leaves
//! the end with [`Child::finish`]; the session sends ends in batches and repeats them until they are confirmed. What
//! waits behind a long attempt is handed back. Meanwhile *guards* end the process when it has to end.
//!
//! Nothing here takes a lock of the language on top: leases are renewed while a body computes.

mod ending;
mod guard;
mod job;
mod ledger;
mod output;
mod pace;
mod queue;
mod session;
mod tee;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_ipc::fd::adopt;
use lineshaft_ipc::process::{Pidfd, ProcessId};
use lineshaft_ipc::shared::{AttemptPage, StopReason};
use lineshaft_wire::Fence;
use lineshaft_wire::message::{AttachChild, ProcessKey};
use rustix::process::getppid;
use tokio::sync::mpsc;

use self::ending::{end_leftovers, error_of, limited, note};
use self::guard::Guard;
use self::job::Ended;
use self::output::{Label, Output};
use self::queue::{Shared, page_fence};
use self::session::Session;
use super::assignment::Assignment;
use super::clock::{monotonic_ms, unix_ms};
use super::death::Watched;
use super::link::Link;
use super::{Error, assignment};
use crate::Target;

pub use self::job::{Ending, Job, Next};

pub(super) use self::ending::end_after;
pub(super) use self::guard::DRAIN;
pub(super) use self::session::LEASE_USED_MAX;
pub(super) use self::tee::Lines;

/// Most bytes of a report why the app does not load.
pub(super) const REPORT_BYTES_MAX: usize = 64 << 10;
/// Most bytes of a progress value.
pub const PROGRESS_BYTES_MAX: usize = 4_096;
/// What a child writes to its supervisor when it has loaded the app, and before a report why it has not.
pub(super) const READY: u8 = b'r';
pub(super) const FAILED: u8 = b'f';

/// A task that the child runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEntry {
    /// Its name.
    pub name: Arc<str>,
    /// It must never run twice: the end of each attempt is confirmed before the next one begins, and an attempt that
    /// is interrupted is not put off.
    pub at_most_once: bool,
}

/// This process as a worker's child. One thread, the *slot*, takes and ends jobs; any may ask.
#[derive(Debug)]
pub struct Child {
    assignment: Assignment,
    shared: Arc<Shared>,
    output: Output,
    lifeline: UnixStream,
    sessions: mpsc::UnboundedSender<AttachChild>,
    started: Arc<AtomicBool>,
    tasks: Mutex<Arc<[TaskEntry]>>,
    current: Mutex<Option<Current>>,
}

/// The attempt whose body runs.
#[derive(Debug)]
struct Current {
    job: Job,
    started_at: u64,
    began: Instant,
    at_most_once: bool,
}

impl Child {
    /// Takes over what the supervisor handed to this process, and starts to watch, before the app is loaded: the
    /// process ends with its supervisor from here on. Its output goes through a pipe already.
    ///
    /// [`Error::NotAChild`] if no supervisor started the process. Call it once.
    pub fn from_env() -> Result<Self, Error> {
        let assignment = Assignment::from_env()?;
        let page = Arc::new(AttemptPage::from_fd(adopt(assignment.page)?)?);
        let tee = assignment.tee.map(adopt).transpose()?;
        let output = Output::start(adopt(assignment.output)?, tee, Arc::clone(&page))?;
        let shared = Arc::new(Shared::new(page));
        let lifeline = UnixStream::from(adopt(assignment.lifeline)?);
        let started = Arc::new(AtomicBool::new(false));
        let sessions = start_thread(&assignment, &shared, &lifeline, &started)?;
        let (tasks, current) = (Mutex::new(Arc::default()), Mutex::default());
        Ok(Self { assignment, shared, output, lifeline, sessions, started, tasks, current })
    }

    /// The name of the variable that made this process a child, to be removed from its environment.
    pub const fn variable() -> &'static str {
        assignment::VARIABLE
    }

    /// The child's number within its worker.
    pub fn number(&self) -> u32 {
        self.assignment.number
    }

    /// The home it works for, where it knows one.
    pub fn target(&self) -> Target {
        (&self.assignment.address).into()
    }

    /// The app is loaded and declares these tasks: connects and asks for jobs. [`Job::task`] counts in this list.
    pub fn start(&self, tasks: Vec<TaskEntry>) -> Result<(), Error> {
        let ProcessId { pid, start_time } = ProcessId::current()?;
        let introduction = AttachChild {
            worker: self.assignment.worker,
            worker_name: Arc::clone(&self.assignment.worker_name),
            number: self.assignment.number,
            process: ProcessKey { pid, start_time },
            tasks: tasks.iter().map(|task| Arc::clone(&task.name)).collect(),
            queues: self.assignment.queues.clone(),
            held: Vec::new(),
        };
        self.shared.state().one_by_one = tasks.iter().any(|task| task.at_most_once);
        *lock(&self.tasks) = tasks.into();
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

    /// The next job, if one is here already. Some tens of nanoseconds.
    pub fn try_next(&self) -> Option<Job> {
        self.shared.try_next()
    }

    /// The next job, waiting for it up to `timeout`. [`Next::Drained`] when the worker stops: then [`Self::close`].
    pub fn next(&self, timeout: Duration) -> Next {
        self.shared.next(timeout)
    }

    /// The body of `job` runs from here on; the last thing before it. From now on the death of this process counts
    /// as the attempt's.
    pub fn begin(&self, job: &Job) {
        let task = lock(&self.tasks).get(job.task as usize).cloned();
        let (name, at_most_once) =
            task.map_or_else(|| ("?".into(), false), |task| (task.name, task.at_most_once));
        self.output.begin(Label { task: name, digits: job.digits() });
        let started_at = unix_ms();
        let note = note(job, started_at, at_most_once);
        *lock(&self.current) =
            Some(Current { job: job.clone(), started_at, began: Instant::now(), at_most_once });
        let timeout_ms = job.timeout.map_or(0, |timeout| (timeout.as_millis() as u64).max(1));
        self.shared.page.begin(page_fence(job.fence), monotonic_ms(), timeout_ms, note);
    }

    /// Why the running attempt should stop, if it should. A nanosecond mostly.
    pub fn stop_requested(&self) -> Option<(Fence, StopReason)> {
        let fence = lock(&self.current).as_ref()?.job.fence;
        self.shared.page.stop_requested(page_fence(fence)).map(|reason| (fence, reason))
    }

    /// The attempt of `job` ended, begun or not. Its output is what was printed until now: flush before.
    ///
    /// If it was asked to stop and did not return, its end says so, and what it left running in the process group is
    /// ended first. Does not wait for the server, but for tasks that run at most once.
    pub fn finish(&self, job: &Job, ending: Ending) {
        let current = lock(&self.current).take().filter(|current| current.job.fence == job.fence);
        let now = unix_ms();
        let Some(Current { started_at, began, at_most_once, .. }) = current else {
            let ended = Ended::new(job, (now, now), limited(ending), Bytes::new());
            return self.shared.finish(Some(ended), false);
        };
        let ending = self.stopped(job, at_most_once, limited(ending));
        let output = self.output.end();
        let finished_at = started_at + began.elapsed().as_millis() as u64;
        let ended = ending.map(|ending| Ended::new(job, (started_at, finished_at), ending, output));
        self.shared.finish(ended, at_most_once);
        self.shared.page.end();
    }

    /// The end of an attempt that may have been asked to stop; `None` if nothing must be reported.
    fn stopped(&self, job: &Job, at_most_once: bool, ending: Ending) -> Option<Ending> {
        let Some(reason) = self.shared.page.stop_requested(page_fence(job.fence)) else {
            return Some(ending);
        };
        if matches!(ending, Ending::Returned(_)) && reason != StopReason::LeaseLost {
            return Some(ending);
        }
        end_leftovers();
        let Ending::Other(end) = ending else { return None };
        end_after(reason, at_most_once, error_of(end)).map(Ending::Other)
    }

    /// Leaves word how far the attempt is, an encoded value; a newer word replaces an older one. Nothing if the
    /// attempt is over, or if the word has more than [`PROGRESS_BYTES_MAX`] bytes.
    pub fn report_progress(&self, fence: Fence, value: Vec<u8>) {
        if value.len() <= PROGRESS_BYTES_MAX {
            self.shared.report_progress(fence, value);
        }
    }

    /// Waits up to `timeout` until the server has confirmed every end; false if it has not.
    pub fn close(&self, timeout: Duration) -> bool {
        self.output.settle();
        self.shared.settle(timeout)
    }
}

/// Starts the thread of session and guards. The session begins when its introduction comes.
fn start_thread(
    assignment: &Assignment,
    shared: &Arc<Shared>,
    lifeline: &UnixStream,
    started: &Arc<AtomicBool>,
) -> Result<mpsc::UnboundedSender<AttachChild>, Error> {
    let supervisor = Pidfd::open(assignment.supervisor)?;
    if getppid().is_none_or(|parent| parent.as_raw_nonzero().get() as u32 != assignment.supervisor) {
        return Err(Error::NotAChild { detail: "its supervisor is gone".to_owned() });
    }
    let (terminated, on_terminate) = UnixStream::pair().map_err(Error::io("open a socket pair"))?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, on_terminate)
        .map_err(Error::io("handle SIGTERM"))?;
    let lifeline = lifeline.try_clone().map_err(Error::io("duplicate the lifeline"))?;
    let parts = Parts {
        shared: Arc::clone(shared),
        link: Link::new((&assignment.address).into()),
        lifeline: lifeline.into(),
        terminated: terminated.into(),
        supervisor,
        started: Arc::clone(started),
    };
    let (introduce, introduction) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("start the connection's thread"))?;
    let thread = thread::Builder::new().name("lineshaft-child".into());
    let spawned = thread.spawn(move || match runtime.block_on(parts.run(introduction)) {
        Ok(()) => {}
        Err(error) => {
            tracing::error!(%error, "a child's connection thread failed");
            guard::die();
        }
    });
    spawned.map_err(Error::io("start the connection's thread"))?;
    Ok(introduce)
}

/// What the thread of session and guards is made of.
struct Parts {
    shared: Arc<Shared>,
    link: Link,
    lifeline: OwnedFd,
    terminated: OwnedFd,
    supervisor: Pidfd,
    started: Arc<AtomicBool>,
}

impl Parts {
    async fn run(self, mut introduction: mpsc::UnboundedReceiver<AttachChild>) -> Result<(), Error> {
        let Self { shared, link, lifeline, terminated, supervisor, started } = self;
        let supervisor = Watched::new(supervisor)?;
        let socket = |fd| guard::socket(fd).map_err(Error::io("start the connection's thread"));
        let (lifeline, terminate) = (socket(lifeline)?, socket(terminated)?);
        let guard = Guard { shared: Arc::clone(&shared), lifeline, supervisor, terminate, started };
        let session = async {
            if let Some(introduction) = introduction.recv().await {
                Session::new(shared, link, introduction).run().await;
            }
        };
        tokio::join!(guard.run(), session);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
