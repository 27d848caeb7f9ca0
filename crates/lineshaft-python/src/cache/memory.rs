//! The entries of one cache.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use crate::once::intern;
use lineshaft::around::clock::now_ms;
use lineshaft::tally::tally_cache_hit;
use lineshaft_cache::{Capacity, Freshness, Life, Options, PolicyKind, Reason, Residents, Stamp, Terms};
use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyWeakrefMethods, PyWeakrefReference};

use super::binder::fold;
use super::flight::{Flight, Flights};
use super::names::{self, Names};

/// Entries by key, where a key is anything hashable.
#[pyclass(frozen, weakref, module = "lineshaft._native")]
pub(crate) struct Memory {
    residents: Mutex<Residents<Item>>,
    /// From the first invalidation of a prefix on. Taken after the lock of residents.
    names: Mutex<Option<Names>>,
    pub(crate) flights: Flights,
    negative_ms: Option<u64>,
    /// Gives how many bytes a value takes, where those are bounded.
    size: Option<Py<PyAny>>,
    /// Whose methods' results these are.
    owner: Option<Py<PyWeakrefReference>>,
    /// Told of entries that come and go, once something depends on some of them or some depend on something.
    watcher: OnceLock<Py<PyAny>>,
    /// Called with each value that goes, and why.
    on_removal: Option<Py<PyAny>>,
}

pub(super) struct Item {
    pub(super) key: Py<PyAny>,
    value: Py<PyAny>,
    /// The value is an exception, to be raised.
    is_error: bool,
}

/// What a look-up found.
pub(crate) struct Found {
    pub(crate) value: Py<PyAny>,
    pub(crate) is_error: bool,
    /// Somebody should compute it anew.
    pub(crate) is_due: bool,
}

/// What is stored with a value.
pub(crate) struct Stored<'a> {
    pub(crate) is_error: bool,
    pub(crate) cost_ms: u32,
    pub(crate) tags: &'a [&'a str],
    pub(crate) since: Stamp,
}

/// What an entry was found to be, before its key was compared.
struct Candidate {
    slot: u32,
    key: Py<PyAny>,
    value: Py<PyAny>,
    is_error: bool,
    freshness: Freshness,
    now_ms: u64,
}

impl Memory {
    /// What is stored under `key`, counted as a hit or a miss if `counts`.
    pub(crate) fn look(&self, key: &Bound<'_, PyAny>, hash: u32, counts: bool) -> PyResult<Option<Found>> {
        let py = key.py();
        for nth in 0.. {
            let Some(candidate) = self.candidate(py, hash, nth) else { break };
            if !same(key, candidate.key.bind(py))? {
                continue;
            }
            let is_live = match candidate.freshness {
                Freshness::Dead(reason) => {
                    self.remove_slot(&candidate, reason);
                    false
                }
                // An exception is not served beyond its time.
                Freshness::Stale => !candidate.is_error,
                Freshness::Fresh => true,
            };
            if !is_live {
                break;
            }
            if counts {
                tally_cache_hit();
            }
            let is_due = counts && self.served(&candidate);
            return Ok(Some(Found { value: candidate.value, is_error: candidate.is_error, is_due }));
        }
        if counts {
            self.lock().count_miss();
        }
        Ok(None)
    }

    /// Stores `value` unless its key or all was invalidated meanwhile, and gives whether it did.
    pub(crate) fn put(
        &self,
        key: &Bound<'_, PyAny>,
        hash: u32,
        value: &Bound<'_, PyAny>,
        stored: &Stored<'_>,
    ) -> PyResult<()> {
        // It may run code of the user's, which comes back here.
        let weight = self.weight(value, stored.is_error)?;
        self.take(key, hash, Reason::Replaced)?;
        let item =
            Item { key: key.clone().unbind(), value: value.clone().unbind(), is_error: stored.is_error };
        let negative = Life { ttl_ms: self.negative_ms, idle_ms: None };
        let terms = Terms {
            life: stored.is_error.then_some(negative),
            weight,
            cost_ms: stored.cost_ms,
            tags: stored.tags,
            since: Some(stored.since),
        };
        self.change(|residents| {
            let slot = residents.insert(hash, item, &terms, now_ms());
            if let (Some(names), Some(slot)) = (self.names().as_mut(), slot) {
                names.add(key, slot);
            }
        });
        Ok(())
    }

