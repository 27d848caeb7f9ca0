//! What a snapshot holds beside the pages, and the state put together from both.

use std::sync::Arc;

use lineshaft_structures::{PAGE_LEN, TrackedFifo};
use lineshaft_wire::JobId;
use lineshaft_wire::message::{ProcessKey, Rules};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::rows::KeyPage;
use super::{SnapshotError, VERSION};
use crate::cache::{Cache, CacheRows};
use crate::change::{Lease, NewHolder, Place};
use crate::interned::{Interned, Parts};
use crate::limiters::Limiters;
use crate::list::List;
use crate::places::FreePlaces;
use crate::rules::{Handlers, Plain};
use crate::slot_page::SlotPage;
use crate::state::{Answer, Child, Limits, Queue, Session, State, Timer};
use crate::statistics::{Counts, Statistics};

/// A session's number, its lowest number and its answers.
pub(super) type SessionRow = (u64, u64, Vec<(u64, Answer)>);

#[derive(Serialize, Deserialize)]
pub(super) struct Tables {
    pub(super) version: u16,
    pub(super) shard: u16,
    pub(super) wall_ms: u64,
    pub(super) logical_ms: u64,
    pub(super) epoch: u64,
    pub(super) fence_counter: u64,
    pub(super) next_order: u64,
    pub(super) next_session: u64,
    pub(super) next_child: u32,
    pub(super) finish_number: u64,
    pub(super) archived: u64,
    pub(super) names: Parts<str>,
    pub(super) rules: Parts<Plain>,
    pub(super) handlers: HandlersOfRules,
    pub(super) versions: Versions,
    pub(super) leases: Vec<(u32, Lease)>,
    pub(super) children: Vec<(u32, ChildRow)>,
    pub(super) sessions: Vec<SessionRow>,
    pub(super) queues: Vec<(u32, bool, Option<u64>)>,
    pub(super) periods: Vec<(u64, Arc<str>, JobId)>,
    pub(super) deleted: Vec<(JobId, u64)>,
    /// Slots in the pages.
    pub(super) slots: u32,
    /// Numbers of the idempotency keys in the pages: the first, and the next one to come.
    #[serde(with = "postcard::fixint::le")]
    pub(super) first_key: u64,
    #[serde(with = "postcard::fixint::le")]
    pub(super) next_key: u64,
}

/// What stands behind the tables, since later layouts than theirs have it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Rest {
    /// Free places are swept from this one on, if at all.
    pub(super) hand: Option<u32>,
    /// Absent children and since when, by number.
    pub(super) absent: Vec<(u32, u64)>,
    /// The greatest fence of a lock that was given.
    pub(super) lock_fence: u64,
    /// Holders of locks: the fence of each, and since when, Unix milliseconds.
    pub(super) lock_holders: Vec<(u64, u64, NewHolder)>,
    /// Limiters: when the next turn at each would be if all came evenly, logical nanoseconds.
    pub(super) limiters: Vec<(u64, Arc<str>)>,
    /// When the jobs of cached results ended, Unix milliseconds, beside the periods of their keys; nothing for other keys,
    /// and none behind the last.
    pub(super) cached: Vec<Option<u64>>,
    /// The cache.
    pub(super) cache: CacheRows,
    /// What attempts came to, by task.
    pub(super) statistics: Vec<(Arc<str>, Counts)>,
    /// For each of these, how long attempts had their interpreter's lock, and ran: written behind all others, since the layout
    /// before does not have it.
    #[serde(skip)]
    pub(super) gil: Vec<[u64; 2]>,
}

/// The same as the layout before wrote it.
#[derive(Deserialize)]
pub(super) struct RestWithoutCached {
    hand: Option<u32>,
    absent: Vec<(u32, u64)>,
    lock_fence: u64,
    lock_holders: Vec<(u64, u64, NewHolder)>,
}

/// The same as the layout after that one wrote it.
#[derive(Deserialize)]
pub(super) struct RestWithoutStatistics {
    hand: Option<u32>,
    absent: Vec<(u32, u64)>,
    lock_fence: u64,
    lock_holders: Vec<(u64, u64, NewHolder)>,
    limiters: Vec<(u64, Arc<str>)>,
    cached: Vec<Option<u64>>,
    cache: CacheRows,
}

