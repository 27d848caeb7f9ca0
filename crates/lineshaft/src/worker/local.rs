//! A worker inside of the process that asks for it: no supervisor, no other process.
//!
//! The process is its own supervisor. It attaches a worker and one child over connections of its own; the attempts run
//! in threads or coroutines of whoever calls [`Attempts::next`] or [`Attempts::recv`]. What a supervisor does about
//! time and leases is done here, but nothing can be killed: an attempt that does not stop after its grace is reported
//! by [`Local::overdue`] and goes on. If the process dies, the server sees it and ends its leases.
//!
//! ```no_run
//! # async fn example(target: lineshaft::Target) -> Result<(), lineshaft::worker::Error> {
//! use lineshaft::worker::{Ending, Kind, TaskEntry, local};
//!
//! let tasks = vec![TaskEntry { name: "img.resize".into(), ..TaskEntry::default() }];
//! let worker = local::Local::start(local::Options::new(target, Kind::Async), tasks)?;
//! while let Some(job) = worker.recv().await {
//!     worker.begin(&job);
//!     worker.finish(&job, Ending::Returned(job.arguments.clone()));
//! }
//! # Ok(()) }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lineshaft_ipc::process::ProcessId;
use lineshaft_ipc::shared::{AttemptPage, Backlog, SLOTS_MAX};
use lineshaft_wire::message::{
    AttachChild, AttachWorker, ChildEnded, Message, NAME_FORM, ProcessKey, is_name,
};
use lineshaft_wire::{Fence, JobId};
use tokio::sync::{mpsc, watch};

use super::child::{Attempts, LocalParts, TaskEntry};
use super::clock::monotonic_ms;
use super::link::{Happened, Link};
use super::options::{GRACE_MAX, bad, default_name};
use super::{Error, Kind, StopReason};
use crate::Target;

/// How often the times of attempts are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long the last word to the server may take.
const LAST_WORD: Duration = Duration::from_millis(500);

/// Options of a [`Local`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The server; a home without a running server is waited for, never started.
    pub target: Target,
    /// What runs the attempts: threads or coroutines.
    pub kind: Kind,
    /// Attempts at a time, 1 to 16,384. Default: as of the kind.
    pub slots: u32,
    /// Queues that are served; empty is all.
    pub queues: Vec<Arc<str>>,
    /// How long an attempt that was asked to stop may take before it is [overdue](Local::overdue). 30 s, at most 7 days.
    pub grace: Duration,
    /// Whether what attempts print by [`Attempts::print`] goes to standard error too, each line with its attempt. On.
    pub tee: bool,
    /// The worker's name. Default `host:pid`.
    pub name: Option<String>,
    /// What its tasks take and give, a [schema](lineshaft_wire::schema) as JSON, for those who ask the server.
    pub schema: Option<Arc<str>>,
}

impl Options {
    /// Defaults for slots of `kind`.
    pub fn new(target: Target, kind: Kind) -> Self {
        let (slots, grace) = (kind.default_slots(), Duration::from_secs(30));
        Self { target, kind, slots, queues: Vec::new(), grace, tee: true, name: None, schema: None }
    }

    fn check(&self) -> Result<(), Error> {
        if self.kind == Kind::Process {
            return Err(bad(
                "kind",
                "process",
                "thread or async: a process in a process cannot be killed alone",
            ));
        }
        if !(1..=SLOTS_MAX).contains(&self.slots) {
            return Err(bad("slots", self.slots.to_string(), "a number from 1 to 16,384"));
        }
        if self.grace > GRACE_MAX {
            return Err(bad("grace", format!("{} s", self.grace.as_secs()), "at most 7 days"));
        }
        if let Some(queue) = self.queues.iter().find(|queue| !is_name(queue)) {
            return Err(bad("queues", format!("{queue:?}"), NAME_FORM));
        }
        Ok(())
    }
}

/// A running in-process worker; its [`Attempts`] are here to be run. Dropped, it stops as [`Self::close`] does, without
/// waiting.
#[derive(Debug)]
pub struct Local {
    attempts: Arc<Attempts>,
    parts: LocalParts,
    overdue: Arc<Mutex<BTreeSet<Fence>>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Deref for Local {
    type Target = Attempts;

    fn deref(&self) -> &Attempts {
        &self.attempts
    }
}

impl Local {
    /// Connects, in the background, and asks for jobs of `tasks`. [`Job::task`](super::Job::task) counts in this list.
    pub fn start(options: Options, tasks: Vec<TaskEntry>) -> Result<Self, Error> {
        options.check()?;
        let name: Arc<str> = options.name.clone().map_or_else(default_name, Ok)?.into();
        let ProcessId { pid, start_time } = ProcessId::current()?;
        let process = ProcessKey { pid, start_time };
        let nonce = fastrand::u64(1..);
        let introduction = AttachChild {
            worker: nonce,
            worker_name: Arc::clone(&name),
            number: 1,
            process,
            tasks: tasks.iter().map(TaskEntry::runs).collect(),
            queues: options.queues.clone(),
            held: Vec::new(),
            declared: tasks.iter().filter_map(|task| task.declared.clone()).collect(),
            attach: 0,
        };
        let page = Arc::new(AttemptPage::create(options.slots)?);
        let backlog = Arc::new(Backlog::create()?);
        let parts = LocalParts::new(page, backlog, (options.kind, Arc::clone(&name)), tee_of(&options));
        let attempts = parts.attempts(tasks);
        let schema = options.schema.clone();
        let worker = AttachWorker { name, process, nonce, processes: 1, attach: 0, schema };
        let overdue = Arc::new(Mutex::default());
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::io("start the connection's thread"))?;
        let body = {
            let (parts, overdue) = (parts.clone(), Arc::clone(&overdue));
            move || runtime.block_on(serve(parts, options, worker, introduction, overdue, stopped))
        };
        let spawned = thread::Builder::new().name("lineshaft-local".into()).spawn(body);
        let thread = Some(spawned.map_err(Error::io("start the connection's thread"))?);
        Ok(Self { attempts, parts, overdue, stop, thread })
    }