    /// The bytes of a value where they are bounded. An exception counts as nothing: it has its own short life.
    fn weight(&self, value: &Bound<'_, PyAny>, is_error: bool) -> PyResult<u32> {
        match &self.size {
            Some(size) if !is_error => {
                let bytes: u64 = size.bind(value.py()).call1((value,))?.extract()?;
                Ok(bytes.try_into().unwrap_or(u32::MAX))
            }
            _ => Ok(1),
        }
    }

    /// Takes the entry of `key` out; whether there was one.
    pub(crate) fn take(&self, key: &Bound<'_, PyAny>, hash: u32, reason: Reason) -> PyResult<bool> {
        for nth in 0.. {
            let Some(candidate) = self.candidate(key.py(), hash, nth) else { break };
            if same(key, candidate.key.bind(key.py()))? {
                self.remove_slot(&candidate, reason);
                return Ok(!matches!(candidate.freshness, Freshness::Dead(_)));
            }
        }
        Ok(false)
    }

    pub(crate) fn stamp_now(&self) -> Stamp {
        self.lock().stamp()
    }

    /// Tells who watches that an entry `begins` to be computed or `came`, from these arguments.
    pub(crate) fn tell<'py>(
        &self,
        what: &Bound<'py, PyString>,
        key: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        if let Some(watcher) = self.watcher.get() {
            watcher.bind(key.py()).call_method1(what, (key, args, kwargs))?;
        }
        Ok(())
    }

    /// Tells who watches that an entry that began did not come.
    pub(crate) fn tell_failed(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(watcher) = self.watcher.get() {
            watcher.bind(key.py()).call_method1(intern!(key.py(), "failed"), (key,))?;
        }
        Ok(())
    }

    pub(crate) fn keeps_errors(&self) -> bool {
        self.negative_ms.is_some()
    }

    pub(crate) fn is_of(&self, instance: &Bound<'_, PyAny>) -> bool {
        let owner = self.owner.as_ref().and_then(|owner| owner.bind(instance.py()).upgrade());
        owner.is_some_and(|owner| owner.is(instance))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Residents<Item>> {
        self.residents.lock().expect("nobody panics with it")
    }

    fn names(&self) -> std::sync::MutexGuard<'_, Option<Names>> {
        self.names.lock().expect("nobody panics with it")
    }

    /// Makes a change and drops who goes by it when the lock is free again.
    fn change<T>(&self, change: impl FnOnce(&mut Residents<Item>) -> T) -> T {
        let mut residents = self.lock();
        let made = change(&mut residents);
        let removed = residents.take_removed();
        if let Some(names) = self.names().as_mut() {
            Python::attach(|py| removed.iter().for_each(|(item, _)| names.remove(item.key.bind(py))));
        }
        drop(residents);
        if let Some(watcher) = self.watcher.get() {
            tell_gone(watcher, &removed);
        }
        if let Some(on_removal) = &self.on_removal {
            tell_removed(on_removal, &removed);
        }
        drop(removed);
        made
    }

    /// The `nth` entry of this hash; the first is nearly always the only one.
    fn candidate(&self, py: Python<'_>, hash: u32, nth: usize) -> Option<Candidate> {
        let mut residents = self.lock();
        let mut before = nth;
        let is_it = |_: &Item| {
            let is_it = before == 0;
            before = before.saturating_sub(1);
            is_it
        };
        let slot = residents.find(hash, is_it)?;
        let now_ms = if residents.is_mortal(slot) { now_ms() } else { 0 };
        let freshness = residents.freshness(slot, now_ms);
        let item = residents.get(slot)?;
        let (key, value) = (item.key.clone_ref(py), item.value.clone_ref(py));
        Some(Candidate { slot, key, value, is_error: item.is_error, freshness, now_ms })
    }

    /// The candidate is served, if nobody took it out while keys were compared. Whether it should be computed anew.
    fn served(&self, candidate: &Candidate) -> bool {
        let mut residents = self.lock();
        if !residents.get(candidate.slot).is_some_and(|item| item.key.is(&candidate.key)) {
            return false;
        }
        residents.touch(candidate.slot, candidate.now_ms);
        let is_stale = candidate.freshness == Freshness::Stale;
        if is_stale {
            residents.count_stale();
        }
        is_stale || residents.is_early(candidate.slot, candidate.now_ms, || 1.0 - fastrand::f64())
    }

    fn remove_slot(&self, candidate: &Candidate, reason: Reason) {
        self.change(|residents| {
            if residents.get(candidate.slot).is_some_and(|item| item.key.is(&candidate.key)) {
                residents.remove(candidate.slot, reason);
            }
        });
    }
}

