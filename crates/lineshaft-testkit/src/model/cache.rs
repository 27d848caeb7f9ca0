//! The cache: entries, and everything that was ever invalidated.

use std::sync::Arc;

use lineshaft_jobs::{Answer, Payloads};
use lineshaft_wire::message::{CacheInvalidate, CacheSet, Changed, NewEntry, RefusalCode};

use super::job::{Payload, cut};
use super::rules::is_text;
use super::{Happened, Model, Told};

const HUNDRED_YEARS_MS: u64 = 100 * 366 * 24 * 3_600_000;

/// An entry, true or not.
#[derive(Clone, Debug)]
pub(super) struct CacheEntry {
    key: Arc<str>,
    tags: Vec<Arc<str>>,
    sources: Vec<Arc<str>>,
    pub(super) value: Payload,
    due_ms: Option<u64>,
    stale_ms: u64,
    /// How much had been invalidated when it was stored.
    since: usize,
}

impl CacheEntry {
    fn ends_ms(&self) -> Option<u64> {
        self.due_ms.map(|due_ms| due_ms + self.stale_ms)
    }
}

/// What was invalidated together; nothing at a start of the engine.
#[derive(Clone, Debug, Default)]
pub(super) struct Invalidation {
    keys: Vec<Arc<str>>,
    tags: Vec<Arc<str>>,
    /// Keys that got a value where none was served, and that entries were computed from.
    came: Vec<Arc<str>>,
    all: bool,
}

impl Invalidation {
    fn hits(&self, key: &Arc<str>, sources: &[Arc<str>], tags: &[Arc<str>]) -> bool {
        let has_key = sources.iter().chain([key]).any(|key| self.keys.contains(key));
        self.all || has_key || tags.iter().any(|tag| self.tags.contains(tag))
    }
}

impl Model {
    pub(super) fn cache_set(
        &mut self,
        session: u64,
        set: &CacheSet,
        values: &Payloads,
    ) -> Result<Told, RefusalCode> {
        if let Some(told) = self.turn(session, set.sequence)? {
            return Ok(told);
        }
        let lengths: Vec<u64> = set.entries.iter().map(|entry| u64::from(entry.length)).collect();
        if set.entries.len() > 1_024 {
            return Err(RefusalCode::BadRequest);
        }
        set.entries.iter().try_for_each(check)?;
        if lengths.iter().sum::<u64>() != values.bytes.len() as u64 {
            return Err(RefusalCode::BadRequest);
        }
        if set.entries.iter().any(|new| bytes_of(new) > self.limits.cache_bytes) {
            return Err(RefusalCode::TooLarge);
        }
        let now = self.invalidations.len();
        let is_true = |new: &NewEntry| {
            let Some(since) = new.ticket.map(|ticket| ticket as usize) else { return true };
            let is_known = (self.tickets_from..=now).contains(&since);
            let is_put = set.entries.iter().any(|put| put.ticket.is_none() && put.key == new.key);
            let hits = |it: &Invalidation| it.hits(&new.key, &new.sources, &new.tags);
            is_known && !is_put && !self.invalidations[since..].iter().any(hits)
        };
        let good: Vec<bool> = set.entries.iter().map(is_true).collect();
        let put = set.entries.iter().filter(|new| new.ticket.is_none()).map(|new| Arc::clone(&new.key));
        let put: Vec<Arc<str>> = put.collect();
        let computed = set.entries.iter().zip(&good).filter(|(new, good)| **good && new.ticket.is_some());
        let computed = computed.map(|(new, _)| Arc::clone(&new.key));
        let (mut keys, came): (Vec<_>, Vec<_>) = computed.partition(|key| self.cached_value(key).is_some());
        keys.extend(put);
        let came = came.into_iter().filter(|key| self.cache.iter().any(|entry| entry.sources.contains(key)));
        let came: Vec<Arc<str>> = came.collect();
        if !keys.is_empty() || !came.is_empty() {
            keys.iter().for_each(|key| self.drop_entry(key));
            self.invalidations.push(Invalidation { keys, came, ..Invalidation::default() });
        }
        let values = cut(values, &lengths, self.lsn);
        for ((new, value), _) in set.entries.iter().zip(values).zip(&good).filter(|(_, good)| **good) {
            self.store(new, value);
        }
        let jobs = good.into_iter().filter(|good| *good).count() as u64;
        Ok(self.answer(session, set.sequence, Answer::Changed(Changed { jobs, ..Changed::default() })))
    }

    fn store(&mut self, new: &NewEntry, value: Payload) {
        self.drop_entry(&new.key);
        self.cache.push(CacheEntry {
            key: Arc::clone(&new.key),
            tags: new.tags.clone(),
            sources: new.sources.clone(),
            value,
            due_ms: new.ttl_ms.map(|ttl_ms| self.wall_ms + ttl_ms),
            stale_ms: new.stale_ms,
            since: self.invalidations.len(),
        });
    }