impl From<RestWithoutStatistics> for Rest {
    fn from(rest: RestWithoutStatistics) -> Self {
        let RestWithoutStatistics { hand, absent, lock_fence, lock_holders, limiters, cached, cache } = rest;
        Self { hand, absent, lock_fence, lock_holders, limiters, cached, cache, ..Self::default() }
    }
}

impl From<RestWithoutCached> for Rest {
    fn from(RestWithoutCached { hand, absent, lock_fence, lock_holders }: RestWithoutCached) -> Self {
        Self { hand, absent, lock_fence, lock_holders, ..Self::default() }
    }
}

/// Handlers of failures, by the number of the rules that have them.
pub(super) type HandlersOfRules = Vec<(u32, Handlers)>;

/// Versions of the handlers of rules, by the number of the rules, for rules with one after the first.
pub(super) type Versions = Vec<(u32, Vec<u32>)>;

#[derive(Serialize, Deserialize)]
pub(super) struct ChildRow {
    worker: u64,
    name: Arc<str>,
    number: u32,
    process: ProcessKey,
}

impl State {
    /// The tables, encoded.
    pub(super) fn tables(&self) -> Vec<u8> {
        let handlers: HandlersOfRules = self.handlers().collect();
        let versions = handlers.iter().map(|(number, handlers)| (*number, handlers.versions()));
        let keys = self.keys_by_age.range();
        let tables = Tables {
            version: VERSION,
            shard: self.shard,
            wall_ms: self.wall_ms,
            logical_ms: self.logical_ms,
            epoch: self.epoch,
            fence_counter: self.fence_counter,
            next_order: self.next_order,
            next_session: self.next_session,
            next_child: self.next_child,
            finish_number: self.finish_number,
            archived: self.archived,
            names: self.names.parts(),
            rules: plain(self.rules.parts()),
            versions: versions.filter(|(_, versions)| !versions.is_empty()).collect(),
            handlers,
            leases: sorted(self.leases.iter().map(|(slot, lease)| (*slot, *lease)), |row| row.0),
            children: self.children.iter().map(|(number, child)| (*number, child_row(child))).collect(),
            sessions: sorted(
                self.sessions.iter().map(|(number, session)| session_row(*number, session)),
                |row| row.0,
            ),
            queues: sorted(
                self.queues.iter().map(|(name, queue)| (*name, queue.paused, queue.purge_before)),
                |row| row.0,
            ),
            periods: self
                .periods_by_end
                .iter()
                .map(|(until_ms, key)| (*until_ms, Arc::clone(key), self.periods[key].0))
                .collect(),
            deleted: sorted(self.deleted.iter().map(|(job, finalized_ms)| (*job, *finalized_ms)), |row| {
                row.0
            }),
            slots: self.slots.len(),
            first_key: keys.start,
            next_key: keys.end,
        };
        let absent = self.absent.iter().map(|(child, since_ms)| (*child, *since_ms)).collect();
        let holders = self.locks.holders.iter();
        let statistics = self.statistics.rows();
        let rest = Rest {
            hand: self.free.hand(),
            absent,
            lock_fence: self.locks.fence,
            lock_holders: holders.map(|(fence, it)| (*fence, it.since_ms, it.new.clone())).collect(),
            limiters: self.limiters.rows().collect(),
            cached: self.cached_by_end(),
            cache: self.cache.rows(),
            gil: Statistics::gil_rows(&statistics),
            statistics,
        };
        postcard::to_allocvec(&(tables, &rest, &rest.gil)).expect("a vector takes every table")
    }

    /// For each key that is held for a period, in their order, when its job ended if that is cached.
    fn cached_by_end(&self) -> Vec<Option<u64>> {
        let keys = self.periods_by_end.iter().map(|(_, key)| key);
        let mut ended: Vec<_> = keys.map(|key| self.cached.get(key).copied().flatten()).collect();
        ended.truncate(ended.iter().rposition(Option::is_some).map_or(0, |last| last + 1));
        ended
    }