/// Tells of those for whose keys nothing came in their place.
fn tell_gone(watcher: &Py<PyAny>, removed: &[(Item, Reason)]) {
    Python::attach(|py| {
        for (item, _) in removed.iter().filter(|(_, reason)| *reason != Reason::Replaced) {
            if let Err(error) = watcher.call_method1(py, intern!(py, "gone"), (&item.key,)) {
                error.write_unraisable(py, None);
            }
        }
    });
}

/// Tells of values that are not here any more; an exception that was kept is none.
fn tell_removed(on_removal: &Py<PyAny>, removed: &[(Item, Reason)]) {
    Python::attach(|py| {
        for (item, reason) in removed.iter().filter(|(item, _)| !item.is_error) {
            let why = match reason {
                Reason::Capacity | Reason::TooHeavy => "evicted",
                Reason::Expired => "expired",
                Reason::Invalidated => "invalidated",
                Reason::Replaced => "replaced",
                Reason::Cleared => "cleared",
            };
            if let Err(error) = on_removal.call1(py, (&item.value, why)) {
                error.write_unraisable(py, Some(on_removal.bind(py)));
            }
        }
    });
}

/// Whether two keys are equal; may run Python code of theirs.
pub(crate) fn same(one: &Bound<'_, PyAny>, other: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(one.is(other) || one.eq(other)?)
}

#[pymethods]
impl Memory {
    #[new]
    #[pyo3(signature = (*, max, size, policy, ttl_ms, idle_ms, stale_ms, early, negative_ms, on_removal, owner=None))]
    #[expect(clippy::too_many_arguments, reason = "they are given by name")]
    fn new(
        max: Option<u64>,
        size: Option<Py<PyAny>>,
        policy: &str,
        ttl_ms: Option<u64>,
        idle_ms: Option<u64>,
        stale_ms: u64,
        early: f64,
        negative_ms: Option<u64>,
        on_removal: Option<Py<PyAny>>,
        owner: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let options = Options {
            capacity: match max {
                Some(bytes) if size.is_some() => Capacity::Weight(bytes),
                Some(count) => Capacity::Entries(count.try_into().unwrap_or(u32::MAX)),
                None => Capacity::Unbounded,
            },
            policy: match policy {
                "lru" => PolicyKind::Lru,
                "sieve" => PolicyKind::Sieve,
                "lfu" => PolicyKind::WTinyLfu,
                _ => PolicyKind::S3Fifo,
            },
            life: Life { ttl_ms, idle_ms },
            stale_ms,
            early,
        };
        let owner = owner.map(PyWeakrefReference::new).transpose()?.map(Bound::unbind);
        Ok(Self {
            residents: Mutex::new(Residents::new(&options)),
            names: Mutex::default(),
            flights: Flights::default(),
            negative_ms,
            size,
            owner,
            watcher: OnceLock::new(),
            on_removal,
        })
    }

    /// (value, whether it is an exception, whether it is due) of a key that was looked up, or None.
    #[pyo3(name = "look", signature = (key, *, counts=true))]
    fn python_look(&self, key: &Bound<'_, PyAny>, counts: bool) -> PyResult<Option<(Py<PyAny>, bool, bool)>> {
        let found = self.look(key, fold(key.hash()?), counts)?;
        Ok(found.map(|found| (found.value, found.is_error, found.is_due)))
    }

    /// Says that a key's value is about to be computed.
    fn begin(&self, key: &Bound<'_, PyAny>) -> PyResult<Computing> {
        let hash = fold(key.hash()?);
        let flight = self.flights.watch(key, hash);
        Ok(Computing {
            key: key.clone().unbind(),
            hash,
            since: self.stamp_now(),
            began: Instant::now(),
            flight,
        })
    }

    /// Stores what the computing gave.
    #[pyo3(name = "put")]
    fn python_put(
        &self,
        computing: &Bound<'_, Computing>,
        value: &Bound<'_, PyAny>,
        is_error: bool,
        tags: Vec<String>,
    ) -> PyResult<()> {
        let Computing { key, hash, since, began, .. } = computing.get();
        let cost_ms = began.elapsed().as_millis().try_into().unwrap_or(u32::MAX);
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let stored = Stored { is_error, cost_ms, tags: &tags, since: *since };
        self.put(key.bind(value.py()), *hash, value, &stored)
    }

    /// Whether these are the results of this instance's methods.
    #[pyo3(name = "is_of")]
    fn python_is_of(&self, instance: &Bound<'_, PyAny>) -> bool {
        self.is_of(instance)
    }

