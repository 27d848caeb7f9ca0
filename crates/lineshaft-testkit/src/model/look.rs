//! What a reader must see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lineshaft_jobs::Answer;
use lineshaft_wire::message::{Filter, QueueReport};
use lineshaft_wire::{AttemptRecord, Fence, JobId, JobRecord, JobState, Measures, task};

use super::Model;
use super::job::{Attempt, Job, When};

impl Model {
    /// Every job in memory, in no order.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// Jobs archived so far.
    pub fn archived(&self) -> u64 {
        self.archived
    }

    /// Jobs deleted though a block may hold them.
    pub fn deleted(&self) -> BTreeSet<JobId> {
        self.deleted.keys().copied().collect()
    }

    /// What every open session remembers.
    pub fn answers(&self) -> BTreeMap<u64, &BTreeMap<u64, Answer>> {
        self.sessions.iter().map(|(number, session)| (*number, &session.answers)).collect()
    }

    /// Known children with what they hold: number, name, leases, end of their leases, connected.
    pub fn children(&self) -> Vec<(u32, Arc<str>, u32, u64, bool)> {
        let row = |child: &super::children::Child| {
            let leases = self.leases_of(child.number).len() as u32;
            (child.number, Arc::clone(&child.name), leases, child.lease_ends_ms, child.connected.is_some())
        };
        self.children.iter().map(row).collect()
    }

    /// Since when each child that has not come back after a start is absent.
    pub fn absent(&self) -> Vec<(u32, u64)> {
        self.children.iter().filter_map(|child| Some((child.number, child.absent_since_ms?))).collect()
    }

    /// Leases of a child, in the order in which it got them.
    pub fn leases(&self, child: u32) -> Vec<(JobId, Fence)> {
        let leases = self.leases_of(child).into_iter().map(|at| &self.jobs[at]);
        leases.filter_map(|job| Some((job.id, job.lease?.fence))).collect()
    }

    /// Jobs whose backoff the machine has picked and nobody looked at yet.
    pub fn unsettled(&self) -> Vec<JobId> {
        let between = |job: &&Job| matches!(job.run_at, Some(When::Between(..)));
        self.jobs.iter().filter(between).map(|job| job.id).collect()
    }

    /// Numbers of the blobs that are needed.
    pub fn blobs(&self) -> BTreeSet<u64> {
        let payloads = self.jobs.iter().flat_map(Job::payloads).chain(self.cached_values());
        payloads.filter_map(|payload| payload.blob).collect()
    }

    /// The oldest commit that is needed.
    pub fn oldest_lsn(&self) -> Option<u64> {
        let cached = self.cached_values().filter_map(|value| value.lsn);
        self.jobs.iter().flat_map(Job::needed_lsns).chain(cached).min()
    }

    /// Finished jobs that are not archived, oldest first.
    pub fn finished(&self) -> Vec<JobId> {
        let mut finished: Vec<&Job> = self.jobs.iter().filter(|job| job.state.is_finished()).collect();
        finished.sort_by_key(|job| job.finish_number);
        finished.into_iter().map(|job| job.id).collect()
    }

    /// Unfinished jobs that pass a filter, in the order of their places.
    pub fn unfinished(&self, filter: &Filter) -> Vec<JobId> {
        let passes = |job: &&Job| {
            !job.state.is_finished()
                && (filter.states.is_empty() || filter.states.contains(&job.state))
                && filter.queue.as_ref().is_none_or(|queue| job.queue == *queue)
                && filter.task.as_ref().is_none_or(|task| task::is_of(&job.task, task))
                && filter.tags.iter().all(|tag| job.tags.contains(tag))
                && filter.created_from.is_none_or(|from| job.created_ms >= from)
                && filter.created_before.is_none_or(|before| job.created_ms < before)
        };
        let mut jobs: Vec<&Job> = self.jobs.iter().filter(passes).collect();
        jobs.sort_by_key(|job| job.place);
        jobs.into_iter().map(|job| job.id).collect()
    }

    /// Every queue that has jobs, is paused or is being purged.
    pub fn queues(&self) -> Vec<QueueReport> {
        let names: BTreeSet<&Arc<str>> =
            self.jobs.iter().map(|job| &job.queue).chain(&self.paused).chain(self.purges.keys()).collect();
        let report = |name: &Arc<str>| {
            let count = |wanted: &[JobState]| {
                self.jobs.iter().filter(|job| job.queue == *name && wanted.contains(&job.state)).count()
                    as u64
            };
            QueueReport {
                name: Arc::clone(name),
                paused: self.paused.contains(name),
                scheduled: count(&[JobState::Scheduled]),
                available: count(&[JobState::Available]),
                parked: self.jobs.iter().filter(|job| job.queue == *name && job.is_parked()).count() as u64,
                running: count(&[JobState::Running]),
                retryable: count(&[JobState::Retryable]),
                finished: count(&[JobState::Completed, JobState::Cancelled, JobState::Discarded]),
            }
        };
        names.into_iter().map(report).collect()
    }

