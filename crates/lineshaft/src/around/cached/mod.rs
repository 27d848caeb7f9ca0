//! `#[cached]`: keeps the results of a function, and computes each of them once.

mod flights;
mod key;
mod settings;
mod ticket;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lineshaft_cache::{Freshness, Life, Reason, Residents, Terms};

use super::clock::now_ms;
use flights::Flights;

pub use key::{Kept, Key, assert_kept, assert_key};
pub use settings::{Settings, life};
pub use ticket::Ticket;

/// The results of a function that are kept: what `rate_cache()` gives for a function `rate` with `#[lineshaft::cached]`.
///
/// `K` are the arguments of a call, one as it is and several as a tuple, and own their data: `String` for a `&str`. In a
/// method `self` comes first. With the option `key` it is what that gives. `V` is what the function returns.
///
/// ```
/// #[lineshaft::cached(ttl = "10m")]
/// fn rate(currency: &str) -> f64 {
///     if currency == "USD" { 0.5 } else { 1.25 }
/// }
///
/// assert_eq!((rate("USD"), rate("USD")), (0.5, 0.5));
/// assert_eq!((rate_cache().info().hits, rate_cache().peek("USD")), (1, Some(0.5)));
/// assert!(rate_cache().invalidate("USD"));
/// assert_eq!(rate_cache().peek("USD"), None);
/// ```
pub struct Cached<K, V> {
    settings: Settings,
    hasher: RandomState,
    state: Mutex<State<K, V>>,
}

/// What has happened since the cache was made or cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheInfo {
    /// Calls that were answered with what was kept.
    pub hits: u64,
    /// Calls that were not: they computed, or waited for who did.
    pub misses: u64,
    /// Number of entries that there is room for; `None` for as many as come.
    pub max: Option<u32>,
    /// Entries there are.
    pub size: u32,
    /// Entries that went to make room.
    pub evictions: u64,
    /// Entries that went because their time was over.
    pub expirations: u64,
    /// Entries that went because somebody said so.
    pub invalidations: u64,
}

/// What has happened to the entries of a tag since there were any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TagInfo {
    /// Entries there are.
    pub size: u64,
    /// Calls that were answered with one.
    pub hits: u64,
    /// How often it was invalidated.
    pub invalidations: u64,
}

struct State<K, V> {
    /// Values are shared, so that nothing of the user's but comparing keys runs under the lock.
    residents: Residents<(K, Arc<V>)>,
    flights: Flights<K, V>,
}

impl<K, V> Cached<K, V> {
    /// Nothing yet.
    #[doc(hidden)]
    pub fn new(settings: Settings) -> Self {
        let residents = Residents::new(&settings.options());
        let state = Mutex::new(State { residents, flights: Flights::new() });
        Self { settings, hasher: RandomState::new(), state }
    }

    /// Counts, without entries whose time is over. O(entries).
    pub fn info(&self) -> CacheInfo {
        let mut state = self.lock();
        state.residents.purge(now_ms());
        let (statistics, size) = (state.residents.statistics(), state.residents.len());
        state.unlock();
        CacheInfo {
            hits: statistics.hits,
            misses: statistics.misses,
            max: self.settings.max,
            size,
            evictions: statistics.evictions,
            expirations: statistics.expirations,
            invalidations: statistics.invalidations,
        }
    }

    /// Counts of the entries with `tag`.
    pub fn tag_info(&self, tag: &str) -> TagInfo {
        let statistics = self.lock().residents.tag_statistics(tag);
        TagInfo { size: statistics.entries, hits: statistics.hits, invalidations: statistics.invalidations }
    }

    /// Makes all entries with `tag` untrue, at once however many they are. Whether there were any. Who asks for one from
    /// now on has it computed anew; what is being computed is given to those who wait, and not kept.
    pub fn invalidate_tag(&self, tag: &str) -> bool {
        let mut state = self.lock();
        state.flights.forget(|pending| pending.tags.iter().any(|other| other == tag));
        state.residents.invalidate_tag(tag)
    }

    /// Lets go of every entry, and counts from nothing. What is being computed is given to those who wait, and not kept.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.flights.forget(|_| true);
        state.residents.clear(Reason::Cleared);
        state.residents.reset_statistics();
        state.unlock();
    }

    fn lock(&self) -> Locked<'_, K, V> {
        // What panics with it is comparing keys, when nothing has been changed.
        Locked(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn hash(&self, key: &(impl Hash + ?Sized)) -> u32 {
        let hash = self.hasher.hash_one(key);
        (hash ^ (hash >> 32)) as u32
    }
}

impl<K: Eq + Hash, V> Cached<K, V> {
    /// What is kept for a call, if there is anything. Computes and counts nothing.
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
        V: Clone,
    {
        let hash = self.hash(key);
        let mut state = self.lock();
        let found = state.find(hash, &|other: &K| other.borrow() == key, false);
        state.unlock();
        found.map(|value| V::clone(&value))
    }

    /// Makes what is kept for a call untrue. Whether there was anything. Who asks for it from now on has it computed
    /// anew; what is being computed is given to those who wait, and not kept.
    pub fn invalidate<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let hash = self.hash(key);
        let is_it = |other: &K| other.borrow() == key;
        let mut state = self.lock();
        let pending = state.flights.take(hash, is_it);
        let is_there = state.find(hash, &is_it, false).is_some();
        if is_there && let Some(slot) = state.slot_of(hash, is_it) {
            state.residents.remove(slot, Reason::Invalidated);
        }
        state.unlock();
        drop(pending);
        is_there
    }
}

impl<K, V> fmt::Debug for Cached<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("info", &self.info()).finish()
    }
}

impl<K, V> State<K, V> {
    /// The value of the entry of `hash` that `is_it`, if it may be served.
    fn find(&mut self, hash: u32, is_it: &impl Fn(&K) -> bool, counts: bool) -> Option<Arc<V>> {
        let slot = self.slot_of(hash, is_it)?;
        // What cannot die by time needs no clock.
        let now_ms = if self.residents.is_mortal(slot) { now_ms() } else { 0 };
        if let Freshness::Dead(reason) = self.residents.freshness(slot, now_ms) {
            self.residents.remove(slot, reason);
            return None;
        }
        if counts {
            self.residents.touch(slot, now_ms);
        }
        self.residents.get(slot).map(|(_, value)| Arc::clone(value))
    }

    fn slot_of(&self, hash: u32, is_it: impl Fn(&K) -> bool) -> Option<u32> {
        self.residents.find(hash, |(key, _)| is_it(key))
    }

    fn store(&mut self, hash: u32, key: K, value: Arc<V>, tags: &[String], life: Option<Life>)
    where
        K: Eq,
    {
        if let Some(slot) = self.slot_of(hash, |other| *other == key) {
            self.residents.remove(slot, Reason::Replaced);
        }
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let terms = Terms { life, tags: &tags, ..Terms::default() };
        self.residents.insert(hash, (key, value), &terms, now_ms());
    }
}

/// The state, as long as it is locked.
struct Locked<'c, K, V>(MutexGuard<'c, State<K, V>>);

impl<K, V> Locked<'_, K, V> {
    /// What went is dropped when nothing is locked any more: it is the user's.
    fn unlock(mut self) {
        let removed = self.residents.take_removed();
        drop(self);
        drop(removed);
    }
}

impl<K, V> Deref for Locked<'_, K, V> {
    type Target = State<K, V>;

    fn deref(&self) -> &State<K, V> {
        &self.0
    }
}

impl<K, V> DerefMut for Locked<'_, K, V> {
    fn deref_mut(&mut self) -> &mut State<K, V> {
        &mut self.0
    }
}
