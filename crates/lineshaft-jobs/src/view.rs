//! A job as readers see it, and pages of jobs in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use lineshaft_wire::message::{
    Filter, ProcessKey, QueueReport, Rules, TASK_REPORTS_MAX, TaskReport, TaskStatistics,
};
use lineshaft_wire::{
    AttemptRecord, ErrorRecord, Fence, JobId, JobRecord, JobState, Looks, Measures, Outcome, task,
};
use rustc_hash::FxHashMap;

use crate::account::Account;
use crate::change::{Place, RunAt};
use crate::command::Refusal;
use crate::extra::Parked;
use crate::job::Job;
use crate::state::State;

/// Slots looked at for one page, so that a page costs the same however many jobs there are.
const LOOK_MAX: u32 = 16_384;

/// A job's record without what lies in the journal, and where that lies.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The record; the attempts in it lack error and output.
    pub record: JobRecord,
    /// Where error and output of each attempt lie.
    pub attempts: Vec<AttemptView>,
    /// Where the arguments lie.
    pub arguments: Place,
    /// Where the result lies.
    pub result: Place,
    /// Where the checkpoint lies.
    pub checkpoint: Place,
    /// How the job is run.
    pub rules: Arc<Rules>,
    /// Number of the job among finished ones; 0 if it is not.
    pub finish_number: u64,
}

/// Where the payloads of an attempt lie.
#[derive(Clone, Copy, Debug)]
pub struct AttemptView {
    /// An encoded error record; see [`decode_error`].
    pub error: Place,
    /// What it printed.
    pub output: Place,
}

/// What a worker needs to run a leased job.
#[derive(Clone, Copy, Debug)]
pub struct LeaseView<'a> {
    /// The job.
    pub job: JobId,
    /// Its task, with its version.
    pub task: &'a Arc<str>,
    /// Number of this attempt, from 1.
    pub attempt: u32,
    /// How it is run.
    pub rules: &'a Rules,
    /// Milliseconds that the attempt may take: its timeout, or less if the job's deadline comes first.
    pub timeout_ms: Option<u64>,
    /// Whether another attempt follows if this one errors or times out.
    pub has_retry: bool,
    /// How its attempts are to be looked at, by its tags.
    pub looks: Looks,
    /// Fields of all that the attempt logs.
    pub context: Option<&'a Arc<str>>,
    /// Where the arguments lie.
    pub arguments: Place,
    /// Where the checkpoint lies.
    pub checkpoint: Place,
}

/// What someone who waits for a job is told when it ends.
#[derive(Clone, Debug)]
pub struct EndView<'a> {
    /// The job.
    pub job: JobId,
    /// Its task.
    pub task: &'a Arc<str>,
    /// `completed`, `cancelled` or `discarded`.
    pub state: JobState,
    /// Why, if not completed.
    pub reason: Option<&'a Arc<str>>,
    /// How it was run.
    pub rules: &'a Rules,
    /// When it ended, Unix milliseconds.
    pub finalized_ms: u64,
    /// Where the result lies.
    pub result: Place,
    /// Number and outcome of the last attempt that began, and where its error and output lie.
    pub last: Option<(u32, Outcome, AttemptView)>,
}

/// A page of jobs in memory.
#[derive(Clone, Debug, Default)]
pub struct PageView {
    /// The jobs' slots.
    pub slots: Vec<u32>,
    /// The slot to go on with; `None` at the end.
    pub next: Option<u32>,
}

/// Reads an error record as the journal keeps it.
pub fn decode_error(bytes: &[u8]) -> Option<ErrorRecord> {
    postcard::from_bytes(bytes).ok()
}

impl State {
    /// What is known of the job in `slot`.
    pub fn view(&self, slot: u32) -> JobView {
        let entry = self.slots.job(slot);
        let finished = entry.job_state().is_finished();
        JobView {
            record: self.record(slot, entry),
            attempts: entry
                .history()
                .iter()
                .map(|it| AttemptView { error: it.error, output: it.output })
                .collect(),
            arguments: entry.arguments,
            result: entry.result(),
            checkpoint: entry.checkpoint().map_or(Place::EMPTY, |checkpoint| checkpoint.value),
            rules: Arc::clone(self.rules.at(entry.rules)),
            finish_number: if finished { entry.order } else { 0 },
        }
    }

