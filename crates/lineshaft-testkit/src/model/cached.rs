//! Cached results.

use std::collections::BTreeSet;
use std::sync::Arc;

use lineshaft_jobs::Answer;
use lineshaft_wire::JobId;
use lineshaft_wire::message::{Changed, Invalidate, JobGroup, KEYS_MAX, RefusalCode, UniqueWhile};

use super::job::Job;
use super::{Model, Told};

/// A result that is cached.
#[derive(Clone, Debug)]
pub(super) struct Cached {
    pub(super) key: Arc<str>,
    pub(super) job: JobId,
    pub(super) ended_ms: u64,
    /// When it is forgotten, Unix milliseconds.
    pub(super) expires_ms: u64,
}

impl Model {
    /// The completed job that the group's key answers with: not one that was deleted, nor an older one than is wanted.
    pub(super) fn known_by_cache(&self, group: &JobGroup) -> Option<JobId> {
        let unique = group.unique.as_ref()?;
        let is_young = |cached: &&Cached| {
            unique.period_ms.is_none_or(|period_ms| self.wall_ms < cached.ended_ms + period_ms)
        };
        let cached = self.cached.iter().find(|cached| cached.key == unique.key).filter(is_young)?;
        (!self.deleted.contains_key(&cached.job)).then_some(cached.job)
    }

    /// Whether the result of the job is the one that is cached under the group's key.
    pub(super) fn is_cached(&self, group: &JobGroup, job: JobId) -> bool {
        let key = group.unique.as_ref().map(|unique| &unique.key);
        self.cached.iter().any(|cached| Some(&cached.key) == key && cached.job == job)
    }

    /// A job is completed: from now on its result is cached, if it shall be.
    pub(super) fn cache(&mut self, at: usize) {
        let job = &self.jobs[at];
        let Some(unique) = job.unique.clone().filter(|_| job.keeps_out && keeps_result(job)) else { return };
        let (job, ended_ms) = (job.id, self.wall_ms);
        let expires_ms = ended_ms + unique.period_ms.unwrap_or(0);
        self.cached.push(Cached { key: unique.key, job, ended_ms, expires_ms });
    }

    /// Nobody is answered with what has this key.
    pub(super) fn free(&mut self, key: &Arc<str>) {
        self.periods.retain(|held| held.key != *key);
        self.cached.retain(|cached| cached.key != *key);
        let holds = |job: &&mut Job| job.keeps_out && key_of(job) == Some(key);
        for job in self.jobs.iter_mut().filter(holds) {
            (job.keeps_out, job.unique) = (false, None);
        }
    }

    pub(super) fn invalidate(&mut self, session: u64, request: &Invalidate) -> Result<Told, RefusalCode> {
        if let Some(told) = self.turn(session, request.sequence)? {
            return Ok(told);
        }
        let is_long = request.prefix.as_ref().is_some_and(|prefix| prefix.len() > 255);
        if request.keys.len() > KEYS_MAX || !request.keys.iter().all(super::rules::is_text) || is_long {
            return Err(RefusalCode::BadRequest);
        }
        let unfinished = self.jobs.iter().filter(|job| job.keeps_out && keeps_result(job)).filter_map(key_of);
        let all: BTreeSet<Arc<str>> =
            unfinished.chain(self.cached.iter().map(|cached| &cached.key)).cloned().collect();
        let begins = |key: &&Arc<str>| request.prefix.as_ref().is_some_and(|it| key.starts_with(&**it));
        let below = all.iter().filter(begins).take(self.limits.step);
        let named = all.iter().filter(|key| request.keys.contains(key));
        let freed: BTreeSet<&Arc<str>> = named.chain(below).collect();
        let jobs = freed.len() as u64;
        freed.into_iter().for_each(|key| self.free(key));
        Ok(self.answer(session, request.sequence, Answer::Changed(Changed { jobs, ..Changed::default() })))
    }
}

fn keeps_result(job: &Job) -> bool {
    job.unique.as_ref().is_some_and(|unique| unique.while_ == UniqueWhile::Cached)
}

fn key_of(job: &Job) -> Option<&Arc<str>> {
    job.unique.as_ref().map(|unique| &unique.key)
}