    fn is_true(&self, entry: &CacheEntry) -> bool {
        let CacheEntry { key, sources, tags, since, .. } = entry;
        let has_come = |it: &Invalidation| sources.iter().any(|source| it.came.contains(source));
        !self.invalidations[*since..].iter().any(|it| it.hits(key, sources, tags) || has_come(it))
    }

    pub(super) fn drop_entry(&mut self, key: &Arc<str>) {
        let Some(at) = self.cache.iter().position(|entry| entry.key == *key) else { return };
        let blob = self.cache.remove(at).value.blob;
        self.happened.extend(blob.map(Happened::BlobFreed));
    }

    pub(super) fn cache_invalidate(
        &mut self,
        session: u64,
        request: &CacheInvalidate,
    ) -> Result<Told, RefusalCode> {
        let CacheInvalidate { sequence, keys, tags, all } = request;
        if let Some(told) = self.turn(session, *sequence)? {
            return Ok(told);
        }
        if keys.len() > 1_024 || tags.len() > 1_024 || !keys.iter().chain(tags).all(is_text) {
            return Err(RefusalCode::BadRequest);
        }
        let is_true = |entry: &&CacheEntry| self.is_true(entry);
        let there =
            self.cache.iter().filter(|entry| keys.contains(&entry.key)).filter(is_true).count() as u64;
        if !keys.is_empty() || !tags.is_empty() || *all {
            keys.iter().for_each(|key| self.drop_entry(key));
            let (keys, tags, all) = (keys.clone(), tags.clone(), *all);
            self.invalidations.push(Invalidation { keys, tags, all, ..Invalidation::default() });
        }
        let changed = Changed { jobs: there, ..Changed::default() };
        Ok(self.answer(session, *sequence, Answer::Changed(changed)))
    }

    /// An engine starts: it does not know what was being computed.
    pub(super) fn restart_cache(&mut self) {
        self.invalidations.push(Invalidation::default());
        self.tickets_from = self.invalidations.len();
    }

    /// For what is computed from now on.
    pub fn cache_ticket(&self) -> u64 {
        self.invalidations.len() as u64
    }

    /// The value of a key, and whether its time is over, if it is true.
    pub fn cached_value(&self, key: &Arc<str>) -> Option<(Payload, bool)> {
        let entry = self.cache.iter().find(|entry| entry.key == *key)?;
        let is_over = entry.ends_ms().is_some_and(|at| at <= self.wall_ms);
        let is_true = self.is_true(entry) && !is_over;
        is_true.then(|| (entry.value.clone(), entry.due_ms.is_some_and(|at| at <= self.wall_ms)))
    }

    pub(super) fn cached_value_mut(&mut self, key: &Arc<str>) -> Option<&mut Payload> {
        self.cache.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
    }

    /// Every value, of entries that are true or not.
    pub fn cached_values(&self) -> impl Iterator<Item = &Payload> {
        self.cache.iter().map(|entry| &entry.value)
    }

    /// When each entry goes that has a time, Unix milliseconds.
    pub(super) fn cache_ends(&self) -> impl Iterator<Item = u64> + '_ {
        self.cache.iter().filter_map(CacheEntry::ends_ms)
    }

    pub(super) fn check_ended_entries(&mut self, keys: &[Arc<str>]) -> Result<(), String> {
        for key in keys {
            let entry = self.cache.iter().find(|entry| entry.key == *key).ok_or("an unknown entry ends")?;
            let ends_ms = entry.ends_ms();
            if ends_ms.is_none_or(|at| at > self.wall_ms) {
                return Err(format!("entry {key} is true until {ends_ms:?}"));
            }
            self.drop_entry(key);
        }
        self.check_step(keys.len(), 1)
    }
}

fn bytes_of(new: &NewEntry) -> u64 {
    let sources = new.sources.iter().map(|key| key.len() + 1).sum::<usize>();
    let texts = new.key.len() + new.tags.iter().map(|tag| tag.len()).sum::<usize>() + sources;
    200 + texts as u64 + u64::from(new.length)
}

fn check(new: &NewEntry) -> Result<(), RefusalCode> {
    let lives = [new.ttl_ms, new.idle_ms, Some(new.stale_ms)];
    let is_long = lives.into_iter().flatten().any(|life_ms| life_ms > HUNDRED_YEARS_MS);
    if !new.tags.iter().chain(&new.sources).chain([&new.key]).all(is_text)
        || new.tags.len() > 1_024
        || new.sources.len() > 256
    {
        return Err(RefusalCode::BadRequest);
    }
    if new.length > 64 << 20 {
        return Err(RefusalCode::TooLarge);
    }
    if is_long { Err(RefusalCode::BadRequest) } else { Ok(()) }
}