    /// What a worker needs to run the leased job in `slot`.
    pub fn lease_view(&self, slot: u32) -> LeaseView<'_> {
        let entry = self.slots.job(slot);
        let rules = self.rules.at(entry.rules);
        let until_deadline = entry.times.deadline_ms().map(|at| at.saturating_sub(self.wall_ms).max(1));
        LeaseView {
            job: self.job_id(slot),
            task: self.names.at(entry.task),
            attempt: entry.attempts() + 1,
            rules,
            timeout_ms: rules.timeout_ms.into_iter().chain(until_deadline).min(),
            has_retry: entry.has_retry(rules),
            context: entry.extra.and_then(|extra| extra.notes.context()),
            looks: entry
                .tags()
                .iter()
                .fold(Looks::NONE, |looks, tag| looks | Looks::of_tag(self.names.at(*tag))),
            arguments: entry.arguments,
            checkpoint: entry.checkpoint().map_or(Place::EMPTY, |checkpoint| checkpoint.value),
        }
    }

    /// How the finished job in `slot` ended.
    pub fn end_view(&self, slot: u32) -> EndView<'_> {
        let entry = self.slots.job(slot);
        let extra = entry.extra;
        let last = entry.last_attempt();
        EndView {
            job: self.job_id(slot),
            task: self.names.at(entry.task),
            state: entry.job_state(),
            reason: extra.and_then(|extra| extra.reason.as_ref()),
            rules: self.rules.at(entry.rules),
            finalized_ms: extra.map_or(0, |extra| extra.finalized_ms),
            result: entry.result(),
            last: last.map(|it| (it.number, it.outcome, AttemptView { error: it.error, output: it.output })),
        }
    }

    fn record(&self, slot: u32, entry: Job<'_>) -> JobRecord {
        let state = entry.job_state();
        let extra = entry.extra;
        let lease = self.leases.get(&slot);
        let newest = entry.last_attempt();
        let leased_by = |child: u32| self.children.get(&child).map(|child| Arc::clone(&child.name));
        JobRecord {
            id: self.job_id(slot),
            task: Arc::clone(self.names.at(entry.task)),
            queue: Arc::clone(self.names.at(entry.queue)),
            state,
            cancelling: entry.is_cancelling(),
            priority: entry.priority,
            attempt: u32::from(entry.failures),
            max_attempts: self.rules.at(entry.rules).max_attempts,
            crashes: u32::from(entry.crashes),
            created_at: entry.created_ms,
            scheduled_at: entry.times.run_at().map(|at| self.wall_time(at)),
            expires_at: entry.times.expires_ms(),
            deadline_at: entry.times.deadline_ms(),
            attempted_at: lease
                .map(|lease| lease.leased_ms)
                .or_else(|| newest.map(|attempt| attempt.started_ms)),
            attempted_by: match lease {
                Some(lease) => leased_by(lease.child),
                None => newest.map(|attempt| Arc::clone(&attempt.worker)),
            },
            finalized_at: extra.filter(|_| state.is_finished()).map(|extra| extra.finalized_ms),
            reason: extra.filter(|_| state.is_finished()).and_then(|extra| extra.reason.clone()),
            waits_for: self.waits_for(slot, entry),
            tags: entry.tags().iter().map(|tag| Arc::clone(self.names.at(*tag))).collect(),
            metadata: extra.and_then(|extra| extra.notes.metadata().cloned()),
            context: extra.and_then(|extra| extra.notes.context().cloned()),
            retry_of: extra.and_then(|extra| extra.retry_of),
            failure_of: entry.failure().and_then(|failure| failure.of),
            handled_by: entry.failure().and_then(|failure| failure.handled_by),
            attempts: self.attempt_records(slot, entry),
            arguments_bytes: u64::from(entry.arguments.length),
            result_bytes: u64::from(entry.result().length),
            checkpoint_bytes: entry.checkpoint().map_or(0, |it| u64::from(it.value.length)),
            checkpoint_at: entry.checkpoint().map(|checkpoint| checkpoint.left_ms),
        }
    }

    fn attempt_records(&self, slot: u32, entry: Job<'_>) -> Vec<AttemptRecord> {
        let ended = entry.history().iter().map(|attempt| AttemptRecord {
            number: attempt.number,
            fence: attempt.fence,
            outcome: Some(attempt.outcome),
            worker: Arc::clone(&attempt.worker),
            started_at: attempt.started_ms,
            finished_at: Some(attempt.finished_ms),
            error: None,
            output: Vec::new(),
            waited_ms: attempt.account.as_ref().map(|account| account.waited_ms),
            measures: attempt.account.as_ref().map(Account::measures).unwrap_or_default(),
        });
        let lease = self.leases.get(&slot);
        let running = lease.map(|lease| AttemptRecord {
            number: entry.attempts() + 1,
            fence: lease.fence,
            outcome: None,
            worker: self.children.get(&lease.child).map(|child| Arc::clone(&child.name)).unwrap_or_default(),
            started_at: lease.leased_ms,
            finished_at: None,
            error: None,
            output: Vec::new(),
            waited_ms: None,
            measures: Measures::default(),
        });
        // Of both together `collect` would not know how many there are, and take room for more.
        let mut records = Vec::with_capacity(entry.history().len() + usize::from(lease.is_some()));
        records.extend(ended.chain(running));
        records
    }

    fn wall_time(&self, at: RunAt) -> u64 {
        match at {
            RunAt::Wall(at) => at,
            RunAt::Logical(at) => self.wall_ms.saturating_add(at.saturating_sub(self.logical_ms)),
        }
    }

    fn waits_for(&self, slot: u32, entry: Job<'_>) -> Option<String> {
        match entry.job_state() {
            JobState::Available => {}
            JobState::Scheduled => return Some(its_time(entry)),
            JobState::Retryable => return Some("its next attempt".to_owned()),
            _ => return None,
        }
        if self.queues.get(&entry.queue).is_some_and(|queue| queue.paused) {
            return Some(format!("queue {} is paused", self.names.at(entry.queue)));
        }
        if let Some(Parked { missing, worker, .. }) = entry.parked() {
            let asked = format!("a worker that knows {missing}: {worker} does not");
            return Some(if self.is_offered(slot) { "a free slot".to_owned() } else { asked });
        }
        let lane = self.lanes.at(self.lanes.find(entry.queue, entry.task)?);
        if !lane.groups.is_empty() {
            return Some("a free slot".to_owned());
        }
        if self.connected.is_empty() {
            return Some("a worker: none is connected".to_owned());
        }
        let (task, queue) = (self.names.at(entry.task), self.names.at(entry.queue));
        Some(format!("a worker: no worker knows {task} in queue {queue}{}", self.versions_known(task)))
    }

    /// Which other versions of a task connected children run, to follow who is waited for.
    fn versions_known(&self, task: &str) -> String {
        let name = task::name_of(task);
        let groups = self.connected.values().map(|connected| self.lanes.group(connected.group));
        let runs =
            groups.flat_map(|group| group.tasks.iter()).filter(|runs| task::split_runs(runs).0 == name);
        let known: BTreeSet<&str> =
            runs.map(|runs| runs.strip_prefix(name).unwrap_or_default().trim()).collect();
        match known.first() {
            Some(first) if !first.is_empty() => {
                format!(", only {}", known.into_iter().collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        }
    }

    /// Unfinished jobs from slot `from` on, in the order of slots.
    pub fn page(&self, filter: &Filter, from: u32, limit: usize) -> PageView {
        let end = self.slots.len();
        let mut page = PageView::default();
        let last = from.saturating_add(LOOK_MAX).min(end);
        for slot in from..last {
            if page.slots.len() == limit {
                page.next = Some(slot);
                return page;
            }
            let entry = self.slots.at(slot);
            if !entry.is_free() && !entry.job_state().is_finished() && self.matches(slot, filter) {
                page.slots.push(slot);
            }
        }
        page.next = (last < end).then_some(last);
        page
    }

    /// Finished jobs that the archive does not hold yet, newest first, with a finish number below `below`.
    pub fn finished_page(&self, filter: &Filter, below: u64, limit: usize) -> Vec<u32> {
        let mut slots = Vec::new();
        let mut at = self.finished.tail;
        while at != crate::list::NIL && slots.len() < limit {
            let entry = self.slots.at(at);
            if entry.order < below && self.matches(at, filter) && !self.is_deleted(self.job_id(at)) {
                slots.push(at);
            }
            at = self.slots.links(at).prev;
        }
        slots
    }

    fn matches(&self, slot: u32, filter: &Filter) -> bool {
        let entry = self.slots.job(slot);
        let tags = entry.tags();
        let named = |number: u32, name: &Option<Arc<str>>| {
            name.as_ref().is_none_or(|name| self.names.at(number) == name)
        };
        (filter.states.is_empty() || filter.states.contains(&entry.job_state()))
            && named(entry.queue, &filter.queue)
            && filter.task.as_ref().is_none_or(|task| task::is_of(self.names.at(entry.task), task))
            && filter.tags.iter().all(|tag| tags.iter().any(|number| self.names.at(*number) == tag))
            && filter.created_from.is_none_or(|from| entry.created_ms >= from)
            && filter.created_before.is_none_or(|before| entry.created_ms < before)
    }

    /// Up to `limit` of the oldest finished jobs, leaving out the first `skip`: what the archive takes next.
    pub fn to_archive(&self, skip: usize, limit: usize) -> Vec<u32> {
        self.finished.iter(&self.slots).skip(skip).take(limit).collect()
    }

    /// The finished job after `slot` in the order of finishing, or the oldest.
    pub fn finished_after(&self, slot: Option<u32>) -> Option<u32> {
        let next = slot.map_or(self.finished.head, |slot| self.slots.links(slot).next);
        (next != crate::list::NIL).then_some(next)
    }

    /// Every queue that has jobs or is paused.
    pub fn queue_reports(&self) -> Vec<QueueReport> {
        let mut reports: Vec<_> = self
            .queues
            .iter()
            .map(|(name, queue)| {
                let count = |state: JobState| queue.counts[state as usize];
                QueueReport {
                    name: Arc::clone(self.names.at(*name)),
                    paused: queue.paused,
                    scheduled: count(JobState::Scheduled),
                    available: count(JobState::Available),
                    parked: queue.parked,
                    running: count(JobState::Running),
                    retryable: count(JobState::Retryable),
                    finished: count(JobState::Completed)
                        + count(JobState::Cancelled)
                        + count(JobState::Discarded),
                }
            })
            .collect();
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    /// Every task with unfinished jobs, and how many: first those with the most.
    pub fn task_reports(&self) -> Vec<TaskReport> {
        let mut counts: FxHashMap<u32, u64> = FxHashMap::default();
        for lane in self.lanes.iter() {
            *counts.entry(lane.task).or_default() += lane.available_count() + u64::from(lane.waiting.count);
        }
        for slot in self.leases.keys().chain(self.parked.values()) {
            *counts.entry(self.slots.at(*slot).task).or_default() += 1;
        }
        let counts = counts.into_iter().filter(|(_, unfinished)| *unfinished > 0);
        let report = |(task, unfinished)| TaskReport { task: Arc::clone(self.names.at(task)), unfinished };
        let mut reports: Vec<TaskReport> = counts.map(report).collect();
        reports.sort_by(|a, b| b.unfinished.cmp(&a.unfinished).then_with(|| a.task.cmp(&b.task)));
        reports.truncate(TASK_REPORTS_MAX);
        reports
    }

    /// What the attempts of a task came to, in each of its versions or in the one that it names, or those of all tasks.
    pub fn task_statistics(&self, task: Option<&str>) -> Vec<TaskStatistics> {
        self.statistics.reports(task)
    }

    /// Known children: number, worker nonce, number in the worker, process, leases held, connected.
    pub fn child_reports(&self) -> impl Iterator<Item = ChildView<'_>> {
        self.children.iter().map(|(child, entry)| ChildView {
            child: *child,
            worker: entry.worker,
            name: &entry.name,
            number: entry.number,
            process: entry.process,
            leases: entry.leases.count,
            lease_ends_ms: entry.lease_ends,
            group: self.connected.get(child).map(|connected| {
                let group = self.lanes.group(connected.group);
                (&*group.tasks, &*group.queues)
            }),
        })
    }

    /// Leases of a child whose jobs shall stop.
    pub fn cancelling_of(&self, child: u32) -> Vec<Fence> {
        let slots = self.leases_of(child).filter(|slot| self.slots.at(*slot).is_cancelling());
        slots.map(|slot| self.leases[&slot].fence).collect()
    }

    /// The text of a name that a change knows by its number.
    pub fn name_text(&self, number: u32) -> Option<&Arc<str>> {
        self.names.get(number)
    }

    /// The refusal of a job that nobody knows.
    pub fn not_found(job: JobId) -> Refusal {
        crate::decide::not_found(job)
    }
}

/// What a scheduled job waits for, and why if a worker put it off.
fn its_time(entry: Job<'_>) -> String {
    let reason = entry.extra.and_then(|extra| extra.reason.as_ref());
    reason.map_or_else(|| "its time".to_owned(), |reason| format!("its time: {reason}"))
}

/// The tasks that a child runs and the queues that it serves; no queues are all.
pub type TasksAndQueues<'a> = (&'a [Arc<str>], &'a [Arc<str>]);

/// A child as the engine sees it.
#[derive(Clone, Copy, Debug)]
pub struct ChildView<'a> {
    /// Its number in the engine.
    pub child: u32,
    /// Nonce of its worker.
    pub worker: u64,
    /// `host:pid/number`.
    pub name: &'a Arc<str>,
    /// Its number in the worker.
    pub number: u32,
    /// Its process.
    pub process: ProcessKey,
    /// Leases it holds.
    pub leases: u32,
    /// Logical milliseconds at which they end unless renewed.
    pub lease_ends_ms: u64,
    /// Tasks it runs and queues it serves, while it is connected.
    pub group: Option<TasksAndQueues<'a>>,
}
