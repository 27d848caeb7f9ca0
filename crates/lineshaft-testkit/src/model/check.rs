//! What the machine chose to do by itself: whether it was allowed to.

use std::sync::Arc;

use lineshaft_wire::message::UniqueWhile;
use lineshaft_wire::{Fence, JobId, JobState};

use super::job::{Lease, When};
use super::{Happened, Model};

/// Something that the machine did because it was time, or because there was a job and a child for it.
#[derive(Clone, Debug)]
pub enum Choice {
    /// Jobs were leased to a child.
    Leased {
        /// The child.
        child: u32,
        /// The jobs, in the order of their fences.
        jobs: Vec<JobId>,
    },
    /// Waiting jobs became available.
    Promoted {
        /// The jobs.
        jobs: Vec<JobId>,
    },
    /// Jobs gave up because their time was over.
    Discarded {
        /// The jobs.
        jobs: Vec<JobId>,
        /// Why.
        reason: Arc<str>,
    },
    /// Jobs were made that handle the failures of others.
    Spawned {
        /// Those that gave up.
        failed: Vec<JobId>,
    },
    /// A purge cancelled jobs.
    Purged {
        /// The jobs.
        jobs: Vec<JobId>,
    },
    /// A purge came to its end.
    PurgeEnded {
        /// The queue.
        queue: Arc<str>,
    },
    /// Every lease of a child ended.
    LeasesLost {
        /// The child.
        child: u32,
        /// Its jobs.
        jobs: Vec<JobId>,
    },
    /// A child that is not connected was forgotten.
    ChildGone {
        /// The child.
        child: u32,
    },
    /// A connected child without leases has not renewed for a lease.
    Silent {
        /// The child.
        child: u32,
    },
    /// A session was forgotten.
    SessionClosed {
        /// The session.
        session: u64,
    },
    /// Unique keys were held for their periods.
    PeriodsEnded {
        /// The keys.
        keys: Vec<Arc<str>>,
    },
    /// A lock was given to the next one in its line.
    Locked {
        /// Its session.
        session: u64,
        /// What its client calls it.
        token: u64,
    },
    /// A barrier opened for these: session, and what its client calls each.
    BarrierOpened {
        /// In the order in which they came.
        parties: Vec<(u64, u64)>,
    },
    /// A lock was not renewed in time.
    LockLost {
        /// Its fence.
        fence: u64,
    },
    /// Entries of the cache ended.
    EntriesEnded {
        /// Their keys.
        keys: Vec<Arc<str>>,
    },
    /// Idempotency keys were forgotten.
    KeysExpired {
        /// The keys.
        keys: Vec<Arc<str>>,
    },
}

impl Model {
    /// Follows the machine if it was allowed to do this.
    ///
    /// Errors with what was wrong.
    pub fn check(&mut self, choice: &Choice) -> Result<(), String> {
        match choice {
            Choice::Leased { child, jobs } => self.check_leased(*child, jobs),
            Choice::Promoted { jobs } => self.check_promoted(jobs),
            Choice::Discarded { jobs, reason } => self.check_discarded(jobs, reason),
            Choice::Spawned { failed } => self.check_spawned(failed),
            Choice::Purged { jobs } => self.check_purged(jobs),
            Choice::PurgeEnded { queue } => self.check_purge_ended(queue),
            Choice::LeasesLost { child, jobs } => self.check_lost(*child, jobs),
            Choice::ChildGone { child } => {
                self.check_ended(*child, false)?;
                require(self.leases_of(*child).is_empty(), || {
                    format!("child {child} is forgotten with leases")
                })?;
                self.children.retain(|known| known.number != *child);
                Ok(())
            }
            Choice::Silent { child } => {
                self.check_ended(*child, true)?;
                require(self.leases_of(*child).is_empty(), || {
                    format!("ended leases of child {child} are kept")
                })?;
                self.begin_term(*child, true);
                Ok(())
            }
            Choice::SessionClosed { session } => {
                self.close_lines(Some(*session));
                let used_ms = self.sessions.remove(session).ok_or("an unknown session is closed")?.used_ms;
                let early = || format!("session {session} is closed, used at {used_ms}");
                require(used_ms + self.limits.session_ms <= self.logical_ms, early)
            }
            Choice::EntriesEnded { keys } => self.check_ended_entries(keys),
            Choice::KeysExpired { keys } => self.check_expired(keys),
            Choice::PeriodsEnded { keys } => self.check_periods(keys),
            Choice::Locked { session, token } => self.check_locked(*session, *token),
            Choice::BarrierOpened { parties } => self.check_barrier(parties),
            Choice::LockLost { fence } => self.check_lock_lost(*fence),
        }
    }

