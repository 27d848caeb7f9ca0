//! Entries of the engine's cache: which there are, and what makes them untrue. Who goes when room is needed is not known
//! here: that depends on what was read, which leaves no change behind.
//!
//! Whatever is invalidated takes the next *version*. An entry has that of the moment at which its computing began, and is
//! true as long as nothing that it has, a tag or its key, was invalidated in a later one. So a tag is invalidated without
//! looking for its entries, and a value that was computed from what has changed since is not stored.
//!
//! Entries may be computed from others, their *sources*. They have those among their tags, written so that nobody else's
//! is like that, and whoever decides has such a tag invalidated with its key if entries have it: so nothing grows with keys
//! that nobody depends on. A value that comes where none was served does so too, though not for what is being computed: that computes
//! its sources on the way.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use lineshaft_wire::message::CACHE_ENTRY_BYTES;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::change::{CachedValue, Place};

/// Tags of which it is known when they were invalidated; beyond that all entries are untrue at once. A replay follows from
/// this number and from the next one, so journals that are there bind them.
const TAGS_MAX: usize = 1 << 20;
/// Fewer tags than these are never looked through.
const TAGS_MIN: u64 = 1_024;
/// Keys of which that is known, for values that are being computed; what was begun before is not stored.
const KEYS_MAX: usize = 1 << 16;

/// Before the key of a source, in the tag that stands for it. In a tag of others no control characters are allowed.
const SOURCE: char = '\u{1}';

/// All entries. Their indexes are of this process alone.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    slots: Vec<Option<CacheEntry>>,
    free: Vec<u32>,
    by_key: FxHashMap<Arc<str>, u32>,
    /// How many entries have each tag that stands for a source.
    by_source: FxHashMap<Arc<str>, u32>,
    /// Unix milliseconds at which each goes that has a time.
    by_end: BTreeSet<(u64, u32)>,
    bytes: u64,
    /// What was invalidated last.
    pub(crate) version: u64,
    /// Entries of versions before it are untrue.
    pub(crate) floor: u64,
    /// In which version tags were invalidated, if not before every entry.
    tags: FxHashMap<Arc<str>, u64>,
    /// How many tags there may be until it is looked which of them can be forgotten. A replay has to look where the engine
    /// did, since entries may become untrue by it.
    tags_max: u64,
    /// Keys that were invalidated by this run of the engine, the oldest first.
    keys: VecDeque<(u64, Arc<str>)>,
    key_versions: FxHashMap<Arc<str>, u64>,
    /// Tickets of versions before it are worth nothing.
    tickets_from: u64,
}

/// An entry as it stands.
#[derive(Clone, Debug)]
pub(crate) struct CacheEntry {
    pub(crate) entry: CachedValue,
    /// Where its value lies.
    pub(crate) place: Place,
}

impl CacheEntry {
    /// When it is not served any more, Unix milliseconds.
    fn ends_ms(&self) -> Option<u64> {
        self.entry.due_ms.map(|due_ms| due_ms.saturating_add(self.entry.stale_ms))
    }
}

/// What a snapshot has of a cache.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct CacheRows {
    version: u64,
    floor: u64,
    tags_max: u64,
    /// By the version in which each was invalidated.
    tags: Vec<(u64, Arc<str>)>,
    /// By key, with where their values lie.
    entries: Vec<(Place, CachedValue)>,
}

/// The tag that stands for a source.
pub(crate) fn source_tag(key: &str) -> Arc<str> {
    format!("{SOURCE}{key}").into()
}

fn sources(tags: &[Arc<str>]) -> impl Iterator<Item = &Arc<str>> {
    tags.iter().filter(|tag| tag.starts_with(SOURCE))
}

/// What an entry counts for.
pub(crate) fn entry_bytes(key: &str, tags: &[Arc<str>], value_bytes: u32) -> u64 {
    let texts = key.len() + tags.iter().map(|tag| tag.len()).sum::<usize>();
    CACHE_ENTRY_BYTES + texts as u64 + u64::from(value_bytes)
}

impl Cache {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn index(&self, key: &str) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn at(&self, index: u32) -> Option<&CacheEntry> {
        self.slots.get(index as usize)?.as_ref()
    }