    /// Rules with handlers, by number.
    fn handlers(&self) -> impl Iterator<Item = (u32, Handlers)> {
        let rules = (0..).zip(self.rules.parts().0);
        let handlers = rules.filter_map(|(number, entry)| Some((number, Handlers::of(&entry?.0))));
        handlers.filter(|(_, handlers)| !handlers.is_empty())
    }

    /// The state of these tables and pages, its indexes built.
    pub(super) fn assemble(
        tables: Tables,
        mut rest: Rest,
        (slots, keys): (Vec<SlotPage>, Vec<KeyPage>),
        limits: Limits,
    ) -> Result<Self, SnapshotError> {
        let mut state = Self::new(tables.shard, limits);
        state.free = FreePlaces::new(rest.hand);
        state.absent = rest.absent.into_iter().collect();
        state.take_slots(slots, tables.slots)?;
        state.take_keys(keys, tables.first_key..tables.next_key)?;
        state.take_tables(tables)?;
        state.take_cached(&rest.cached)?;
        state.take_locks(rest.lock_fence, rest.lock_holders)?;
        state.limiters = Limiters::of_rows(rest.limiters)
            .ok_or(SnapshotError::Inconsistent("a limiter that is there twice"))?;
        state.take_cache(rest.cache)?;
        Statistics::put_gil_back(&mut rest.statistics, rest.gil);
        state.statistics = Statistics::of_rows(rest.statistics)
            .ok_or(SnapshotError::Inconsistent("statistics of more tasks than there may be"))?;
        state.check()?;
        state.index()?;
        Ok(state)
    }

    fn take_slots(&mut self, pages: Vec<SlotPage>, slots: u32) -> Result<(), SnapshotError> {
        for page in pages {
            let is_full = (self.slots.len() as usize).is_multiple_of(PAGE_LEN);
            let fits = is_full && (1..=PAGE_LEN).contains(&page.len());
            if !fits || page.len() as u64 + u64::from(self.slots.len()) > u64::from(slots) {
                return Err(SnapshotError::Inconsistent("a page of slots that does not fit"));
            }
            self.slots.push_page(page);
        }
        let is_whole = self.slots.len() == slots;
        if is_whole { Ok(()) } else { Err(SnapshotError::Inconsistent("a page of slots is missing")) }
    }

    fn take_keys(&mut self, pages: Vec<KeyPage>, range: std::ops::Range<u64>) -> Result<(), SnapshotError> {
        let begins = pages.first().is_none_or(|(number, _)| *number == range.start / PAGE_LEN as u64);
        let pages = pages.into_iter().map(|(_, rows)| rows).collect();
        let keys = TrackedFifo::from_kept_pages(range, pages).filter(|_| begins);
        self.keys_by_age =
            keys.ok_or(SnapshotError::Inconsistent("other idempotency keys than there should be"))?;
        Ok(())
    }

    fn take_tables(&mut self, mut tables: Tables) -> Result<(), SnapshotError> {
        self.take_rules(&mut tables)?;
        (self.wall_ms, self.logical_ms, self.epoch) = (tables.wall_ms, tables.logical_ms, tables.epoch);
        (self.fence_counter, self.next_order) = (tables.fence_counter, tables.next_order);
        (self.next_session, self.next_child) = (tables.next_session, tables.next_child);
        (self.finish_number, self.archived) = (tables.finish_number, tables.archived);
        self.names = Interned::from_parts(tables.names);
        self.leases = tables.leases.into_iter().collect();
        for (number, row) in tables.children {
            self.load_child(number, row);
        }
        for (number, lowest, answers) in tables.sessions {
            let answers = answers.into_iter().collect();
            self.sessions.insert(number, Session { lowest, answers, used_ms: self.logical_ms });
            let ends = self.logical_ms.saturating_add(self.limits.session_ms);
            self.logical_timers.insert(ends, Timer::Session(number));
        }
        for (name, paused, purge_before) in tables.queues {
            self.queues.insert(name, Queue { paused, purge_before, ..Queue::default() });
            if purge_before.is_some() {
                self.purging.insert(name);
            }
        }
        for (until_ms, key, job) in tables.periods {
            self.hold_period(&key, job, until_ms);
        }
        self.deleted = tables.deleted.into_iter().collect();
        Ok(())
    }