    /// The first jobs of those that the child can run, no more than its credit, in order; or its next parked one.
    fn check_leased(&mut self, child: u32, jobs: &[JobId]) -> Result<(), String> {
        let is_parked = |job: &JobId| self.position(*job).is_some_and(|at| self.jobs[at].is_parked());
        let line = if jobs.iter().any(is_parked) { self.parked_for(child) } else { self.line_for(child) };
        let line: Vec<JobId> = line.into_iter().map(|at| self.jobs[at].id).collect();
        for job in jobs {
            let late = self.jobs[self.find(*job)?].overdue(self.wall_ms);
            require(late.is_none(), || format!("job {job} is leased and {late:?}"))?;
        }
        let connected = self.child_mut(child).and_then(|child| child.connected.as_mut());
        let connected = connected.ok_or_else(|| format!("child {child} gets jobs and is not connected"))?;
        let fits = !jobs.is_empty() && jobs.len() <= connected.credit() as usize;
        require(fits, || {
            format!("child {child} gets {} jobs with credit {}", jobs.len(), connected.credit())
        })?;
        require(line.starts_with(jobs), || format!("child {child} gets {jobs:?}, next for it are {line:?}"))?;
        connected.credit -= jobs.len() as u32;
        let leases = jobs.iter().map(|job| (*job, self.lease(child, *job))).collect();
        self.happened.push(Happened::Leased(child, leases));
        Ok(())
    }

    fn lease(&mut self, child: u32, job: JobId) -> Fence {
        self.leases_given += 1;
        let fence = Fence { epoch: self.epoch, counter: self.leases_given };
        let leased_ms = self.wall_ms;
        let at = self.position(job).expect("jobs in line are in memory");
        let job = &mut self.jobs[at];
        job.state = JobState::Running;
        job.lease = Some(Lease { child, fence, leased_ms });
        // From its first run on such a job keeps nobody out.
        if job.unique.as_ref().is_some_and(|unique| unique.while_ == UniqueWhile::Queued) {
            job.keeps_out = false;
        }
        fence
    }

    fn check_promoted(&mut self, jobs: &[JobId]) -> Result<(), String> {
        let mut last = None;
        for job in jobs {
            let at = self.find(*job)?;
            let waited = self.jobs[at].waits() && self.is_due(at) && !self.is_being_purged(at);
            require(waited, || format!("job {job} becomes available: {:?}", self.jobs[at]))?;
            let time = match self.jobs[at].run_at {
                Some(When::Wall(ms)) => (0, ms, self.jobs[at].in_line),
                Some(When::Logical(ms) | When::Between(ms, _)) => (1, ms, self.jobs[at].in_line),
                None => return Err(format!("job {job} waits for no time")),
            };
            require(last < Some(time), || format!("job {job} becomes available after a later one"))?;
            last = Some(time);
            self.become_available(at);
        }
        self.check_step(jobs.len(), 2)
    }

    fn check_discarded(&mut self, jobs: &[JobId], reason: &Arc<str>) -> Result<(), String> {
        let mut last = None;
        for job in jobs {
            let at = self.find(*job)?;
            let overdue = self.jobs[at].overdue(self.wall_ms) == Some(reason);
            require(overdue, || format!("job {job} is discarded: {reason}, {:?}", self.jobs[at]))?;
            let time = (self.jobs[at].limit_ms(), self.jobs[at].in_line);
            require(last < Some(time), || format!("job {job} is discarded after a later one"))?;
            last = Some(time);
            self.end(at, JobState::Discarded, Some(Arc::clone(reason)));
        }
        self.check_step(jobs.len(), 1)
    }

