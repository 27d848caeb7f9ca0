//! What is asked of the cache, and what time does to it.

use std::sync::Arc;

use lineshaft_wire::message::{
    CACHE_KEYS_MAX, CACHE_SOURCES_MAX, CACHE_TAGS_MAX, CacheInvalidate, CacheSet, FoundEntry, NewEntry,
    PAYLOAD_BYTES_MAX, RefusalCode,
};

use super::enqueue::{Cutter, bad, check_text};
use super::{Answered, Turn};
use crate::cache::{CacheEntry, entry_bytes, source_tag};
use crate::change::{CachedValue, Change, Place};
use crate::command::{Decision, Entry, Now, Payloads, Refusal};
use crate::state::State;

/// Longest time that an entry lives or is served beyond it, milliseconds: a hundred years.
const LIFE_MS_MAX: u64 = 100 * 366 * 86_400_000;

const KEY: &str = "key of an entry";
const TAG: &str = "tag of an entry";

/// An entry that was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheView {
    /// Its place among the entries, while it is there.
    pub index: u32,
    /// Where its value lies.
    pub place: Place,
    /// Its time is over.
    pub is_stale: bool,
    /// How long it stays without a use, milliseconds.
    pub idle_ms: Option<u64>,
}

impl CacheView {
    /// What an answer says of it.
    pub fn found(&self) -> FoundEntry {
        FoundEntry { length: self.place.length, is_stale: self.is_stale }
    }
}

impl State {
    /// The entry of a key, if it is true.
    pub fn cache_entry(&self, key: &str, now: Now) -> Option<CacheView> {
        let index = self.cache.index(key)?;
        let CacheEntry { entry, place } = self.cache.at(index)?;
        let is_stale = entry.due_ms.is_some_and(|at| at <= now.wall_ms);
        let is_over = entry.due_ms.is_some_and(|at| at.saturating_add(entry.stale_ms) <= now.wall_ms);
        let is_there = self.cache.is_true(entry) && !is_over;
        is_there.then_some(CacheView { index, place: *place, is_stale, idle_ms: entry.idle_ms })
    }

    /// Whether a key has an entry, true or not.
    pub fn has_cache_entry(&self, key: &str) -> bool {
        self.cache.index(key).is_some()
    }

    /// The key and the bytes of an entry, by its place.
    pub fn cache_entry_at(&self, index: u32) -> Option<(&Arc<str>, u64)> {
        let CacheEntry { entry, place } = self.cache.at(index)?;
        Some((&entry.key, entry_bytes(&entry.key, &entry.tags, place.length)))
    }

    /// Of up to `count` entries from the place `first` on: the keys of those that are not true any more, and the place to go
    /// on with, `None` at the end.
    pub fn untrue_entries(&self, first: u32, count: u32) -> (Vec<Arc<str>>, Option<u32>) {
        let end = first.saturating_add(count).min(self.cache.end());
        let entries = (first..end).filter_map(|index| self.cache.at(index)).map(|it| &it.entry);
        let untrue = entries.filter(|entry| !self.cache.is_true(entry));
        (untrue.map(|entry| Arc::clone(&entry.key)).collect(), (end < self.cache.end()).then_some(end))
    }

    /// Where the value of an entry lies, by the entry's place.
    pub fn cache_place(&self, index: u32) -> Option<Place> {
        self.cache.at(index).map(|entry| entry.place)
    }

    /// Places of all entries.
    pub fn cache_indexes(&self) -> impl Iterator<Item = u32> {
        self.cache.iter().map(|(index, _)| index)
    }

    /// Entries of the cache, true or not, and their bytes.
    pub fn cache_size(&self) -> (u64, u64) {
        (self.cache.len() as u64, self.cache.bytes())
    }

    /// Whether entries have to go.
    pub fn cache_overflows(&self) -> bool {
        self.cache.len() > self.limits.cache_entries || self.cache.bytes() > self.limits.cache_bytes
    }

