//! The slots of a child as the language on top sees them: jobs to take, bodies to begin and end, requests to stop.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use lineshaft_ipc::shared::StopReason;
use lineshaft_wire::{Fence, LogRecord};

use super::accounts::Accounts;
use super::alert::Alert;
use super::ending::{Noted, end_after, end_leftovers, error_of, limited};
use super::guard::die_with_strays;
use super::job::{Ended, Ending, Job, Next, Ticket};
use super::logs::{self, Draft, Pushed};
use super::output::{Label, Output};
use super::peak::Peak;
use super::printed::Printed;
use super::queue::{Shared, page_fence};
use super::slots::Beginning;
use super::started::Started;
use super::wear::Wear;
use super::{PROGRESS_BYTES_MAX, TaskEntry};
use crate::worker::Kind;
use crate::worker::clock::{monotonic_ms_of, unix_ms};

/// Where the words of attempts go.
#[derive(Debug)]
pub(super) enum Outputs {
    /// The only slot has the process's standard output.
    Pipe(Output),
    /// Each of many is told apart by the language on top.
    Each(Printed),
}

/// The slots of a child: takes, begins and ends their attempts. Every function may be called from any thread; the
/// attempts of different slots do not wait for each other.
#[derive(Debug)]
pub struct Attempts {
    shared: Arc<Shared>,
    outputs: Outputs,
    started: Started,
    /// The supervisor, where there is one: this process may end for the sake of an attempt.
    supervisor: Option<Alert>,
    tasks: OnceLock<Box<[TaskEntry]>>,
    peak: Peak,
    accounts: Accounts,
    wear: Wear,
}

impl Attempts {
    pub(super) fn new(shared: Arc<Shared>, outputs: Outputs, supervisor: Option<Alert>) -> Self {
        Self {
            accounts: Accounts::new(shared.kind),
            shared,
            outputs,
            started: Started::new(),
            supervisor,
            tasks: OnceLock::new(),
            peak: Peak::new(),
            wear: Wear::default(),
        }
    }

    /// Once, before there are jobs.
    pub(super) fn set_tasks(&self, tasks: Vec<TaskEntry>) {
        self.shared.state().once = tasks.iter().map(|task| task.at_most_once).collect();
        let set = self.tasks.set(tasks.into());
        debug_assert!(set.is_ok(), "the tasks of a child are set once");
    }

    /// The app is loaded: from here on the process may grow by so many bytes.
    pub(super) fn begin_wear(&self, growth: Option<u64>) {
        self.wear.begin(growth, &self.shared.page);
    }