    fn check_purged(&mut self, jobs: &[JobId]) -> Result<(), String> {
        for job in jobs {
            let at = self.find(*job)?;
            require(self.is_being_purged(at), || format!("job {job} is purged: {:?}", self.jobs[at]))?;
            self.end(at, JobState::Cancelled, Some("purged".into()));
        }
        self.check_step(jobs.len(), 1)
    }

    fn check_purge_ended(&mut self, queue: &Arc<str>) -> Result<(), String> {
        let left =
            (0..self.jobs.len()).find(|at| self.jobs[*at].queue == *queue && self.is_being_purged(*at));
        require(left.is_none(), || {
            format!("the purge of {queue} ended before {:?}", self.jobs[left.unwrap_or(0)])
        })?;
        self.purges.remove(queue).map(drop).ok_or_else(|| format!("no purge of {queue} was under way"))
    }

    fn check_lost(&mut self, child: u32, jobs: &[JobId]) -> Result<(), String> {
        let connected = self.child(child).is_some_and(|child| child.connected.is_some());
        self.check_ended(child, connected)?;
        let leases = self.leases_of(child);
        let held: Vec<JobId> = leases.iter().map(|at| self.jobs[*at].id).collect();
        require(held == jobs, || format!("child {child} lost {jobs:?} and held {held:?}"))?;
        leases.into_iter().for_each(|at| self.lose(at));
        if connected {
            self.begin_term(child, true);
        }
        Ok(())
    }

    /// Whether the child's leases have ended, and it is connected or not.
    fn check_ended(&self, child: u32, connected: bool) -> Result<(), String> {
        let known = self.child(child).ok_or_else(|| format!("child {child} is unknown"))?;
        let ended = known.lease_ends_ms <= self.logical_ms;
        require(ended, || format!("the leases of child {child} live until {}", known.lease_ends_ms))?;
        require(known.connected.is_some() == connected, || format!("child {child} is connected, or not"))
    }

    fn check_expired(&mut self, keys: &[Arc<str>]) -> Result<(), String> {
        for key in keys {
            let at = self.keys.iter().position(|known| known.key == *key).ok_or("an unknown key expires")?;
            let expires_ms = self.keys.remove(at).expires_ms;
            require(expires_ms <= self.logical_ms, || format!("key {key} lives until {expires_ms}"))?;
        }
        self.check_step(keys.len(), 1)
    }

    fn check_periods(&mut self, keys: &[Arc<str>]) -> Result<(), String> {
        for key in keys {
            let held = self.periods.iter().find(|known| known.key == *key).map(|known| known.expires_ms);
            let cached = self.cached.iter().find(|known| known.key == *key).map(|known| known.expires_ms);
            let ends_ms = held.or(cached).ok_or("the period of an unknown key ends")?;
            self.periods.retain(|known| known.key != *key);
            self.cached.retain(|known| known.key != *key);
            require(ends_ms <= self.wall_ms, || format!("key {key} is held until {ends_ms}"))?;
        }
        self.check_step(keys.len(), 1)
    }

    pub(super) fn check_step(&self, jobs: usize, times: usize) -> Result<(), String> {
        require(jobs <= times * self.limits.step, || format!("{jobs} at once, more than a bulk step"))
    }

    fn find(&self, job: JobId) -> Result<usize, String> {
        self.position(job).ok_or_else(|| format!("job {job} is not in memory"))
    }

    /// The machine has picked a backoff: whether that is allowed.
    pub fn settle(&mut self, job: JobId, logical_ms: u64) -> Result<(), String> {
        let at = self.find(job)?;
        if let Some(When::Between(least, most)) = self.jobs[at].run_at {
            let fits = (least..=most).contains(&logical_ms);
            require(fits, || format!("job {job} is retried at {logical_ms}, not within {least} to {most}"))?;
            self.jobs[at].run_at = Some(When::Logical(logical_ms));
        }
        Ok(())
    }
}

fn require(fits: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if fits { Ok(()) } else { Err(otherwise()) }
}