    /// Most bytes of the cache.
    pub fn cache_bytes_max(&self) -> u64 {
        self.limits.cache_bytes
    }

    /// For what is computed from now on.
    pub fn cache_ticket(&self) -> u64 {
        self.cache.version
    }

    pub(super) fn decide_cache_set(
        &self,
        session: u64,
        set: &CacheSet,
        values: &Payloads,
        now: Now,
    ) -> Result<Decision, Refusal> {
        let request = match self.turn(session, set.sequence)? {
            Turn::Answered(decision) => return Ok(decision),
            Turn::Fresh(request) => request,
        };
        self.check_set(set, values)?;
        // What is put without a ticket is newer than whatever is being computed for its key.
        let put = set.entries.iter().filter(|new| new.ticket.is_none()).map(|new| Arc::clone(&new.key));
        let put: Vec<Arc<str>> = put.collect();
        let is_good = |new: &NewEntry| {
            let NewEntry { key, sources, tags, .. } = new;
            let is_true = |ticket| self.cache.holds(ticket, key, sources, tags) && !put.contains(key);
            new.ticket.is_none_or(is_true)
        };
        let good: Vec<bool> = set.entries.iter().map(is_good).collect();
        let computed = set.entries.iter().zip(&good).filter(|(new, good)| **good && new.ticket.is_some());
        let computed = || computed.clone().map(|(new, _)| &new.key);
        let tags = self.tags_of_keys(computed().chain(&put));
        // In place of what was served until now: others may be computed from that at the moment.
        let served = computed().filter(|key| self.cache_entry(key, now).is_some()).cloned();
        let keys: Vec<Arc<str>> = served.chain(put.iter().cloned()).collect();
        let version = self.cache.version + u64::from(!keys.is_empty() || !tags.is_empty());
        let mut cutter = Cutter::new(values);
        let mut entries = Vec::new();
        for (new, good) in set.entries.iter().zip(good) {
            if good {
                entries.push((cached_value(new, version, now), cutter.take(u64::from(new.length))));
            } else {
                cutter.skip(u64::from(new.length));
            }
        }
        let answered = Answered { jobs: entries.len() as u64, ..Answered::default() };
        let untrue = Change::EntriesInvalidated { keys, tags, all: false };
        let untrue = (version > self.cache.version).then(|| untrue.into());
        let change = (!entries.is_empty()).then_some(Change::EntriesStored { entries });
        let stored = change.map(|change| Entry { change, payload: cutter.parts });
        Ok(Decision::answered(untrue.into_iter().chain(stored).collect(), request, answered))
    }