    /// Indexes below this one are or were in use.
    pub(crate) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    /// All entries, with their indexes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &CacheEntry)> {
        (0..).zip(&self.slots).filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    /// Puts an entry in whose key has none.
    pub(crate) fn insert(&mut self, entry: CachedValue, place: Place) -> u32 {
        let entry = CacheEntry { entry, place };
        self.bytes += bytes_of(&entry);
        for tag in sources(&entry.entry.tags) {
            *self.by_source.entry(Arc::clone(tag)).or_default() += 1;
        }
        let index = self.free.pop().unwrap_or(self.slots.len() as u32);
        self.by_key.insert(Arc::clone(&entry.entry.key), index);
        self.by_end.extend(entry.ends_ms().map(|at| (at, index)));
        match self.slots.get_mut(index as usize) {
            Some(slot) => *slot = Some(entry),
            None => self.slots.push(Some(entry)),
        }
        index
    }

    /// Takes the entry of a key out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<(u32, CacheEntry)> {
        let index = self.by_key.remove(key)?;
        let entry = self.slots[index as usize].take()?;
        if let Some(at) = entry.ends_ms() {
            self.by_end.remove(&(at, index));
        }
        self.bytes -= bytes_of(&entry);
        for tag in sources(&entry.entry.tags) {
            self.forget_source(tag);
        }
        self.free.push(index);
        Some((index, entry))
    }

    fn forget_source(&mut self, tag: &Arc<str>) {
        let Some(count) = self.by_source.get_mut(tag) else { return };
        *count -= 1;
        if *count == 0 {
            self.by_source.remove(tag);
        }
    }

    /// The tag that stands for a key, if an entry, true or not, was computed from it.
    pub(crate) fn depended_on(&self, key: &str) -> Option<Arc<str>> {
        if self.by_source.is_empty() {
            return None;
        }
        self.by_source.get_key_value(&source_tag(key)).map(|(tag, _)| Arc::clone(tag))
    }

    /// The value of a key lies elsewhere.
    pub(crate) fn move_value(&mut self, key: &str, from: Place, to: Place) -> bool {
        let entry = self.by_key.get(key).and_then(|index| self.slots[*index as usize].as_mut());
        let Some(entry) = entry.filter(|entry| entry.place == from) else { return false };
        entry.place = to;
        true
    }

    /// Whether an entry is true, whatever time it is.
    pub(crate) fn is_true(&self, entry: &CachedValue) -> bool {
        entry.since >= self.floor && self.last_of(&entry.tags) <= entry.since
    }

    /// Whether what was computed since `ticket` for a key, from these sources and with these tags, is still true, as far as
    /// that is known.
    pub(crate) fn holds(&self, ticket: u64, key: &Arc<str>, sources: &[Arc<str>], tags: &[Arc<str>]) -> bool {
        let of_keys = sources.iter().chain([key]).filter_map(|key| self.key_versions.get(key)).copied();
        let of_keys = of_keys.max().unwrap_or(0);
        let is_known = (self.floor.max(self.tickets_from)..=self.version).contains(&ticket);
        is_known && of_keys.max(self.last_of(tags)) <= ticket
    }

    /// In which version one of the tags was invalidated last.
    fn last_of(&self, tags: &[Arc<str>]) -> u64 {
        tags.iter().filter_map(|tag| self.tags.get(tag)).copied().max().unwrap_or(0)
    }

    /// Something is invalidated from now on: keys, whose entries are taken out already, tags, or all.
    pub(crate) fn invalidate(&mut self, keys: &[Arc<str>], tags: &[Arc<str>], all: bool) {
        self.version += 1;
        for key in keys {
            self.keys.push_back((self.version, Arc::clone(key)));
            self.key_versions.insert(Arc::clone(key), self.version);
        }
        while self.keys.len() > KEYS_MAX {
            self.forget_oldest_key();
        }
        self.tags.extend(tags.iter().map(|tag| (Arc::clone(tag), self.version)));
        if all {
            (self.floor, self.tags) = (self.version, FxHashMap::default());
        }
        self.forget_tags();
    }

    fn forget_oldest_key(&mut self) {
        let Some((version, key)) = self.keys.pop_front() else { return };
        self.tickets_from = self.tickets_from.max(version);
        if self.key_versions.get(&key) == Some(&version) {
            self.key_versions.remove(&key);
        }
    }

    /// Forgets tags that were invalidated before every entry, once there are twice as many as there were after that.
    fn forget_tags(&mut self) {
        if self.tags.len() as u64 <= self.tags_max.max(TAGS_MIN) {
            return;
        }
        let oldest =
            self.iter().map(|(_, entry)| entry.entry.since).filter(|since| *since >= self.floor).min();
        let oldest = oldest.unwrap_or(self.version);
        self.tickets_from = self.tickets_from.max(oldest);
        self.tags.retain(|_, version| *version > oldest);
        if self.tags.len() > TAGS_MAX {
            (self.floor, self.tags) = (self.version, FxHashMap::default());
        }
        self.tags_max = (self.tags.len() * 2).min(TAGS_MAX) as u64;
    }

    /// An engine starts: what was being computed for the one before is not known any more.
    pub(crate) fn restart(&mut self) {
        self.version += 1;
        self.tickets_from = self.version;
        (self.keys, self.key_versions) = (VecDeque::new(), FxHashMap::default());
    }

    /// Entries whose time is over at `wall_ms`, those whose was over first before the others.
    pub(crate) fn ended(&self, wall_ms: u64) -> impl Iterator<Item = &Arc<str>> {
        let ended = self.by_end.iter().take_while(move |(at, _)| *at <= wall_ms);
        ended.filter_map(|(_, index)| Some(&self.at(*index)?.entry.key))
    }

    /// When the next one's time is over, Unix milliseconds.
    pub(crate) fn next_end_ms(&self) -> Option<u64> {
        self.by_end.first().map(|(at, _)| *at)
    }

    /// Everything but the indexes, in an order of its own.
    pub(crate) fn rows(&self) -> CacheRows {
        let mut entries: Vec<_> = self.iter().map(|(_, it)| (it.place, it.entry.clone())).collect();
        entries.sort_unstable_by(|one, other| one.1.key.cmp(&other.1.key));
        let mut tags: Vec<_> = self.tags.iter().map(|(tag, version)| (*version, Arc::clone(tag))).collect();
        tags.sort_unstable();
        let Self { version, floor, tags_max, .. } = *self;
        CacheRows { version, floor, tags_max, tags, entries }
    }

    /// The cache of a snapshot; `None` if something is there twice, or from later on.
    pub(crate) fn of_rows(rows: CacheRows) -> Option<Self> {
        let CacheRows { version, floor, tags_max, tags, entries } = rows;
        let (tag_count, entry_count) = (tags.len(), entries.len());
        let versions =
            tags.iter().map(|row| row.0).chain(entries.iter().map(|row| row.1.since)).chain([floor]);
        let fits = versions.max() <= Some(version);
        let tags = tags.into_iter().map(|(version, tag)| (tag, version)).collect();
        let mut cache = Self { version, floor, tags_max, tags, ..Self::default() };
        for (place, entry) in entries {
            cache.insert(entry, place);
        }
        (fits && cache.tags.len() == tag_count && cache.len() == entry_count).then_some(cache)
    }
}