    /// Takes the entry of a key out, and has what is being computed for it not be stored.
    fn invalidate(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        let hash = fold(key.hash()?);
        self.flights.doom(key, hash)?;
        self.take(key, hash, Reason::Invalidated)
    }

    /// Has what is being computed for a key not be stored.
    fn doom(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        self.flights.doom(key, fold(key.hash()?))
    }

    /// Takes the entry of a key out; what is being computed for it may be stored.
    fn discard(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.take(key, fold(key.hash()?), Reason::Invalidated)
    }

    /// The tags of the entry of a key.
    fn tags(&self, key: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
        let hash = fold(key.hash()?);
        for nth in 0.. {
            let Some(candidate) = self.candidate(key.py(), hash, nth) else { break };
            if same(key, candidate.key.bind(key.py()))? {
                return Ok(self.lock().tags(candidate.slot));
            }
        }
        Ok(Vec::new())
    }

    /// Has `watcher` told of entries: `begins`, `came`, `failed`, `gone`. The first one stays.
    fn watch(&self, watcher: Py<PyAny>) {
        // Whoever came first does the same.
        let _ = self.watcher.set(watcher);
    }

    #[getter(watcher)]
    fn python_watcher(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.watcher.get().map(|watcher| watcher.clone_ref(py))
    }

    /// Makes all entries with a tag untrue; whether there were any.
    fn invalidate_tag(&self, tag: &str) -> bool {
        self.flights.close_all();
        self.change(|residents| residents.invalidate_tag(tag))
    }

    /// Takes all entries out with a text that begins with `prefix` at this place of their keys, and has what is being
    /// computed for such not be stored. How many entries there were.
    fn invalidate_prefix(&self, py: Python<'_>, prefix: &str, place: usize) -> usize {
        self.flights.doom_all(py, |key| names::text(key, place).is_some_and(|text| text.starts_with(prefix)));
        self.change(|residents| {
            let mut names = self.names();
            let slots = names.get_or_insert_with(|| Names::of(py, residents, place)).slots(prefix);
            for slot in &slots {
                residents.remove(*slot, Reason::Invalidated);
            }
            slots.len()
        })
    }

    /// Lets go of everything, and of the statistics.
    fn clear(&self) {
        self.flights.close_all();
        self.change(|residents| {
            if let Some(names) = self.names().as_mut() {
                names.clear();
            }
            residents.clear(Reason::Cleared);
            residents.reset_statistics();
        });
    }

    /// (hits, misses, entries, stale hits, evictions, expirations, invalidations, bytes or None).
    fn info(&self) -> (u64, u64, u32, u64, u64, u64, u64, Option<u64>) {
        let (counts, len, weight) = self.change(|residents| {
            residents.purge(now_ms());
            (residents.statistics(), residents.len(), residents.weight())
        });
        let went = (counts.evictions, counts.expirations, counts.invalidations);
        let bytes = self.size.is_some().then_some(weight);
        (counts.hits, counts.misses, len, counts.stale_hits, went.0, went.1, went.2, bytes)
    }

    /// (entries, hits, invalidations) of a tag.
    fn tag_info(&self, tag: &str) -> (u64, u64, u64) {
        let counts = self.lock().tag_statistics(tag);
        (counts.entries, counts.hits, counts.invalidations)
    }

    /// What a copy or a pickle of an instance has instead: nothing, so that it gets its own.
    #[expect(clippy::unused_self, reason = "Python calls it so")]
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let nothing = py.import("builtins")?.getattr("type")?.call1((py.None(),))?;
        Ok((nothing, PyTuple::empty(py)))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.watcher.get())?;
        visit.call(&self.size)?;
        visit.call(&self.on_removal)?;
        if let Ok(residents) = self.residents.try_lock() {
            for (_, item) in residents.iter() {
                visit.call(&item.key)?;
                visit.call(&item.value)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let mut residents = self.lock();
        residents.clear(Reason::Cleared);
        let removed = residents.take_removed();
        *self.names() = None;
        drop(residents);
        drop(removed);
    }
}

/// The computing of one key's value, from its beginning.
#[pyclass(frozen, module = "lineshaft._native")]
pub(crate) struct Computing {
    key: Py<PyAny>,
    hash: u32,
    since: Stamp,
    began: Instant,
    flight: Arc<Flight>,
}

#[pymethods]
impl Computing {
    /// Whether its key was not invalidated since.
    fn is_wanted(&self) -> bool {
        !self.flight.is_doomed()
    }

    /// Whether it is for those, too, who ask now: nothing was invalidated since that it may be made of.
    fn is_open(&self) -> bool {
        self.flight.is_open()
    }
}
