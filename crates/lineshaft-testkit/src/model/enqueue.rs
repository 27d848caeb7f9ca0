//! Making jobs.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use lineshaft_jobs::{Answer, ArchivedCall, Payloads};
use lineshaft_wire::message::{
    Enqueue, Enqueued, JobGroup, RefusalCode, Rules, RunAfter, Sequence, UniqueWhile,
};
use lineshaft_wire::{JobId, JobState};

use super::job::{Job, Payload, When, cut};
use super::{Model, Told};

/// An idempotency key and the job that it answers with.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) key: Arc<str>,
    pub(super) job: JobId,
    pub(super) expires_ms: u64,
}

impl Model {
    pub(super) fn enqueue(
        &mut self,
        session: u64,
        request: &Enqueue,
        arguments: &Payloads,
    ) -> Result<Told, RefusalCode> {
        if let Some(told) = self.turn(session, request.sequence)? {
            return Ok(told);
        }
        super::rules::check_enqueue(request, arguments)?;
        self.check_room(request)?;
        for (at, group) in request.groups.iter().enumerate() {
            let mut new = request.groups[..at].iter().filter(|other| self.known_by_key(other).is_none());
            if new.any(|other| share_a_key(group, other)) {
                return Err(RefusalCode::BadRequest);
            }
        }
        let lengths: Vec<u64> =
            request.groups.iter().flat_map(|group| &group.lengths).map(|it| u64::from(*it)).collect();
        let mut payloads = cut(arguments, &lengths, self.lsn).into_iter();
        let mut enqueued = Enqueued::default();
        for group in &request.groups {
            let payloads = payloads.by_ref().take(group.lengths.len()).collect();
            self.enqueue_group(group, payloads, &mut enqueued);
        }
        Ok(self.answer_enqueue(session, request, enqueued))
    }

    /// What was looked up in the cache alone is not remembered, nor that something else was in it.
    fn answer_enqueue(&mut self, session: u64, request: &Enqueue, enqueued: Enqueued) -> Told {
        let is_cached = |group: &JobGroup| {
            let unique = group.unique.as_ref();
            unique.is_some_and(|it| it.while_ == UniqueWhile::Cached) && group.idempotency_key.is_none()
        };
        let found_all = enqueued.existing.len() * 16 == enqueued.ids.len();
        if !(found_all && request.groups.iter().all(is_cached)) {
            let remembered = Enqueued { completed: Vec::new(), ..enqueued.clone() };
            self.answer(session, request.sequence, Answer::Enqueued(remembered));
        }
        Told::Answer(Answer::Enqueued(enqueued))
    }

    fn enqueue_group(&mut self, group: &JobGroup, payloads: Vec<Payload>, enqueued: &mut Enqueued) {
        if let Some(job) = self.known_by_key(group) {
            let position = (enqueued.ids.len() / 16) as u32;
            enqueued.existing.push(position);
            enqueued.completed.extend(self.is_cached(group, job).then_some(position));
            enqueued.ids.extend_from_slice(&job.to_bytes());
            return;
        }
        if let Some(unique) = &group.unique {
            self.free(&unique.key);
        }
        for arguments in payloads {
            let id = self.make(group, arguments);
            enqueued.ids.extend_from_slice(&id.to_bytes());
            if let Some(key) = &group.idempotency_key {
                let expires_ms = self.logical_ms + self.limits.idempotency_ms;
                self.keys.push(Key { key: Arc::clone(key), job: id, expires_ms });
            }
            let held = group.unique.as_ref().filter(|unique| unique.while_ != UniqueWhile::Cached);
            let held = held.and_then(|unique| Some((&unique.key, unique.period_ms?)));
            if let Some((key, period_ms)) = held {
                let expires_ms = self.wall_ms + period_ms;
                self.periods.push(Key { key: Arc::clone(key), job: id, expires_ms });
            }
        }
    }

    /// The job that one of the group's keys answers with.
    fn known_by_key(&self, group: &JobGroup) -> Option<JobId> {
        let by_key = self.keys.iter().find(|known| Some(&known.key) == group.idempotency_key.as_ref());
        let by_unique = self.jobs.iter().find(|job| {
            let same = |unique: &_| Some(unique) == group.unique.as_ref().map(|unique| &unique.key);
            job.keeps_out && job.unique.as_ref().is_some_and(|unique| same(&unique.key))
        });
        let key = group.unique.as_ref().map(|unique| &unique.key);
        let by_period = self.periods.iter().find(|known| Some(&known.key) == key);
        let unique = by_unique.map(|job| job.id).or(by_period.map(|known| known.job));
        let unique = unique.or(self.known_by_cache(group)).filter(|_| !group.anew);
        by_key.map(|known| known.job).or(unique)
    }