    fn take_cached(&mut self, ended: &[Option<u64>]) -> Result<(), SnapshotError> {
        if ended.len() > self.periods_by_end.len() {
            return Err(SnapshotError::Inconsistent("cached results of no keys"));
        }
        let keys = self.periods_by_end.iter().map(|(_, key)| Arc::clone(key));
        let cached = keys.zip(ended).filter(|(_, ended_ms)| ended_ms.is_some());
        self.cached = cached.map(|(key, ended_ms)| (key, *ended_ms)).collect();
        Ok(())
    }

    fn take_cache(&mut self, rows: CacheRows) -> Result<(), SnapshotError> {
        self.cache = Cache::of_rows(rows)
            .ok_or(SnapshotError::Inconsistent("an entry of the cache twice, or from later on"))?;
        let places: Vec<Place> = self.cache.iter().map(|(_, entry)| entry.place).collect();
        places.into_iter().for_each(|place| self.keep(place));
        Ok(())
    }

    fn take_locks(&mut self, newest: u64, holders: Vec<(u64, u64, NewHolder)>) -> Result<(), SnapshotError> {
        for (fence, since_ms, holder) in holders {
            if fence <= self.locks.fence || fence > newest || self.locks.fence_of(holder.owner()).is_some() {
                return Err(SnapshotError::Inconsistent("a lock that is held twice, or out of turn"));
            }
            self.hold(fence, holder, since_ms);
        }
        self.locks.fence = newest;
        Ok(())
    }

    fn take_rules(&mut self, tables: &mut Tables) -> Result<(), SnapshotError> {
        let (rules, free) = std::mem::take(&mut tables.rules);
        let mut handlers: FxHashMap<u32, Handlers> =
            std::mem::take(&mut tables.handlers).into_iter().collect();
        for (number, versions) in &tables.versions {
            let versioned = handlers.remove(number).and_then(|handlers| handlers.of_versions(versions));
            let versioned = versioned.ok_or(SnapshotError::Inconsistent("versions of other handlers"))?;
            handlers.insert(*number, versioned);
        }
        let rules = (0..).zip(rules).map(|(number, entry)| {
            let (plain, uses) = entry?;
            let handlers = handlers.remove(&number).unwrap_or_default();
            Some((Arc::new(handlers.complete((*plain).clone())), uses))
        });
        self.rules = Interned::from_parts((rules.collect(), free));
        if handlers.is_empty() {
            Ok(())
        } else {
            Err(SnapshotError::Inconsistent("handlers of unknown rules"))
        }
    }

    fn load_child(&mut self, number: u32, row: ChildRow) {
        let ChildRow { worker, name, number: in_worker, process } = row;
        let since_ms = self.absent_since(number).unwrap_or(self.logical_ms);
        let lease_ends = since_ms.saturating_add(self.limits.lease_ms);
        let child = Child { worker, name, number: in_worker, process, leases: List::default(), lease_ends };
        self.children.insert(number, child);
        self.logical_timers.insert(lease_ends, Timer::Child(number));
    }
}

/// Rules without their handlers.
fn plain((rules, free): Parts<Rules>) -> Parts<Plain> {
    let plain = |(rules, uses): (Arc<Rules>, u64)| (Arc::new(Plain((*rules).clone())), uses);
    (rules.into_iter().map(|entry| entry.map(plain)).collect(), free)
}

pub(super) fn sorted<T, K: Ord>(rows: impl Iterator<Item = T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut rows: Vec<T> = rows.collect();
    rows.sort_unstable_by_key(key);
    rows
}

fn child_row(child: &Child) -> ChildRow {
    ChildRow {
        worker: child.worker,
        name: Arc::clone(&child.name),
        number: child.number,
        process: child.process,
    }
}

fn session_row(number: u64, session: &Session) -> SessionRow {
    let answers = session.answers.iter().map(|(request, answer)| (*request, answer.clone()));
    (number, session.lowest, answers.collect())
}
