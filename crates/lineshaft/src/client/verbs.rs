//! The requests of the client, one method each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lineshaft_wire::message::{
    BATCH_JOBS_MAX, BreakLocks, Cancel, ChangeQueue, Changed, Declared, Delete, Describe, Done, Enqueue,
    Enqueued, Fetch, Fetched, FilesHeld, HoldFiles, Invalidate, JobGroup, KeepFiles, List, ListLocks,
    ListLogs, ListTasks, Locks, Logs, Message, PAYLOAD_BYTES_MAX, Page, Pass, Passed, PayloadKind,
    ProfileNext, QueueVerb, RefusalCode, Retry, Show, Shown, Shutdown, Status, StatusReport, TaskStatistics,
    WorkerSchema,
};
use lineshaft_wire::{JobId, Looks};

use super::connection::unexpected;
use super::{Client, Reply};
use crate::Error;

/// What an enqueue came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewJobs {
    /// The jobs, in the order in which they were given.
    pub ids: Vec<JobId>,
    /// Positions of those that were there already, by their unique or idempotency key.
    pub existing: Vec<u32>,
    /// Positions of those among them that are completed: their results were cached.
    pub completed: Vec<u32>,
}

/// Deadlines of all of these are as in [`Client::call`].
impl Client {
    /// Makes jobs, all or none: those of the first group first. `payloads` holds the arguments of all jobs in order, in
    /// as many pieces as is convenient; their lengths are in the groups.
    pub fn enqueue(
        &self,
        groups: Vec<JobGroup>,
        payloads: Vec<Bytes>,
        deadline: Option<Duration>,
    ) -> Reply<NewJobs> {
        match check_batch(&groups, &payloads) {
            Err(error) => Reply::ready(Err(error)),
            Ok(()) => self.mutate(|sequence| Enqueue { sequence, groups }.into(), payloads, deadline),
        }
        .into_new_jobs()
    }

    /// A job's record; refused with [`RefusalCode::JobNotFound`].
    pub fn show(&self, job: JobId, deadline: Option<Duration>) -> Reply<Shown> {
        self.call(Show { job }, Vec::new(), deadline).into_shown()
    }

    /// [`Client::show`] for those who wait for the job: it starts no server in place of one that was stopped.
    pub fn show_aside(&self, job: JobId, deadline: Duration) -> Reply<Shown> {
        self.call_aside(Show { job }, deadline).into_shown()
    }

    /// What a task's declaration says of its jobs, as far as a worker told the server since it started.
    pub fn describe(&self, task: &str, deadline: Option<Duration>) -> Reply<Option<Declared>> {
        let describe = Describe { task: task.into(), schemas: false };
        self.call(describe, Vec::new(), deadline).map(|message, _| match message {
            Message::Described(described) => Ok(described.declared),
            other => Err(unexpected(&other, "Described")),
        })
    }

    /// What the tasks of connected workers take and give, as far as they said so.
    pub fn schemas(&self, deadline: Option<Duration>) -> Reply<Vec<WorkerSchema>> {
        let describe = Describe { task: "".into(), schemas: true };
        self.call(describe, Vec::new(), deadline).map(|message, _| match message {
            Message::Described(described) => Ok(described.schemas),
            other => Err(unexpected(&other, "Described")),
        })
    }

    /// What the attempts of a task came to and took, in each of its versions or in the one that it names, or those of
    /// all tasks.
    pub fn tasks(&self, task: Option<&str>, deadline: Option<Duration>) -> Reply<Vec<TaskStatistics>> {
        let list = ListTasks { task: task.map(Into::into) };
        self.call(list, Vec::new(), deadline).map(|message, _| match message {
            Message::Tasks(tasks) => Ok(tasks.tasks),
            other => Err(unexpected(&other, "Tasks")),
        })
    }

    /// A page of jobs.
    pub fn list(&self, list: List, deadline: Option<Duration>) -> Reply<Page> {
        self.call(list, Vec::new(), deadline).map(|message, _| match message {
            Message::Page(page) => Ok(page),
            other => Err(unexpected(&other, "Page")),
        })
    }

