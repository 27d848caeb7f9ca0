//! Values by key.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::{BuildHasher, Hash, RandomState};

use crate::error::Error;
use lineshaft_structures::Cycle;

use crate::graph::Graph;
use crate::options::{Life, Options, Terms};
use crate::prefixes::Prefixes;
use crate::residents::{Freshness, Reason, Residents, Stamp};
use crate::statistics::{Statistics, TagStatistics};

/// Told of each entry that goes: its key, its value (`None` for what is known to be absent) and why.
pub type Listener<K, V> = Box<dyn FnMut(&K, Option<&V>, Reason) + Send>;

/// Values `V` by keys `K`, as many as there is room for and as long as they are true.
///
/// Times are milliseconds of any clock that does not go back. See [`Options`] for bounds and lives, [`Terms`] for what
/// an entry can have of its own.
///
/// ```
/// use lineshaft_cache::{Cache, Options, Terms};
///
/// let mut cache = Cache::new(&Options::default());
/// cache.insert("user:7", "Ada", &Terms { tags: &["users"], ..Terms::default() }, 0);
/// assert_eq!(cache.get("user:7", 5).and_then(|found| found.value), Some(&"Ada"));
/// cache.invalidate_tag("users");
/// assert!(cache.get("user:7", 5).is_none());
/// ```
pub struct Cache<K, V, S = RandomState> {
    residents: Residents<(K, Option<V>)>,
    graph: Graph<K>,
    /// From the first invalidation of a prefix on: who never asks for one pays nothing.
    names: Option<Names<K>>,
    hasher: S,
    listener: Option<Listener<K, V>>,
}

struct Names<K> {
    text: fn(&K) -> &str,
    prefixes: Prefixes,
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a, V> {
    /// The value; `None` if what is known is that there is none.
    pub value: Option<&'a V>,
    /// Whether whoever found it should compute it anew, its time being over or nearly so.
    pub is_due: bool,
}

impl<K: Clone + Eq + Hash, V> Cache<K, V> {
    /// An empty cache.
    pub fn new(options: &Options) -> Self {
        Self::with_hasher(options, RandomState::new())
    }
}

impl<K: Clone + Eq + Hash, V, S: BuildHasher> Cache<K, V, S> {
    /// An empty cache that hashes with `hasher`.
    pub fn with_hasher(options: &Options, hasher: S) -> Self {
        let (residents, graph) = (Residents::new(options), Graph::default());
        Self { residents, graph, names: None, hasher, listener: None }
    }

    /// Has `listener` told of each entry that goes, in the call in which it does.
    pub fn listen(&mut self, listener: Listener<K, V>) {
        self.listener = Some(listener);
    }

    /// Looks `key` up, as [`Self::get_by_chance`] does, without early recomputation.
    pub fn get<Q>(&mut self, key: &Q, now_ms: u64) -> Option<Found<'_, V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.get_by_chance(key, now_ms, 1.0)
    }

