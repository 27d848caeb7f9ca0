//! What time brings, and when.

use lineshaft_wire::JobState;

use super::children::Connected;
use super::job::When;
use super::{Happened, Model, Told};

impl Model {
    /// The oldest finished jobs are in the archive.
    pub(super) fn archive(&mut self, count: u32) -> Told {
        for _ in 0..count {
            let finished = (0..self.jobs.len()).filter(|at| self.jobs[*at].state.is_finished());
            let Some(at) = finished.min_by_key(|at| self.jobs[*at].finish_number) else { break };
            let job = self.jobs.remove(at);
            self.generations[job.place as usize] += 1;
            self.free_places.insert(job.place);
            self.happened.extend(job.payloads().filter_map(|payload| payload.blob).map(Happened::BlobFreed));
            self.archived += 1;
        }
        Told::Done
    }

    /// Whether the time that a waiting job waits for has come.
    pub(super) fn is_due(&self, at: usize) -> bool {
        match self.jobs[at].run_at {
            Some(When::Wall(at)) => at <= self.wall_ms,
            Some(When::Logical(at) | When::Between(at, _)) => at <= self.logical_ms,
            None => false,
        }
    }

    /// Whether a purge will come to the job.
    pub(super) fn is_being_purged(&self, at: usize) -> bool {
        let job = &self.jobs[at];
        job.is_queued() && self.purges.get(&job.queue).is_some_and(|last| job.in_line <= *last)
    }

    /// Something that is due and was not done, in words.
    pub fn overdue(&self) -> Option<String> {
        let job = (0..self.jobs.len()).find(|at| self.is_due(*at) && !self.is_being_purged(*at));
        let late = (0..self.jobs.len()).find(|at| self.jobs[*at].overdue(self.wall_ms).is_some());
        let session =
            self.sessions.iter().find(|(_, it)| it.used_ms + self.limits.session_ms <= self.logical_ms);
        let child = self.children.iter().find(|child| child.lease_ends_ms <= self.logical_ms);
        let key = self.keys.iter().find(|key| key.expires_ms <= self.logical_ms);
        let period = self.periods.iter().find(|key| key.expires_ms <= self.wall_ms);
        let cached = self.cached.iter().find(|cached| cached.expires_ms <= self.wall_ms);
        let entry = self.cache_ends().find(|at| *at <= self.wall_ms);
        let lock = self.lock_holders.iter().find(|holder| holder.ends_ms <= self.logical_ms);
        job.map(|at| format!("job {} is due: {:?}", self.jobs[at].id, self.jobs[at].run_at))
            .or(late.map(|at| format!("job {} is overdue", self.jobs[at].id)))
            .or(session.map(|(number, _)| format!("session {number} has ended")))
            .or(child.map(|child| format!("the leases of child {} have ended", child.number)))
            .or(key.map(|key| format!("key {} has expired", key.key)))
            .or(period.map(|key| format!("the period of {} has ended", key.key)))
            .or(cached.map(|cached| format!("the result of {} was cached long enough", cached.key)))
            .or(lock.map(|holder| format!("the time of lock {} is over", holder.fence)))
            .or(entry.map(|at| format!("an entry of the cache has ended at {at}")))
            .or(self.purges.keys().next().map(|queue| format!("queue {queue} is not purged yet")))
    }

    /// The next moments, on the wall and on the logical clock, at which something is due.
    pub fn next_moments(&self) -> (Option<u64>, Option<u64>) {
        let waits = self.jobs.iter().filter_map(|job| job.run_at);
        let wall = waits.clone().filter_map(|at| if let When::Wall(at) = at { Some(at) } else { None });
        let wall = wall.chain(self.jobs.iter().filter_map(super::Job::limit_ms));
        let wall = wall.chain(self.periods.iter().map(|key| key.expires_ms));
        let wall = wall.chain(self.cached.iter().map(|cached| cached.expires_ms)).chain(self.cache_ends());
        let logical = waits.filter_map(|at| if let When::Logical(at) = at { Some(at) } else { None });
        let sessions = self.sessions.values().map(|session| session.used_ms + self.limits.session_ms);
        let children = self.children.iter().map(|child| child.lease_ends_ms);
        let keys = self.keys.iter().map(|key| key.expires_ms);
        let locks = self.lock_holders.iter().map(|holder| holder.ends_ms);
        (wall.min(), logical.chain(sessions).chain(children).chain(keys).chain(locks).min())
    }

    /// Whether a connected child with credit could have a job right now. While jobs are overdue nothing is leased.
    pub fn has_idle_child(&self) -> bool {
        if self.jobs.iter().any(|job| job.overdue(self.wall_ms).is_some()) {
            return false;
        }
        self.children.iter().any(|child| {
            let credit = child.connected.as_ref().map_or(0, Connected::credit);
            let offers = || self.parked_for(child.number);
            credit > 0 && !(self.line_for(child.number).is_empty() && offers().is_empty())
        })
    }

    /// The available jobs that a connected child can run, in the order in which they go.
    pub(super) fn line_for(&self, child: u32) -> Vec<usize> {
        let mut line = self.runnable(child);
        line.retain(|at| !self.jobs[*at].is_parked());
        line.sort_by_key(|at| (self.jobs[*at].priority, self.jobs[*at].in_line));
        line
    }

    /// The parked jobs that a connected child's worker was not asked about yet, in the order of their parking.
    pub(super) fn parked_for(&self, child: u32) -> Vec<usize> {
        let mut offers = self.runnable(child);
        let worker = self.child(child).map_or(0, |child| child.worker);
        let is_new = |at: &usize| {
            let parked = self.jobs[*at].parked.as_ref();
            parked.is_some_and(|parked| parked.nonces.len() < 64 && !parked.nonces.contains(&worker))
        };
        offers.retain(is_new);
        offers.sort_by_key(|at| self.jobs[*at].in_line);
        offers
    }

    fn runnable(&self, child: u32) -> Vec<usize> {
        let Some(connected) = self.child(child).and_then(|child| child.connected.as_ref()) else {
            return Vec::new();
        };
        let can_run = |at: &usize| {
            let job = &self.jobs[*at];
            job.state == JobState::Available
                && !self.paused.contains(&job.queue)
                && connected.runs(&job.task)
                && (connected.queues.is_empty() || connected.queues.contains(&job.queue))
        };
        (0..self.jobs.len()).filter(can_run).collect()
    }
}