    /// The slots, to be kept where they are run.
    pub fn attempts(&self) -> &Arc<Attempts> {
        &self.attempts
    }

    /// No new work: what has not begun goes back, and [`Attempts::next`] and [`Attempts::recv`] say that none comes.
    pub fn drain(&self) {
        self.parts.drain();
    }

    /// Asks every running attempt to stop.
    pub fn stop_attempts(&self) {
        self.parts.request_all_stops(StopReason::Shutdown);
    }

    /// Attempts that were asked to stop longer ago than the grace and still run, and for how long they have run. They
    /// hold their slots and their leases.
    pub fn overdue(&self) -> Vec<(JobId, Fence, Duration)> {
        let overdue = self.overdue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = self.attempts.running();
        running.retain(|(_, fence, _)| overdue.contains(fence));
        running
    }

    /// [Drains](Self::drain), waits up to `timeout` until every end is confirmed, and disconnects; false if some were
    /// not. The leases of attempts that still run end by time then.
    pub fn close(mut self, timeout: Duration) -> bool {
        self.drain();
        let settled = self.parts.settle(timeout);
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // It panicked if it did; there is nothing left to save.
            let _ = thread.join();
        }
        settled
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.drain();
        let _ = self.stop.send(true);
    }
}

/// Where output is repeated.
fn tee_of(options: &Options) -> Option<std::os::fd::OwnedFd> {
    use std::os::fd::AsFd;
    // A process without standard error has nothing to repeat to.
    options.tee.then(|| std::io::stderr().as_fd().try_clone_to_owned().ok()).flatten()
}

async fn serve(
    parts: LocalParts,
    options: Options,
    worker: AttachWorker,
    introduction: AttachChild,
    overdue: Arc<Mutex<BTreeSet<Fence>>>,
    mut stopped: watch::Receiver<bool>,
) {
    let (say, words) = mpsc::unbounded_channel();
    let link = Link::new(options.target.running_only());
    let session = parts.session(Link::new(options.target.running_only()), introduction, tee_of(&options));
    let represent = represent(link, worker, words);
    let stop = async {
        // Closed is as good as told.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    };
    tokio::pin!(represent);
    tokio::select! {
        () = session => {}
        () = &mut represent => {}
        () = look_after(&parts, options.grace, &overdue) => {}
        () = stop => {}
    }
    if parts.is_idle() {
        let _ = say.send(ChildEnded { child: 1, newest: parts.newest(), ..ChildEnded::default() });
        drop(say);
        let _ = tokio::time::timeout(LAST_WORD, represent).await;
    }
}

/// The worker's own connection: says who it is, and at last that its child is gone.
async fn represent(mut link: Link, worker: AttachWorker, mut words: mpsc::UnboundedReceiver<ChildEnded>) {
    let mut request = 1;
    let mut last: Option<u64> = None;
    loop {
        tokio::select! {
            happened = link.next() => match happened {
                Happened::Connected => {
                    request += 1;
                    let message = AttachWorker { attach: request, ..worker.clone() };
                    queue(&mut link, request, &message.into());
                }
                Happened::Message(incoming) if Some(incoming.request_id) == last => return,
                Happened::Message(incoming) => match incoming.message {
                    Message::WorkerAttached(_) => link.settled(),
                    Message::Refused(refused) => link.reset(refused.into()),
                    _ => {}
                },
                Happened::Lost(error) => tracing::debug!(%error, "an in-process worker has no connection"),
            },
            Some(word) = words.recv() => {
                request += 1;
                last = Some(request);
                queue(&mut link, request, &word.into());
            }
        }
    }
}

fn queue(link: &mut Link, request: u64, message: &Message) {
    if let Some(connection) = link.connection()
        && let Err(error) = connection.queue(request, message, &[])
    {
        tracing::error!(%error, "a worker's message cannot be sent");
    }
}

/// What a supervisor does about time: timeouts, requests to stop, leases that are too old.
async fn look_after(parts: &LocalParts, grace: Duration, overdue: &Mutex<BTreeSet<Fence>>) {
    let mut asked: BTreeMap<Fence, Instant> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let now = Instant::now();
        parts.watch_clocks(monotonic_ms());
        if parts.is_late(now) {
            parts.request_all_stops(StopReason::LeaseLost);
        }
        parts.tell_stops();
        let since = |fence| (fence, asked.get(&fence).copied().unwrap_or(now));
        asked = parts.stopping().into_iter().map(since).collect();
        let late = asked.iter().filter(|(_, since)| now >= **since + grace).map(|(fence, _)| *fence);
        let late: BTreeSet<Fence> = late.collect();
        let mut overdue = overdue.lock().unwrap_or_else(PoisonError::into_inner);
        for fence in late.difference(&overdue) {
            tracing::warn!(%fence, "an attempt does not stop, and shares its process with others: it goes on");
        }
        *overdue = late;
    }
}
