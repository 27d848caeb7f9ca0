//! The entries of a cache by slot: room, lives, truth and statistics. How a key is looked up is not its business.

mod look;
mod tidy;

use hashbrown::HashTable;

use crate::column::{Column, grow};
use crate::expiries::Expiries;
use crate::options::{Capacity, Life, Options, Terms};
use crate::policy::{Facts, Policy};
use crate::statistics::{Statistics, TagStatistics};
use crate::tags::Tags;

const NEVER: u64 = u64::MAX;

/// A moment between invalidations, as [`Residents::stamp`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u32);

/// Whether an entry may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may.
    Fresh,
    /// Its time is over, but it may while somebody computes it anew.
    Stale,
    /// It may not.
    Dead(Reason),
}

/// Why an entry went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Room was needed.
    Capacity,
    /// It weighs more than there is room for, and never came in.
    TooHeavy,
    /// Its time was over.
    Expired,
    /// Its key, one of its tags, something that it depends on or the whole cache was invalidated.
    Invalidated,
    /// Another value came for its key.
    Replaced,
    /// The cache was cleared.
    Cleared,
}

/// Entries `T` under a hash each. See the crate's documentation.
///
/// What goes is not dropped but handed over by [`take_removed`](Self::take_removed), so that nothing of `T` runs inside.
pub struct Residents<T> {
    items: Vec<Option<T>>,
    table: Table,
    index: HashTable<u32>,
    free: Vec<u32>,
    policy: Box<dyn Policy>,
    weight: u64,
    capacity: Capacity,
    life: Life,
    stale_ms: u64,
    early: f64,
    expiries: Expiries,
    idles: Column<Idle>,
    costs: Column<u32>,
    tag_sets: Column<u32>,
    tags: Tags,
    /// Number of the last invalidation of a tag or of everything.
    present: u32,
    /// Entries made before are not true.
    true_since: u32,
    /// Where the search for what is not true any more goes on, and for how many slots.
    sweep_at: u32,
    sweep_left: u32,
    statistics: Statistics,
    removed: Vec<(T, Reason)>,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Idle {
    /// 0 if it may be idle for ever.
    idle_ms: u64,
    /// When its time is over however often it is used.
    dies_ms: u64,
}

/// What every resident has, and what policies ask for.
struct Table {
    rows: Vec<Row>,
    weights: Column<u32>,
    is_weighted: bool,
    len: u32,
}

#[derive(Clone, Copy)]
struct Row {
    expires_ms: u64,
    hash: u32,
    stamp: u32,
}

impl Facts for Table {
    fn hash(&self, slot: u32) -> u32 {
        self.rows[slot as usize].hash
    }

    fn weight(&self, slot: u32) -> u32 {
        if self.is_weighted { self.weights.get(slot) } else { 1 }
    }

    fn len(&self) -> u32 {
        self.len
    }
}

/// The hash that the index uses: the bits of a policy's hash everywhere.
pub(crate) fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<T> Residents<T> {
    /// Nobody yet.
    pub fn new(options: &Options) -> Self {
        let is_weighted = matches!(options.capacity, Capacity::Weight(_));
        Self {
            items: Vec::new(),
            table: Table { rows: Vec::new(), weights: Column::new(), is_weighted, len: 0 },
            index: HashTable::new(),
            free: Vec::new(),
            policy: options.policy.build(options.capacity),
            weight: 0,
            capacity: options.capacity,
            life: options.life,
            stale_ms: options.stale_ms,
            early: options.early,
            expiries: Expiries::new(),
            idles: Column::new(),
            costs: Column::new(),
            tag_sets: Column::new(),
            tags: Tags::default(),
            present: 1,
            true_since: 0,
            sweep_at: 0,
            sweep_left: 0,
            statistics: Statistics::default(),
            removed: Vec::new(),
        }
    }

    /// Takes `item` in and gives its slot, or `None` if it is too heavy. Who holds the key already must go before.
    pub fn insert(&mut self, hash: u32, item: T, terms: &Terms<'_>, now_ms: u64) -> Option<u32> {
        let weight = if self.table.is_weighted { terms.weight.max(1) } else { 1 };
        let weight_max = self.capacity.weight_max();
        if u64::from(weight) > weight_max {
            self.statistics.evictions += 1;
            self.removed.push((item, Reason::TooHeavy));
            return None;
        }
        self.tidy(now_ms);
        while self.weight + u64::from(weight) > weight_max || self.table.len == u32::MAX - 1 {
            let slot = self.policy.evict(weight, &self.table).expect("who weighs something is there");
            self.take_out(slot, Reason::Capacity);
        }
        let slot = self.put(hash, item, weight);
        self.set_terms(slot, terms, now_ms);
        self.policy.insert(slot, &self.table);
        self.statistics.inserts += 1;
        Some(slot)
    }

    /// Takes `slot` out.
    pub fn remove(&mut self, slot: u32, reason: Reason) {
        self.policy.remove(slot, &self.table);
        self.take_out(slot, reason);
    }

    /// Takes everybody out.
    pub fn clear(&mut self, reason: Reason) {
        self.present = self.present.wrapping_add(1).max(1);
        self.true_since = self.present;
        for slot in 0..self.items.len() as u32 {
            if self.items[slot as usize].is_some() {
                self.take_out(slot, reason);
            }
        }
        self.policy.clear();
        self.expiries.clear();
        self.idles.clear();
        self.costs.clear();
        self.tag_sets.clear();
        self.table.weights.clear();
        (self.items, self.free, self.table.rows) = (Vec::new(), Vec::new(), Vec::new());
        (self.index, self.sweep_left) = (HashTable::new(), 0);
    }

    /// What went since the last call, in order, each with why.
    pub fn take_removed(&mut self) -> Vec<(T, Reason)> {
        std::mem::take(&mut self.removed)
    }

    /// Number of entries, with those whose end nobody has noticed yet; [`Self::purge`] leaves none of those.
    pub fn len(&self) -> u32 {
        self.table.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.table.len == 0
    }

    /// Sum of the weights.
    pub fn weight(&self) -> u64 {
        self.weight
    }

    /// What has happened.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// What has happened to the entries of a tag.
    pub fn tag_statistics(&self, tag: &str) -> TagStatistics {
        self.tags.statistics(tag)
    }

    /// Counts from nothing again.
    pub fn reset_statistics(&mut self) {
        self.statistics = Statistics::default();
    }

    /// Every entry with its slot.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(&self.items).filter_map(|(slot, item)| Some((slot, item.as_ref()?)))
    }

