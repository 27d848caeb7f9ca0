//! Cached results: which finished job answers an equal call, and until when.
//!
//! The key of such a job keeps others out while it is unfinished, as any unique key does. When the job is completed, the
//! key is held on for a period, in which whoever asks is answered with the finished job; however else it ends, the key is
//! free at once. A job that takes the place of another one frees the key first, so that two never hold it.

use std::collections::BTreeSet;
use std::sync::Arc;

use lineshaft_wire::JobId;
use lineshaft_wire::message::{Invalidate, JobGroup, KEYS_MAX, NAME_BYTES_MAX, Unique, UniqueWhile};

use super::enqueue::{bad, check_text};
use super::{Answered, Turn};
use crate::change::Change;
use crate::command::{Decision, Now, Refusal};
use crate::state::State;

impl State {
    /// The archive has no job that ended before this time, Unix milliseconds: cached results of such jobs are gone.
    pub fn set_history_from(&mut self, ended_ms: u64) {
        self.history_from_ms = ended_ms;
    }

    /// The job that holds a key for its period, unless it is a cached one that is too old for whoever asks, or gone.
    pub(super) fn held_for_period(&self, unique: &Unique, now: Now) -> Option<JobId> {
        let (job, _) = *self.periods.get(&unique.key)?;
        let Some(ended_ms) = self.cached.get(&unique.key).copied().flatten() else { return Some(job) };
        let is_young = unique.period_ms.is_none_or(|period_ms| now.wall_ms < ended_ms + period_ms);
        let is_there = ended_ms >= self.history_from_ms || self.slot_of(job).is_some();
        (is_young && is_there && !self.is_deleted(job)).then_some(job)
    }

    /// Whether the job, which a key of the group answers with, is the completed one that its unique key is held for.
    pub(super) fn is_cached(&self, group: &JobGroup, job: JobId) -> bool {
        let Some(Unique { key, .. }) = &group.unique else { return false };
        let has_ended = self.cached.get(key).is_some_and(Option::is_some);
        has_ended && self.periods.get(key).is_some_and(|(held_for, _)| *held_for == job)
    }

    /// The key of a group that makes a job although another one holds it.
    pub(super) fn held_key<'a>(&self, group: &'a JobGroup) -> Option<&'a Arc<str>> {
        let key = &group.unique.as_ref()?.key;
        (self.unique.contains_key(key) || self.periods.contains_key(key)).then_some(key)
    }

    pub(super) fn decide_invalidate(&self, session: u64, request: &Invalidate) -> Result<Decision, Refusal> {
        let place = match self.turn(session, request.sequence)? {
            Turn::Answered(decision) => return Ok(decision),
            Turn::Fresh(place) => place,
        };
        check_invalidate(request)?;
        let named = request.keys.iter().filter_map(|key| Some(self.cached.get_key_value(key)?.0));
        let keys = named.chain(self.cached_below(request.prefix.as_ref()));
        let keys: Vec<Arc<str>> = keys.collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let answer = Answered { jobs: keys.len() as u64, ..Answered::default() };
        let freed = (!keys.is_empty()).then(|| Change::KeysFreed { keys }.into());
        Ok(Decision::answered(freed.into_iter().collect(), place, answer))
    }

    /// The first keys of cached results that begin so, at most one bulk step.
    fn cached_below(&self, prefix: Option<&Arc<str>>) -> impl Iterator<Item = &Arc<str>> {
        let from = prefix.into_iter().flat_map(|prefix| {
            let keys = self.cached.range(Arc::clone(prefix)..).map(|(key, _)| key);
            keys.take_while(move |key| key.starts_with(&**prefix))
        });
        from.take(self.limits.step)
    }
}

/// Whether jobs of the group are answered with from the cache.
pub(super) fn is_cached(group: &JobGroup) -> bool {
    group.unique.as_ref().is_some_and(|unique| unique.while_ == UniqueWhile::Cached)
}

/// A result is cached for some time, and no longer than it is kept.
pub(super) fn check_cached(group: &JobGroup) -> Result<(), Refusal> {
    let Some(Unique { period_ms, .. }) = group.unique.as_ref().filter(|_| is_cached(group)) else {
        if group.anew {
            return Err(bad("a job is made anew only where its result is cached".to_owned()));
        }
        return Ok(());
    };
    let kept_ms = if group.rules.keep_result { group.rules.result_ttl_ms } else { 0 };
    match period_ms {
        Some(period_ms) if *period_ms <= kept_ms => Ok(()),
        Some(period_ms) => Err(bad(format!(
            "results of task {} are cached for {period_ms} ms, but kept for {kept_ms} ms",
            group.task
        ))),
        None => Err(bad("a result is cached for a period, and there is none".to_owned())),
    }
}

fn check_invalidate(request: &Invalidate) -> Result<(), Refusal> {
    if request.keys.len() > KEYS_MAX {
        return Err(bad(format!("{} keys in one request; the limit is {KEYS_MAX}", request.keys.len())));
    }
    request.keys.iter().try_for_each(|key| check_text("key", key))?;
    match &request.prefix {
        Some(prefix) if prefix.len() > NAME_BYTES_MAX => {
            Err(bad(format!("a prefix of {} bytes; keys have at most {NAME_BYTES_MAX}", prefix.len())))
        }
        _ => Ok(()),
    }
}