    /// Those that stand for keys that entries were computed from, which are not true any more.
    fn tags_of_keys<'a>(&self, keys: impl Iterator<Item = &'a Arc<str>>) -> Vec<Arc<str>> {
        keys.filter_map(|key| self.cache.depended_on(key)).collect()
    }

    fn check_set(&self, set: &CacheSet, values: &Payloads) -> Result<(), Refusal> {
        check_count("entries", set.entries.len())?;
        set.entries.iter().try_for_each(check_entry)?;
        let announced: u64 = set.entries.iter().map(|entry| u64::from(entry.length)).sum();
        if announced != values.bytes.len() as u64 {
            let came = values.bytes.len();
            return Err(bad(format!("values of {announced} bytes were announced, {came} came")));
        }
        let most = self.limits.cache_bytes;
        match set.entries.iter().find(|new| entry_bytes(&new.key, &tags_of(new), new.length) > most) {
            Some(new) => {
                let text = format!("the value of {:?} has {} bytes, the cache {most}", new.key, new.length);
                Err(Refusal::new(RefusalCode::TooLarge, text))
            }
            None => Ok(()),
        }
    }

    /// What is not there is invalidated too: somebody may be computing it.
    pub(super) fn decide_cache_invalidate(
        &self,
        session: u64,
        request: CacheInvalidate,
    ) -> Result<Decision, Refusal> {
        let CacheInvalidate { sequence, mut keys, mut tags, all } = request;
        let request = match self.turn(session, sequence)? {
            Turn::Answered(decision) => return Ok(decision),
            Turn::Fresh(request) => request,
        };
        check_count("keys", keys.len())?;
        check_count("tags", tags.len())?;
        keys.iter().try_for_each(|key| check_text(KEY, key))?;
        tags.iter().try_for_each(|tag| check_text(TAG, tag))?;
        for names in [&mut keys, &mut tags] {
            names.sort_unstable();
            names.dedup();
        }
        let is_there = |key: &&Arc<str>| {
            let entry = self.cache.index(key).and_then(|index| self.cache.at(index));
            entry.is_some_and(|it| self.cache.is_true(&it.entry))
        };
        let answered = Answered { jobs: keys.iter().filter(is_there).count() as u64, ..Answered::default() };
        let is_nothing = keys.is_empty() && tags.is_empty() && !all;
        tags.extend(self.tags_of_keys(keys.iter()));
        let change = (!is_nothing).then(|| Change::EntriesInvalidated { keys, tags, all }.into());
        Ok(Decision::answered(change.into_iter().collect(), request, answered))
    }

    /// Entries whose time is over.
    pub(super) fn ended_entries(&self, now: Now) -> Option<Entry> {
        let keys: Vec<Arc<str>> = self.cache.ended(now.wall_ms).take(self.limits.step).cloned().collect();
        (!keys.is_empty()).then(|| Change::EntriesGone { keys }.into())
    }
}

fn cached_value(new: &NewEntry, version: u64, now: Now) -> CachedValue {
    CachedValue {
        key: Arc::clone(&new.key),
        tags: tags_of(new),
        due_ms: new.ttl_ms.map(|ttl_ms| now.wall_ms.saturating_add(ttl_ms)),
        stale_ms: new.stale_ms,
        idle_ms: new.idle_ms,
        // Nothing of it was invalidated since its ticket was given: that was asked just now.
        since: version,
    }
}

/// Its tags, with those that stand for its sources.
fn tags_of(new: &NewEntry) -> Vec<Arc<str>> {
    new.tags.iter().cloned().chain(new.sources.iter().map(|key| source_tag(key))).collect()
}

fn check_entry(entry: &NewEntry) -> Result<(), Refusal> {
    check_text(KEY, &entry.key)?;
    entry.tags.iter().try_for_each(|tag| check_text(TAG, tag))?;
    entry.sources.iter().try_for_each(|key| check_text(KEY, key))?;
    let counts =
        [("tags", entry.tags.len(), CACHE_TAGS_MAX), ("sources", entry.sources.len(), CACHE_SOURCES_MAX)];
    if let Some((what, count, most)) = counts.into_iter().find(|(_, count, most)| count > most) {
        return Err(bad(format!("{count} {what} of one entry: {most} are allowed")));
    }
    if u64::from(entry.length) > PAYLOAD_BYTES_MAX {
        let text = format!("a value of {} bytes: {PAYLOAD_BYTES_MAX} are allowed", entry.length);
        return Err(Refusal::new(RefusalCode::TooLarge, text));
    }
    let lives = [entry.ttl_ms, entry.idle_ms, Some(entry.stale_ms)];
    match lives.into_iter().flatten().find(|life_ms| *life_ms > LIFE_MS_MAX) {
        Some(life_ms) => Err(bad(format!("an entry that lives for {life_ms} ms: {LIFE_MS_MAX} are allowed"))),
        None => Ok(()),
    }
}

fn check_count(what: &str, count: usize) -> Result<(), Refusal> {
    if count <= CACHE_KEYS_MAX {
        return Ok(());
    }
    Err(bad(format!("{count} {what} in one request: {CACHE_KEYS_MAX} are allowed")))
}