fn bytes_of(CacheEntry { entry, place }: &CacheEntry) -> u64 {
    entry_bytes(&entry.key, &entry.tags, place.length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, tags: &[&str], since: u64) -> CachedValue {
        let tags = tags.iter().map(|tag| Arc::from(*tag)).collect();
        CachedValue { key: key.into(), tags, due_ms: None, stale_ms: 0, idle_ms: None, since }
    }

    fn is_true(cache: &Cache, key: &str) -> bool {
        cache.index(key).and_then(|index| cache.at(index)).is_some_and(|entry| cache.is_true(&entry.entry))
    }

    /// Round by round a new tag for an entry that comes and goes: nobody could count them.
    #[test]
    fn tags_that_no_entry_is_older_than_are_forgotten() {
        let mut cache = Cache::default();
        for round in 0..10_000_u64 {
            let tag = format!("round {round}");
            cache.remove("page");
            cache.insert(value("page", &[&tag], cache.version), Place::EMPTY);
            cache.invalidate(&[], &[tag.into()], false);
            assert!(!is_true(&cache, "page"));
            assert!(cache.tags.len() as u64 <= TAGS_MIN + 1, "{} tags", cache.tags.len());
        }
        cache.insert(value("other", &["round 9999"], cache.version), Place::EMPTY);
        assert!(is_true(&cache, "other"));
    }

    /// An old entry keeps every tag that it may have, until there are too many of them: then it is given up.
    #[test]
    fn what_is_too_old_is_given_up_and_not_what_came_since() {
        let mut cache = Cache::default();
        cache.insert(value("old", &[], 0), Place::EMPTY);
        for round in 0..TAGS_MAX {
            cache.invalidate(&[], &[format!("{round}").into()], false);
        }
        assert!(is_true(&cache, "old"));
        cache.invalidate(&[], &["one more".into()], false);
        assert_eq!((is_true(&cache, "old"), cache.tags.len()), (false, 0));
        cache.insert(value("new", &["1"], cache.version), Place::EMPTY);
        assert!(is_true(&cache, "new"));
    }

    #[test]
    fn what_was_begun_before_a_forgotten_key_was_invalidated_is_not_stored() {
        let mut cache = Cache::default();
        let ticket = cache.version;
        cache.invalidate(&["a".into()], &[], false);
        let holds = |cache: &Cache, ticket, key: &str| cache.holds(ticket, &key.into(), &[], &[]);
        assert!(!holds(&cache, ticket, "a") && holds(&cache, ticket, "b"));
        assert!(!cache.holds(ticket, &"b".into(), &["a".into()], &[]), "it is computed from that");
        for round in 0..KEYS_MAX {
            cache.invalidate(&[format!("other {round}").into()], &[], false);
        }
        assert!(!holds(&cache, ticket, "a") && !holds(&cache, ticket, "b"));
        assert!(holds(&cache, cache.version, "a"));
        assert!(cache.keys.len() <= KEYS_MAX && cache.key_versions.len() <= KEYS_MAX);
    }

    /// Keys that nobody depends on leave nothing behind, and neither do those that somebody did.
    #[test]
    fn sources_are_forgotten_with_what_depends_on_them() {
        let mut cache = Cache::default();
        let price = source_tag("price");
        for page in ["one", "two"] {
            cache.insert(value(page, &["red", &price], cache.version), Place::EMPTY);
        }
        cache.invalidate(&["rate".into()], &[], false);
        assert!(cache.tags.is_empty() && is_true(&cache, "one"));
        let again = Cache::of_rows(cache.rows()).expect("they fit");
        assert_eq!((again.by_source.len(), again.depended_on("price")), (1, Some(price)));
        cache.invalidate(&["price".into()], &Vec::from_iter(cache.depended_on("price")), false);
        assert!(!is_true(&cache, "one") && !is_true(&cache, "two"));
        cache.remove("one");
        assert!(cache.depended_on("price").is_some());
        cache.remove("two");
        assert!(cache.depended_on("price").is_none() && cache.by_source.is_empty());
    }

    #[test]
    fn rows_that_contradict_each_other_are_no_cache() {
        let mut cache = Cache::default();
        cache.invalidate(&[], &["tag".into()], false);
        cache.insert(value("a", &["tag"], 1), Place { lsn: 3, offset: 4, length: 5 });
        let again = Cache::of_rows(cache.rows()).expect("they fit");
        assert_eq!((again.bytes(), again.len(), again.version), (cache.bytes(), 1, 1));
        let check = |spoil: &dyn Fn(&mut CacheRows)| {
            let mut rows = cache.rows();
            spoil(&mut rows);
            assert!(Cache::of_rows(rows).is_none());
        };
        check(&|rows| rows.version = 0);
        check(&|rows| rows.floor = 2);
        check(&|rows| rows.tags.push((1, "tag".into())));
        check(&|rows| rows.entries.extend(rows.entries.clone()));
        check(&|rows| rows.entries[0].1.since = 2);
    }
}