    /// What a slot is.
    pub fn kind(&self) -> Kind {
        self.shared.kind
    }

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        self.shared.page.slots()
    }

    /// Slots that have an attempt now.
    pub fn busy(&self) -> u32 {
        self.shared.state().slots.busy()
    }

    /// The next job, if one is here already and a slot is free. Some tens of nanoseconds.
    pub fn try_next(&self) -> Option<Job> {
        self.shared.try_next()
    }

    /// The next job, waiting for it up to `timeout`. [`Next::Drained`] when the worker stops: then
    /// [`close`](super::Child::close).
    pub fn next(&self, timeout: Duration) -> Next {
        self.shared.next(timeout)
    }

    /// The next job; `None` when the worker stops. Cancel-safe.
    pub async fn recv(&self) -> Option<Job> {
        self.shared.recv().await
    }

    /// Whether the worker stops and no job will come.
    pub fn is_drained(&self) -> bool {
        self.shared.is_drained()
    }

    /// A descriptor that is readable when [`Self::try_next`] may have something, or the worker stops: for the event
    /// loop of another language. Reading eight bytes empties it. Once.
    pub fn bell(&self) -> Result<std::os::fd::OwnedFd, super::Error> {
        use rustix::event::{EventfdFlags, eventfd};
        let action = "open an event descriptor";
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let bell = eventfd(0, flags).map_err(super::Error::io(action))?;
        self.shared.set_bell(bell.try_clone().map_err(super::Error::io(action))?);
        Ok(bell)
    }

    /// The body of `job` runs from here on; the last thing before it. From now on the death of this process counts
    /// as the attempt's.
    pub fn begin(&self, job: &Job) {
        let ticket = job.ticket();
        let task = self.task_of(job);
        let name = task.map_or_else(|| "?".into(), |task| Arc::clone(&task.name));
        let at_most_once = self.runs_once(job);
        let label = Label { task: name, digits: job.digits() };
        match &self.outputs {
            Outputs::Pipe(output) => output.begin(label),
            Outputs::Each(printed) => printed.begin(ticket, label),
        }
        let (started_at, began) = (unix_ms(), Instant::now());
        let is_new = self.peak.forget(began);
        let memory = task.and_then(|task| task.memory).unwrap_or(0);
        let note = Noted { job: Some(job.id), started_at, at_most_once, memory }.words();
        let opening = self.accounts.open(began, is_new);
        self.shared.begin(ticket, Beginning { started_at, began, at_most_once, opening });
        let timeout_ms = job.timeout.map_or(0, |timeout| (timeout.as_millis() as u64).max(1));
        self.shared.page.begin(ticket.place, monotonic_ms_of(began), timeout_ms, note);
        if let Some(supervisor) = self.supervisor.as_ref().filter(|_| memory > 0) {
            supervisor.give(began);
        }
        if self.shared.kind != Kind::Process && self.stop_requested(ticket).is_some() {
            self.shared.tell_stops();
        }
    }

    fn task_of(&self, job: &Job) -> Option<&TaskEntry> {
        self.tasks.get()?.get(job.task as usize)
    }

    fn runs_once(&self, job: &Job) -> bool {
        self.task_of(job).is_some_and(|task| task.at_most_once)
    }

    /// Why this attempt should stop, if it should. A nanosecond.
    pub fn stop_requested(&self, attempt: Ticket) -> Option<StopReason> {
        self.shared.page.stop_requested(attempt.place, page_fence(attempt.fence))
    }

    /// A running attempt that is to be stopped, waiting for one up to `timeout`; each comes once. Not for slots that
    /// are processes, which hear of it by SIGUSR1.
    pub fn next_stop(&self, timeout: Duration) -> Option<(Ticket, StopReason)> {
        self.shared.next_stop(timeout)
    }

    /// The same for coroutines. Cancel-safe.
    pub async fn recv_stop(&self) -> (Ticket, StopReason) {
        self.shared.recv_stop().await
    }

    /// Adds to the output of an attempt in a slot that is a thread or a coroutine; false once it is over, and in a copy
    /// of this process that a body made by a fork.
    pub fn print(&self, attempt: Ticket, bytes: &[u8]) -> bool {
        match &self.outputs {
            Outputs::Pipe(_) => false,
            Outputs::Each(printed) => printed.print(attempt, bytes),
        }
    }

    /// Whether an attempt has not ended yet.
    pub fn is_running(&self, attempt: Ticket) -> bool {
        self.shared.state().slots.get_mut(attempt).is_some()
    }

    /// Whether the attempt of `job` has not ended yet.
    pub fn is_open(&self, job: &Job) -> bool {
        self.is_running(job.ticket())
    }

    /// The attempt of `job` ended, begun or not; nothing if it had ended already. Its output is what was printed until now: flush before.
    ///
    /// If it was asked to stop and did not return, its end says so, and what it left running is ended first: the process
    /// group where the slot is a process, else what was [noted](Self::note_process). Does not wait for the server, but for tasks that run at most once.
    /// Gives how long the body ran; nothing if it had not begun.
    pub fn finish(&self, job: &Job, ending: Ending) -> Duration {
        self.end(job, ending, true)
    }

    /// As [`Self::finish`], also where the task runs at most once: for event loops, whose slots do not follow each other.
    pub fn finish_without_waiting(&self, job: &Job, ending: Ending) -> Duration {
        self.end(job, ending, false)
    }

    fn end(&self, job: &Job, ending: Ending, waits: bool) -> Duration {
        let ticket = job.ticket();
        let Some(running) = self.shared.running(ticket) else { return Duration::ZERO };
        let Some(Beginning { started_at, began, at_most_once, opening }) = running.begun else {
            let now = unix_ms();
            let ended = Ended::new(job, (now, now), limited(ending), Bytes::new());
            self.shared.finish(ticket, ended, Instant::now(), waits && self.runs_once(job));
            return Duration::ZERO;
        };
        // In an event loop others ran meanwhile.
        let measures = self.accounts.close(opening.filter(|_| waits), began, began.elapsed());
        let ending = self.stopped(job, at_most_once, limited(ending));
        let output = match &self.outputs {
            Outputs::Pipe(output) => output.end(),
            Outputs::Each(printed) => printed.end(ticket),
        };
        let now = Instant::now();
        let took = now - began;
        let times = (started_at, started_at + took.as_millis() as u64);
        let ended = Ended { measures, ..Ended::new(job, times, ending, output) };
        self.started.forget(ticket.fence);
        self.shared.finish(ticket, ended, now, waits && at_most_once);
        if let Some(grown) = self.wear.excess() {
            self.shared.page.set_worn(grown);
            self.shared.drain();
        }
        took
    }

    /// The end of an attempt that may have been asked to stop.
    fn stopped(&self, job: &Job, at_most_once: bool, ending: Ending) -> Ending {
        let (Some(reason), Ending::Other(end)) = (self.stop_requested(job.ticket()), &ending) else {
            return ending;
        };
        match self.shared.kind {
            Kind::Process => end_leftovers(),
            _ => self.end_processes(job.ticket()),
        }
        Ending::Other(end_after(reason, at_most_once, error_of(end.clone())))
    }

    /// An attempt in a slot that is a thread or a coroutine started a process, which nobody has waited for yet.
    pub fn note_process(&self, attempt: Ticket, pid: u32) {
        self.started.note(attempt.fence, pid);
    }

    /// Whether an attempt that was asked to stop has left processes running that were [noted](Self::note_process).
    pub fn has_leftovers(&self, attempt: Ticket) -> bool {
        self.stop_requested(attempt).is_some() && self.started.has_living(attempt.fence)
    }

    /// Ends the processes that an attempt has started until now, with all that these started: SIGTERM, and SIGKILL
    /// after two seconds. Blocks for as long as that takes.
    pub fn end_processes(&self, attempt: Ticket) {
        if !self.started.end(attempt.fence) && self.supervisor.is_some() {
            // The supervisor reports this process's death once the whole group is empty.
            die_with_strays(self.shared.kind);
        }
    }

    /// Leaves word how far the attempt is, an encoded value; a newer word replaces an older one. Nothing if the
    /// attempt is over, or if the word has more than [`PROGRESS_BYTES_MAX`] bytes.
    pub fn report_progress(&self, attempt: Ticket, value: Vec<u8>) {
        if value.len() <= PROGRESS_BYTES_MAX {
            self.shared.report_progress(attempt, value);
        }
    }

    /// The name of a job's task, and that of the worker.
    pub fn names_of(&self, job: &Job) -> (Arc<str>, Arc<str>) {
        self.names_at(job.task)
    }

    /// The same, of the task at this position of the list.
    pub(crate) fn names_at(&self, task: u32) -> (Arc<str>, Arc<str>) {
        let task = self.tasks.get().and_then(|tasks| tasks.get(task as usize));
        let task = task.map_or_else(|| "?".into(), |task| Arc::clone(&task.name));
        (task, Arc::clone(&self.shared.worker))
    }

    /// The name of the worker.
    #[cfg(feature = "log")]
    pub(crate) fn worker_name(&self) -> &Arc<str> {
        &self.shared.worker
    }

    /// Keeps what the attempt of a job logged until the server has it, also if this process dies; cut to what is kept of
    /// a record. Whether it is kept, which it is not while a MiB waits for a server that is away, and in a copy of this process
    /// that a body made by a fork; `None` if there is no room, and soon some: see [`Self::log_waiting`].
    pub fn log(&self, record: &mut LogRecord) -> Option<bool> {
        logs::shorten(record);
        let pushed = self.shared.logs.push(record);
        if pushed == Pushed::KeptAndNew {
            self.shared.wake.notify_one();
        }
        match pushed {
            Pushed::Kept | Pushed::KeptAndNew => Some(true),
            Pushed::Full => None,
            Pushed::Dropped => Some(false),
        }
    }

    /// The same, waiting for room up to `timeout`, a millisecond at a time; whether it is kept.
    pub fn log_waiting(&self, record: &mut LogRecord, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        loop {
            if let Some(is_kept) = self.log(record) {
                return is_kept;
            }
            if Instant::now() >= until {
                return false;
            }
            self.shared.wake.notify_one();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A record that is not finished and is kept as it is if this process dies; `None` if there are too many.
    pub fn draft(&self) -> Option<Draft> {
        Draft::begin(&self.shared)
    }

    /// Leaves word from where the next attempt of the job goes on: an encoded value of 1 to
    /// [`CHECKPOINT_BYTES_MAX`](super::CHECKPOINT_BYTES_MAX) bytes, which replaces the one before. The reply says whether it
    /// is durable; false if the attempt is over, or belongs to another worker by now and is asked to stop. It comes when the
    /// server has answered, however long that is away; an attempt that is asked to stop meanwhile need not wait for it.
    pub fn checkpoint(&self, attempt: Ticket, value: Vec<u8>) -> crate::Reply<bool> {
        self.shared.leave_checkpoint(attempt, value)
    }

    /// The attempts that run, each with the time since its body began.
    pub fn running(&self) -> Vec<(lineshaft_wire::JobId, Fence, Duration)> {
        let state = self.shared.state();
        let begun = |running: &super::slots::Running| {
            let beginning = running.begun?;
            Some((running.job, running.fence, beginning.began.elapsed()))
        };
        state.slots.iter().filter_map(|(_, running)| begun(running)).collect()
    }

    pub(super) fn settle_output(&self) {
        if let Outputs::Pipe(output) = &self.outputs {
            output.settle();
        }
    }
}
