//! What each request about the cache comes to, and which entries go when room is needed.

use std::hash::Hasher;

use lineshaft_cache::{Capacity, Facts, Policy, PolicyKind};
use lineshaft_jobs::{CacheView, Command, Now, Refusal, State};
use lineshaft_wire::message::{CACHE_KEYS_MAX, CacheFound, CacheGet, CacheReport};
use rustc_hash::FxHasher;

use crate::core::{COMMIT_BYTES, Core, stored};
use crate::handle::Outgoing;
use crate::requests::{Caller, bad};

/// How entries were used since this engine started. Which of them go for room follows from that, so it is no part of the
/// state.
pub(crate) struct CacheUse {
    policy: Box<dyn Policy>,
    residents: Residents,
    /// Entries may be untrue from this place on: they go, some at a time, whether they are asked for or not.
    sweep_from: Option<u32>,
    hits: u64,
    misses: u64,
    evicted: u64,
}

/// Entries that are looked at, or that go, in one turn.
const STEP: u32 = 4_096;

/// What is known of the entry at each index; a weight of 0 is nobody.
#[derive(Default)]
struct Residents {
    known: Vec<Resident>,
    count: u32,
}

#[derive(Clone, Copy, Default)]
struct Resident {
    hash: u32,
    weight: u32,
    /// Logical milliseconds.
    used_ms: u64,
}

impl Facts for Residents {
    fn hash(&self, slot: u32) -> u32 {
        self.known[slot as usize].hash
    }

    fn weight(&self, slot: u32) -> u32 {
        self.known[slot as usize].weight
    }

    fn len(&self) -> u32 {
        self.count
    }
}

impl CacheUse {
    /// Of all entries that there are, none of them used yet.
    pub(crate) fn of(state: &State, now_ms: u64) -> Self {
        let policy = PolicyKind::S3Fifo.build(Capacity::Weight(state.cache_bytes_max()));
        let residents = Residents::default();
        let mut cache = Self { policy, residents, sweep_from: Some(0), hits: 0, misses: 0, evicted: 0 };
        for index in state.cache_indexes() {
            cache.came(state, index, now_ms);
        }
        cache
    }

    /// Something was invalidated that any entry may have.
    pub(crate) fn sweep(&mut self) {
        self.sweep_from = Some(0);
    }

    /// Whether there are entries to be looked at.
    pub(crate) fn is_sweeping(&self) -> bool {
        self.sweep_from.is_some()
    }

    /// An entry is there.
    pub(crate) fn came(&mut self, state: &State, index: u32, now_ms: u64) {
        let Some((key, bytes)) = state.cache_entry_at(index) else { return };
        let Residents { known, count } = &mut self.residents;
        if known.len() <= index as usize {
            known.resize(index as usize + 1, Resident::default());
        }
        let weight = u32::try_from(bytes).unwrap_or(u32::MAX).max(1);
        known[index as usize] = Resident { hash: hash(key), weight, used_ms: now_ms };
        *count += 1;
        self.policy.insert(index, &self.residents);
    }

    /// An entry is not there any more, if it did not go for room.
    pub(crate) fn went(&mut self, index: u32) {
        if self.residents.known.get(index as usize).is_some_and(|resident| resident.weight > 0) {
            self.policy.remove(index, &self.residents);
            self.forget(index);
        }
    }

    /// Chooses who goes.
    fn evict(&mut self) -> Option<u32> {
        let index = self.policy.evict(0, &self.residents)?;
        self.forget(index);
        self.evicted += 1;
        Some(index)
    }

    fn forget(&mut self, index: u32) {
        self.residents.known[index as usize].weight = 0;
        self.residents.count -= 1;
    }

    fn is_idle(&self, view: &CacheView, now: Now) -> bool {
        let used_ms = self.residents.known[view.index as usize].used_ms;
        view.idle_ms.is_some_and(|idle_ms| used_ms.saturating_add(idle_ms) <= now.logical_ms)
    }

    fn touch(&mut self, index: u32, now: Now) {
        self.residents.known[index as usize].used_ms = now.logical_ms;
        self.policy.touch(index, &self.residents);
    }
}

fn hash(key: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(key.as_bytes());
    let hash = hasher.finish();
    (hash ^ (hash >> 32)) as u32
}

impl Core {
    pub(crate) fn cache_get(&mut self, caller: Caller, get: CacheGet, now: Now) -> Result<(), Refusal> {
        let CacheGet { keys, peek } = get;
        if keys.len() > CACHE_KEYS_MAX {
            return Err(bad(format!("{} keys in one request: {CACHE_KEYS_MAX} are allowed", keys.len())));
        }
        let mut found = CacheFound { ticket: self.state.cache_ticket(), ..CacheFound::default() };
        let (mut payloads, mut useless) = (Vec::new(), Vec::new());
        for key in keys {
            let view = self.state.cache_entry(&key, now).filter(|view| !self.cache.is_idle(view, now));
            if !peek {
                self.note_look_up(view, now);
            }
            if view.is_none() && self.state.has_cache_entry(&key) {
                useless.push(key);
            }
            payloads.extend(view.map(|view| stored(view.place)));
            found.entries.push(view.map(|view| view.found()));
        }
        if !self.is_out_of_room() {
            self.run(Command::CacheEvict { keys: useless }, now)?;
        }
        let Caller { connection, request_id } = caller;
        self.push(connection, Outgoing { request_id, message: found.into(), payloads });
        Ok(())
    }

    fn note_look_up(&mut self, view: Option<CacheView>, now: Now) {
        match view {
            Some(view) => {
                self.cache.hits += 1;
                self.cache.touch(view.index, now);
            }
            None => self.cache.misses += 1,
        }
    }

    /// Lets entries go that are not true any more, and then others until the rest fit: all of them where the disk is nearly
    /// full, since jobs need it.
    pub(crate) fn make_room_in_cache(&mut self, now: Now) {
        if self.is_out_of_room() {
            return;
        }
        if let Some(first) = self.cache.sweep_from {
            let (keys, next) = self.state.untrue_entries(first, STEP);
            self.cache.sweep_from = next;
            self.run(Command::CacheEvict { keys }, now).expect("an eviction is never refused");
        }
        let mut most = STEP;
        while (self.state.cache_overflows() || self.is_tight) && self.open_bytes() < COMMIT_BYTES && most > 0
        {
            let Some(index) = self.cache.evict() else { break };
            let key = self.state.cache_entry_at(index).map(|(key, _)| key.clone());
            let evict = Command::CacheEvict { keys: key.into_iter().collect() };
            self.run(evict, now).expect("an eviction is never refused");
            most -= 1;
        }
    }

    /// What the cache says of itself.
    pub fn cache_report(&self) -> CacheReport {
        let (entries, bytes) = self.state.cache_size();
        let CacheUse { hits, misses, evicted, .. } = self.cache;
        CacheReport { entries, bytes, bytes_max: self.state.cache_bytes_max(), hits, misses, evicted }
    }
}