    pub(super) fn make(&mut self, group: &JobGroup, arguments: Payload) -> JobId {
        let instant = |time: Option<RunAfter>| match time? {
            RunAfter::At(at) => Some(at),
            RunAfter::In(delay) => Some(self.wall_ms + delay),
        };
        let at = instant(group.run_after).unwrap_or(0);
        let (expires_ms, deadline_ms) = (instant(group.expires), instant(group.deadline));
        let waits = at > self.wall_ms;
        let (id, place) = self.take_place();
        self.jobs.push(Job {
            id,
            place,
            state: if waits { JobState::Scheduled } else { JobState::Available },
            arguments,
            result: Payload::default(),
            checkpoint: None,
            attempts: Vec::new(),
            ready_ms: 0,
            rules: Arc::clone(&group.rules),
            task: Arc::clone(&group.task),
            queue: Arc::clone(&group.queue),
            priority: group.priority,
            tags: group.tags.clone(),
            metadata: group.metadata.clone(),
            context: group.context.clone(),
            finalized_ms: None,
            in_line: 0,
            created_ms: self.wall_ms,
            run_at: waits.then_some(When::Wall(at)),
            expires_ms,
            deadline_ms,
            parked: None,
            put_off: None,
            retry_of: None,
            failure_of: None,
            handled_by: None,
            keeps_out: group.unique.is_some(),
            unique: group.unique.clone(),
            failures: 0,
            crashes: 0,
            lease: None,
            cancelling: false,
            reason: None,
            finish_number: 0,
        });
        self.stand_in_line(self.jobs.len() - 1);
        id
    }

    /// The next id: that of the next free place by number, of the first one behind the last, or of a new one.
    fn take_place(&mut self) -> (JobId, u32) {
        let next = self.free_places.range(self.hand..).next().or_else(|| self.free_places.first()).copied();
        if let Some(place) = next {
            self.free_places.remove(&place);
            self.hand = place + 1;
        }
        let place = next.unwrap_or_else(|| {
            self.generations.push(0);
            (self.generations.len() - 1) as u32
        });
        (JobId::direct(self.wall_ms, 0, place, self.generations[place as usize]), place)
    }

    /// The job comes after all that stand in line now.
    pub(super) fn stand_in_line(&mut self, job: usize) {
        self.places_in_line += 1;
        self.jobs[job].in_line = self.places_in_line;
    }

    /// A finished job runs again as a new one.
    pub(super) fn retry_archived(
        &mut self,
        session: u64,
        sequence: Sequence,
        archived: &ArchivedCall,
    ) -> Result<Told, RefusalCode> {
        if let Some(told) = self.turn(session, sequence)? {
            return Ok(told);
        }
        let group = JobGroup {
            queue: Arc::clone(&archived.queue),
            priority: archived.priority,
            rules: Arc::clone(&archived.rules),
            tags: archived.tags.clone(),
            metadata: archived.metadata.clone(),
            context: archived.context.clone(),
            ..JobGroup::new(Arc::clone(&archived.task), vec![archived.arguments.bytes.len() as u32])
        };
        self.check_room(&Enqueue { sequence, groups: vec![group.clone()] })?;
        let arguments =
            cut(&archived.arguments, &[archived.arguments.bytes.len() as u64], self.lsn).remove(0);
        let id = self.make(&group, arguments);
        let at = self.jobs.len() - 1;
        self.jobs[at].retry_of = Some(archived.job);
        if !archived.checkpoint.is_empty() {
            self.leave_checkpoint(at, &archived.checkpoint);
        }
        let enqueued = Enqueued { ids: id.to_bytes().to_vec().into(), ..Enqueued::default() };
        Ok(self.answer(session, sequence, Answer::Enqueued(enqueued)))
    }

    /// Every table must have room for the whole request, as if no key were known.
    fn check_room(&self, request: &Enqueue) -> Result<(), RefusalCode> {
        let groups = &request.groups;
        let jobs = groups.iter().map(|group| group.lengths.len()).sum::<usize>();
        let (names_used, mut names) = (self.names_in_use().len(), self.names_in_use());
        let mut rules: HashSet<&Arc<Rules>> = self.jobs.iter().map(|job| &job.rules).collect();
        let rules_used = rules.len();
        for group in groups {
            names.extend([&group.task, &group.queue].into_iter().chain(&group.tags).cloned());
            rules.insert(&group.rules);
            super::failures::count(&group.rules, &mut names, &mut rules);
        }
        let keys = groups.iter().filter(|group| group.idempotency_key.is_some()).count();
        let has_period = |group: &&JobGroup| group.unique.as_ref().is_some_and(|it| it.period_ms.is_some());
        let periods = groups.iter().filter(has_period).count();
        let limits = &self.limits;
        let has_room = |used: usize, more: usize, limit: usize| more == 0 || used + more <= limit;
        let fits = has_room(self.jobs.len(), jobs, limits.jobs as usize)
            && has_room(names_used, names.len() - names_used, limits.names)
            && has_room(rules_used, rules.len() - rules_used, limits.rules)
            && has_room(self.keys.len(), keys, limits.idempotency_keys)
            && has_room(self.periods.len() + self.cached.len(), periods, limits.unique_periods);
        if fits { Ok(()) } else { Err(RefusalCode::QueueFull) }
    }

    pub(super) fn names_in_use(&self) -> BTreeSet<Arc<str>> {
        let of_jobs = self.jobs.iter().flat_map(|job| [&job.task, &job.queue].into_iter().chain(&job.tags));
        of_jobs.chain(&self.paused).chain(self.purges.keys()).cloned().collect()
    }
}

fn share_a_key(one: &JobGroup, other: &JobGroup) -> bool {
    let unique = |group: &JobGroup| group.unique.as_ref().map(|unique| Arc::clone(&unique.key));
    (one.idempotency_key.is_some() && one.idempotency_key == other.idempotency_key)
        || (unique(one).is_some() && unique(one) == unique(other))
}