    fn put(&mut self, hash: u32, item: T, weight: u32) -> u32 {
        let row = Row { expires_ms: NEVER, hash, stamp: self.present };
        let slot = self.free.pop().unwrap_or(self.items.len() as u32);
        if slot as usize == self.items.len() {
            let len_max = self.len_max();
            grow(&mut self.items, slot as usize + 1, len_max);
            grow(&mut self.table.rows, slot as usize + 1, len_max);
            self.items.push(Some(item));
            self.table.rows.push(row);
        } else {
            self.items[slot as usize] = Some(item);
            self.table.rows[slot as usize] = row;
        }
        if self.table.is_weighted {
            self.table.weights.set(slot, weight, usize::MAX);
        }
        self.table.len += 1;
        self.weight += u64::from(weight);
        let rows = &self.table.rows;
        self.index.insert_unique(spread(hash), slot, |&slot| spread(rows[slot as usize].hash));
        slot
    }

    fn set_terms(&mut self, slot: u32, terms: &Terms<'_>, now_ms: u64) {
        let len_max = self.len_max();
        let stamp = terms.since.map_or(self.present, |since| since.0);
        let life = terms.life.unwrap_or(self.life);
        let dies_ms = life.ttl_ms.map_or(NEVER, |ttl_ms| now_ms.saturating_add(ttl_ms));
        let expires_ms = life.idle_ms.map_or(dies_ms, |idle_ms| dies_ms.min(now_ms.saturating_add(idle_ms)));
        self.table.rows[slot as usize].stamp = stamp;
        self.table.rows[slot as usize].expires_ms = expires_ms;
        let idle =
            life.idle_ms.map_or_else(Idle::default, |idle_ms| Idle { idle_ms: idle_ms.max(1), dies_ms });
        self.idles.set(slot, idle, len_max);
        self.costs.set(slot, terms.cost_ms, len_max);
        let tags = self.tags.enter(terms.tags);
        self.tag_sets.set(slot, tags, len_max);
        if expires_ms != NEVER {
            self.expiries.watch(slot, expires_ms.saturating_add(self.stale_ms), len_max);
        }
    }

    /// Hands over a resident that the policy does not know any more.
    fn take_out(&mut self, slot: u32, reason: Reason) {
        let hash = self.table.hash(slot);
        if let Ok(entry) = self.index.find_entry(spread(hash), |&other| other == slot) {
            entry.remove();
        }
        self.weight -= u64::from(self.table.weight(slot));
        self.table.len -= 1;
        let tags = self.tag_sets.get(slot);
        self.tags.leave(tags, self.table.rows[slot as usize].stamp);
        let item = self.items[slot as usize].take().expect("a resident is there");
        self.free.push(slot);
        match reason {
            Reason::Capacity | Reason::TooHeavy => self.statistics.evictions += 1,
            Reason::Expired => self.statistics.expirations += 1,
            Reason::Invalidated => self.statistics.invalidations += 1,
            Reason::Replaced | Reason::Cleared => {}
        }
        self.removed.push((item, reason));
    }

    fn len_max(&self) -> usize {
        match self.capacity {
            Capacity::Entries(count) => count as usize,
            Capacity::Weight(_) | Capacity::Unbounded => usize::MAX,
        }
    }
}