    /// The arguments or the result of a job; refused with [`RefusalCode::ResultExpired`] if it is not kept.
    pub fn fetch(&self, job: JobId, payload: PayloadKind, deadline: Option<Duration>) -> Reply<Bytes> {
        self.call(Fetch { job, payload }, Vec::new(), deadline).map(|message, payload| match message {
            Message::Fetched(Fetched { length }) if length == payload.len() as u64 => Ok(payload),
            other => Err(unexpected(&other, "Fetched")),
        })
    }

    /// Cancels a job; with [`Changed::cancelling`] it still runs and has been asked to stop.
    pub fn cancel(&self, job: JobId, deadline: Option<Duration>) -> Reply<Changed> {
        self.mutate(|sequence| Cancel { sequence, job }.into(), Vec::new(), deadline).into_changed()
    }

    /// Runs a waiting job now and gives its id; of a finished one makes a new job and gives that one's.
    pub fn retry(&self, job: JobId, deadline: Option<Duration>) -> Reply<NewJobs> {
        self.mutate(|sequence| Retry { sequence, job }.into(), Vec::new(), deadline).into_new_jobs()
    }

    /// Forgets a finished job.
    pub fn delete(&self, job: JobId, deadline: Option<Duration>) -> Reply<Changed> {
        self.mutate(|sequence| Delete { sequence, job }.into(), Vec::new(), deadline).into_changed()
    }

    /// Lets go of cached results: those of these keys, at most 1,024, and some of those whose keys begin with `prefix`.
    /// [`Changed::jobs`] says how many; a prefix is done with when it is 0.
    pub fn invalidate(
        &self,
        keys: Vec<Arc<str>>,
        prefix: Option<Arc<str>>,
        deadline: Option<Duration>,
    ) -> Reply<Changed> {
        self.mutate(|sequence| Invalidate { sequence, keys, prefix }.into(), Vec::new(), deadline)
            .into_changed()
    }

    /// Pauses, resumes or purges a queue.
    pub fn change_queue(&self, queue: &str, verb: QueueVerb, deadline: Option<Duration>) -> Reply<Changed> {
        let queue = queue.into();
        self.mutate(|sequence| ChangeQueue { sequence, queue, verb }.into(), Vec::new(), deadline)
            .into_changed()
    }

    /// The state of the engine.
    pub fn status(&self, deadline: Option<Duration>) -> Reply<StatusReport> {
        self.call(Status {}, Vec::new(), deadline).map(|message, _| match message {
            Message::StatusReport(report) => Ok(report),
            other => Err(unexpected(&other, "StatusReport")),
        })
    }

    /// A page of what attempts logged.
    pub fn logs(&self, list: ListLogs, deadline: Option<Duration>) -> Reply<Logs> {
        self.call(list, Vec::new(), deadline).map(into_logs)
    }

    /// [`Client::logs`] for those who wait for more: it starts no server in place of one that was stopped.
    pub fn logs_aside(&self, list: ListLogs, deadline: Duration) -> Reply<Logs> {
        self.call_aside(list, deadline).map(into_logs)
    }

    /// The next `count` attempts of a task are profiled, if they begin within an hour, and looked at in these ways besides.
    pub fn profile_next(
        &self,
        task: &str,
        count: u32,
        looks: Looks,
        deadline: Option<Duration>,
    ) -> Reply<()> {
        self.call(ProfileNext { task: task.into(), count, looks }, Vec::new(), deadline).map(|message, _| {
            match message {
                Message::Done(_) => Ok(()),
                other => Err(unexpected(&other, "Done")),
            }
        })
    }

    /// A page of the locks that are held or waited for.
    pub fn locks(&self, list: ListLocks, deadline: Option<Duration>) -> Reply<Locks> {
        self.call(list, Vec::new(), deadline).map(|message, _| match message {
            Message::Locks(locks) => Ok(locks),
            other => Err(unexpected(&other, "Locks")),
        })
    }

    /// Takes locks away from the holders with these fences; gives those that held one until then.
    pub fn break_locks(&self, fences: Vec<u64>, deadline: Option<Duration>) -> Reply<Vec<u64>> {
        self.call(BreakLocks { fences }, Vec::new(), deadline).map(|message, _| match message {
            Message::LocksBroken(broken) => Ok(broken.fences),
            other => Err(unexpected(&other, "LocksBroken")),
        })
    }

    /// Takes the next turn at a limiter, now or later.
    pub fn pass(&self, pass: Pass, deadline: Option<Duration>) -> Reply<Passed> {
        self.call(pass, Vec::new(), deadline).map(|message, _| match message {
            Message::Passed(passed) => Ok(passed),
            other => Err(unexpected(&other, "Passed")),
        })
    }