    /// Looks `key` up. `chance` is random, over 0 and up to 1, and says whether this is who computes early.
    pub fn get_by_chance<Q>(&mut self, key: &Q, now_ms: u64, chance: f64) -> Option<Found<'_, V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let Some((slot, freshness)) = self.find(key, now_ms) else {
            self.residents.count_miss();
            return None;
        };
        let is_stale = freshness == Freshness::Stale;
        let is_due = is_stale || self.residents.is_early(slot, now_ms, || chance);
        self.residents.touch(slot, now_ms);
        if is_stale {
            self.residents.count_stale();
        }
        let (_, value) = self.residents.get(slot)?;
        Some(Found { value: value.as_ref(), is_due })
    }

    /// The value of `key` as it is, counting nothing.
    pub fn peek<Q>(&mut self, key: &Q, now_ms: u64) -> Option<Option<&V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (slot, _) = self.find(key, now_ms)?;
        self.residents.get(slot).map(|(_, value)| value.as_ref())
    }

    /// Stores a value, in the place of another one if there is one. All that depends on `key` is not true any more.
    pub fn insert(&mut self, key: K, value: V, terms: &Terms<'_>, now_ms: u64) {
        self.change(&key);
        self.store(key, Some(value), terms, now_ms);
    }

    /// As [`Self::insert`], for what depends on `sources`: a change of one of them makes it untrue, whether they are
    /// here or not. It has the tags of those that are here besides its own.
    pub fn insert_dependent(
        &mut self,
        key: K,
        value: V,
        sources: &[K],
        terms: &Terms<'_>,
        now_ms: u64,
    ) -> Result<(), Error>
    where
        K: Debug,
    {
        // In a cycle nothing would stay: each value that comes makes the others untrue.
        self.graph.set(&key, sources).map_err(|Cycle(path)| Error::Cycle {
            path: path.iter().map(|key| format!("{key:?}")).collect(),
        })?;
        let inherited: Vec<String> = sources.iter().flat_map(|source| self.tags_of(source)).collect();
        let tags: Vec<&str> =
            terms.tags.iter().copied().chain(inherited.iter().map(String::as_str)).collect();
        self.change(&key);
        self.store(key.clone(), Some(value), &Terms { tags: &tags, ..*terms }, now_ms);
        if self.slot_of(&key).is_some() {
            self.graph.set(&key, sources).expect("it was none before");
        }
        Ok(())
    }

    /// Stores that there is no value for `key`, for as long as `life`.
    pub fn insert_absent(&mut self, key: K, life: Life, now_ms: u64) {
        self.change(&key);
        self.store(key, None, &Terms { life: Some(life), ..Terms::default() }, now_ms);
    }

    /// Makes the value of `key`, and all that depends on it, untrue. Whether it was there.
    pub fn invalidate<Q>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let slot = self.slot_of(key);
        if let Some(slot) = slot {
            self.residents.remove(slot, Reason::Invalidated);
        }
        if !self.graph.is_empty() {
            self.change(&key.to_owned());
        }
        self.tell();
        slot.is_some()
    }

    /// Makes every value with this tag, and all that depends on one, untrue. O(1). Whether there were any.
    pub fn invalidate_tag(&mut self, tag: &str) -> bool {
        self.residents.invalidate_tag(tag)
    }

    /// Makes every value whose key begins with `prefix`, and all that depends on one, untrue. How many there were, besides
    /// those that depend on them.
    ///
    /// Costs as much as there are of them, and as there are names in the graph of dependencies. The first call also goes
    /// through all entries once; from then on each that comes and goes costs a little more.
    pub fn invalidate_prefix(&mut self, prefix: &str) -> usize
    where
        K: Borrow<str>,
    {
        let names = self.names.get_or_insert_with(|| {
            let mut prefixes = Prefixes::default();
            self.residents.iter().for_each(|(slot, (key, _))| prefixes.add(key.borrow(), 0, slot));
            Names { text: K::borrow, prefixes }
        });
        let slots = names.prefixes.slots(prefix);
        for &slot in &slots {
            self.residents.remove(slot, Reason::Invalidated);
        }
        let begins = |key: &&K| Borrow::<str>::borrow(*key).starts_with(prefix);
        let sources: Vec<K> = self.graph.names().filter(begins).cloned().collect();
        sources.iter().for_each(|source| self.change(source));
        self.tell();
        slots.len()
    }

    /// Makes every value untrue: a new version of all that is here. O(1).
    pub fn invalidate_all(&mut self) {
        self.residents.invalidate_all();
    }

    /// Lets go of every value.
    pub fn clear(&mut self) {
        self.residents.clear(Reason::Cleared);
        self.tell();
    }

    /// Lets go of what is dead. O(entries); a little of it happens with every value that is stored.
    pub fn purge(&mut self, now_ms: u64) {
        self.residents.purge(now_ms);
        self.tell();
    }

    /// The present moment, for [`Terms::since`].
    pub fn stamp(&self) -> Stamp {
        self.residents.stamp()
    }

    /// Number of values, with those whose end nobody has noticed yet.
    pub fn len(&self) -> u32 {
        self.residents.len()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.residents.is_empty()
    }

    /// Sum of the weights.
    pub fn weight(&self) -> u64 {
        self.residents.weight()
    }

    /// What has happened.
    pub fn statistics(&self) -> Statistics {
        self.residents.statistics()
    }

    /// What has happened to the values of a tag.
    pub fn tag_statistics(&self, tag: &str) -> TagStatistics {
        self.residents.tag_statistics(tag)
    }

    fn store(&mut self, key: K, value: Option<V>, terms: &Terms<'_>, now_ms: u64) {
        if let Some(slot) = self.slot_of(&key) {
            self.residents.remove(slot, Reason::Replaced);
        }
        // Who makes room must not take the dependencies of who comes with it, so that they are told before.
        self.tell();
        let hash = self.hash(&key);
        let slot = self.residents.insert(hash, (key, value), terms, now_ms);
        // Who went to make room may have had the same slot.
        self.tell();
        if let (Some(names), Some(slot)) = (&mut self.names, slot)
            && let Some((key, _)) = self.residents.get(slot)
        {
            names.prefixes.add((names.text)(key), 0, slot);
        }
    }

    /// All that depends on `key` goes.
    fn change(&mut self, key: &K) {
        for dependant in self.graph.dependants(key) {
            if let Some(slot) = self.slot_of(&dependant) {
                self.residents.remove(slot, Reason::Invalidated);
            }
        }
    }

    fn find<Q>(&mut self, key: &Q, now_ms: u64) -> Option<(u32, Freshness)>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let slot = self.slot_of(key)?;
        match self.residents.freshness(slot, now_ms) {
            Freshness::Dead(reason) => {
                self.residents.remove(slot, reason);
                self.tell();
                None
            }
            freshness => Some((slot, freshness)),
        }
    }

    fn tags_of(&self, key: &K) -> Vec<String> {
        self.slot_of(key).map(|slot| self.residents.tags(slot)).unwrap_or_default()
    }

    fn slot_of<Q>(&self, key: &Q) -> Option<u32>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.residents.find(self.hash(key), |(other, _)| other.borrow() == key)
    }

    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u32 {
        let hash = self.hasher.hash_one(key);
        (hash ^ (hash >> 32)) as u32
    }

    /// Forgets what those depend on who went, and tells the listener of them.
    fn tell(&mut self) {
        for ((key, value), reason) in self.residents.take_removed() {
            if !self.graph.is_empty() {
                self.graph.forget(&key);
            }
            if let Some(names) = &mut self.names {
                names.prefixes.remove((names.text)(&key), 0);
            }
            if let Some(listener) = &mut self.listener {
                listener(&key, value.as_ref(), reason);
            }
        }
    }
}