    /// Tasks with jobs available that no connected child runs.
    pub fn unknown_tasks(&self) -> Vec<Arc<str>> {
        let available = self.jobs.iter().filter(|job| job.state == JobState::Available && !job.is_parked());
        let unknown = available.filter(|job| !self.is_served(job)).map(|job| Arc::clone(&job.task));
        unknown.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn is_served(&self, job: &Job) -> bool {
        self.children.iter().filter_map(|child| child.connected.as_ref()).any(|connected| {
            let queues = &connected.queues;
            connected.runs(&job.task) && (queues.is_empty() || queues.contains(&job.queue))
        })
    }

    fn other_versions(&self, task: &str) -> String {
        let connected = self.children.iter().filter_map(|child| child.connected.as_ref());
        let names: BTreeSet<&str> = connected.flat_map(|it| &it.tasks).map(|runs| &**runs).collect();
        let same = names.into_iter().filter(|runs| task::split_runs(runs).0 == task::name_of(task));
        let versions: Vec<&str> =
            same.map(|runs| runs.split_once(' ').map_or("", |(_, versions)| versions)).collect();
        match versions.first() {
            None | Some(&"") => String::new(),
            Some(_) => format!(", only {}", versions.join(", ")),
        }
    }

    /// Every attempt that ever ended, with its task, the bytes of its arguments and those of its result.
    pub fn ended(&self) -> &[(Arc<str>, Attempt, usize, usize)] {
        &self.ended
    }

    /// The record that a reader gets; attempts without error and output, as the state machine gives them.
    pub fn record(&self, job: &Job) -> JobRecord {
        let newest = job.attempts.last();
        let worker = job.lease.and_then(|lease| Some(Arc::clone(&self.child(lease.child)?.name)));
        JobRecord {
            id: job.id,
            task: Arc::clone(&job.task),
            queue: Arc::clone(&job.queue),
            state: job.state,
            cancelling: job.cancelling,
            priority: job.priority,
            attempt: job.failures,
            max_attempts: job.rules.max_attempts,
            crashes: job.crashes,
            created_at: job.created_ms,
            scheduled_at: job.run_at.map(|at| self.wall_time(at)),
            expires_at: job.expires_ms,
            deadline_at: job.deadline_ms,
            attempted_at: job.lease.map(|lease| lease.leased_ms).or(newest.map(|attempt| attempt.started_ms)),
            attempted_by: worker.or(newest.map(|attempt| Arc::clone(&attempt.worker))),
            finalized_at: job.finalized_ms,
            reason: job.reason.clone(),
            waits_for: self.waits_for(job),
            tags: job.tags.clone(),
            metadata: job.metadata.clone(),
            context: job.context.clone(),
            retry_of: job.retry_of,
            failure_of: job.failure_of,
            handled_by: job.handled_by,
            attempts: self.attempt_records(job),
            arguments_bytes: job.arguments.bytes.len() as u64,
            result_bytes: job.result.bytes.len() as u64,
            checkpoint_bytes: job.checkpoint.as_ref().map_or(0, |(payload, _)| payload.bytes.len() as u64),
            checkpoint_at: job.checkpoint.as_ref().map(|(_, left_ms)| *left_ms),
        }
    }

    fn attempt_records(&self, job: &Job) -> Vec<AttemptRecord> {
        let ended = job.shown().iter().map(|attempt| AttemptRecord {
            number: attempt.number,
            fence: attempt.fence,
            outcome: Some(attempt.outcome),
            worker: Arc::clone(&attempt.worker),
            started_at: attempt.started_ms,
            finished_at: Some(attempt.finished_ms),
            error: None,
            output: Vec::new(),
            waited_ms: Some(attempt.waited_ms),
            measures: attempt.measures,
        });
        let running = job.lease.map(|lease| AttemptRecord {
            number: job.attempts.len() as u32 + 1,
            fence: lease.fence,
            outcome: None,
            worker: self.child(lease.child).map(|child| Arc::clone(&child.name)).unwrap_or_default(),
            started_at: lease.leased_ms,
            finished_at: None,
            error: None,
            output: Vec::new(),
            waited_ms: None,
            measures: Measures::default(),
        });
        ended.chain(running).collect()
    }

    fn wall_time(&self, at: When) -> u64 {
        match at {
            When::Wall(at) => at,
            When::Logical(at) | When::Between(at, _) => self.wall_ms + at.saturating_sub(self.logical_ms),
        }
    }

    fn waits_for(&self, job: &Job) -> Option<String> {
        let (task, queue) = (&job.task, &job.queue);
        if job.state == JobState::Scheduled {
            let why = job.put_off.iter().map(|why| format!(": {why}"));
            Some(["its time".to_owned()].into_iter().chain(why).collect())
        } else if job.state == JobState::Retryable {
            Some("its next attempt".to_owned())
        } else if job.state != JobState::Available {
            None
        } else if self.paused.contains(queue) {
            Some(format!("queue {queue} is paused"))
        } else if let Some(parked) = &job.parked {
            let offered = |child: &super::children::Child| {
                self.parked_for(child.number).iter().any(|at| self.jobs[*at].id == job.id)
            };
            let asked = format!("a worker that knows {}: {} does not", parked.missing, parked.worker);
            Some(if self.children.iter().any(offered) { "a free slot".to_owned() } else { asked })
        } else if self.is_served(job) {
            Some("a free slot".to_owned())
        } else if self.children.iter().all(|child| child.connected.is_none()) {
            Some("a worker: none is connected".to_owned())
        } else {
            Some(format!("a worker: no worker knows {task} in queue {queue}{}", self.other_versions(task)))
        }
    }
}