    /// Has the server keep the files of the home as they are, for a backup, as long as [`Client::keep_files`] says so.
    pub fn hold_files(&self, deadline: Option<Duration>) -> Reply<FilesHeld> {
        self.call(HoldFiles {}, Vec::new(), deadline).map(|message, _| match message {
            Message::FilesHeld(held) => Ok(held),
            other => Err(unexpected(&other, "FilesHeld")),
        })
    }

    /// Says that the files of commit `lsn` are still copied, or that this is `done`; refused with
    /// [`RefusalCode::WrongState`] if they were not held all the time.
    pub fn keep_files(&self, lsn: u64, done: bool, deadline: Option<Duration>) -> Reply<()> {
        self.call(KeepFiles { lsn, done }, Vec::new(), deadline).into_done()
    }

    /// Asks the server to stop; a connection that closes instead of an answer says that it does.
    pub fn shutdown(&self, on_demand_only: bool, deadline: Option<Duration>) -> Reply<()> {
        self.call(Shutdown { on_demand_only }, Vec::new(), deadline).into_done()
    }
}

/// Readings of answers, for requests that were resent after [`Error::OutcomeUnknown`].
impl Reply {
    /// Reads the answer to an enqueue or a retry.
    pub fn into_new_jobs(self) -> Reply<NewJobs> {
        self.map(|message, _| match message {
            Message::Enqueued(enqueued) => new_jobs(&enqueued),
            other => Err(unexpected(&other, "Enqueued")),
        })
    }

    fn into_done(self) -> Reply<()> {
        self.map(|message, _| match message {
            Message::Done(Done {}) => Ok(()),
            other => Err(unexpected(&other, "Done")),
        })
    }

    fn into_shown(self) -> Reply<Shown> {
        self.map(|message, _| match message {
            Message::Shown(shown) => Ok(shown),
            other => Err(unexpected(&other, "Shown")),
        })
    }

    /// Reads the answer to a change of a job or a queue.
    pub fn into_changed(self) -> Reply<Changed> {
        self.map(|message, _| match message {
            Message::Changed(changed) => Ok(changed),
            other => Err(unexpected(&other, "Changed")),
        })
    }
}

fn into_logs(message: Message, _: Bytes) -> Result<Logs, Error> {
    match message {
        Message::Logs(logs) => Ok(logs),
        other => Err(unexpected(&other, "Logs")),
    }
}

fn new_jobs(enqueued: &Enqueued) -> Result<NewJobs, Error> {
    let (ids, rest) = enqueued.ids.as_chunks::<16>();
    let ids: Option<Vec<JobId>> = ids.iter().map(|bytes| JobId::from_bytes(*bytes)).collect();
    match ids.filter(|_| rest.is_empty()) {
        Some(ids) => {
            let Enqueued { existing, completed, .. } = enqueued.clone();
            Ok(NewJobs { ids, existing, completed })
        }
        None => Err(Error::Protocol("Enqueued holds what is not a job id".into())),
    }
}

/// Finds out here what the server would refuse, without sending it.
fn check_batch(groups: &[JobGroup], payloads: &[Bytes]) -> Result<(), Error> {
    let lengths = || groups.iter().flat_map(|group| &group.lengths);
    let jobs = lengths().count();
    if jobs == 0 || jobs > BATCH_JOBS_MAX {
        return Err(Error::bad_request(format!(
            "{jobs} jobs in one request: 1 to {BATCH_JOBS_MAX} are allowed"
        )));
    }
    if let Some(length) = lengths().find(|length| u64::from(**length) > PAYLOAD_BYTES_MAX) {
        return Err(Error::Refused {
            code: RefusalCode::TooLarge,
            message: format!("arguments of {length} bytes: {PAYLOAD_BYTES_MAX} are allowed"),
            hint: Some("pass large data by reference (a path, a key)".into()),
        });
    }
    let announced: u64 = lengths().map(|length| u64::from(*length)).sum();
    let given: u64 = payloads.iter().map(|payload| payload.len() as u64).sum();
    if announced != given {
        return Err(Error::bad_request(format!(
            "the groups announce {announced} bytes, the payloads have {given}"
        )));
    }
    Ok(())
}
