//! Locks and their kin: who holds them, and who stands in line.
//!
//! What is held is durable. Who waits is not: a line ends with its connections, and whoever comes back after a restart says
//! how long it has waited, so that it gets its old place again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lineshaft_structures::TimerId;
use lineshaft_wire::message::{Acquire, Acquired, LOCK_HOLDERS_SHOWN, LockHolder, LockKind, LockReport};
use rustc_hash::FxHashMap;

use crate::change::{Change, NewHolder};
use crate::command::Now;
use crate::state::State;

mod deadlock;

pub use deadlock::Deadlock;

/// What a lock is known by.
pub(crate) type LockName = (LockKind, Arc<str>);
/// A session, and what its client calls a holder.
pub(crate) type Owner = (u64, u64);
/// A session, and which thread or coroutine of it: one who can hold some locks and wait for another.
type Party = (u64, u64);

/// How far apart the fences of two epochs begin. An epoch is at least the wall clock in seconds, and no disk makes a million
/// locks durable in one: so fences grow even where a home goes on from a backup.
const EPOCH_SHIFT: u32 = 20;

/// Every lock that somebody holds or waits for.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    // Durable.
    /// The greatest fence that was given.
    pub(crate) fence: u64,
    /// Holders by their fences.
    pub(crate) holders: BTreeMap<u64, Holder>,

    // Derived.
    names: BTreeMap<LockName, Lock>,
    fences: FxHashMap<Owner, u64>,
    /// How many locks each known party holds.
    parties: FxHashMap<Party, u32>,

    // Of this process alone.
    /// Those who wait: for what, and where in its line.
    waiters: FxHashMap<Owner, (LockName, LinePlace)>,
    /// Under which token each known party waits: for one lock at a time.
    waiting: FxHashMap<Party, u64>,
    arrivals: u64,
    /// Locks whose line may move up.
    moving: BTreeSet<LockName>,
}

/// Since when on the logical clock, which may be before it began, and the number of the arrival: who has waited the longest
/// comes first.
type LinePlace = (i64, u64);

#[derive(Debug, Default)]
struct Lock {
    fences: BTreeSet<u64>,
    line: BTreeMap<LinePlace, NewHolder>,
}

/// One who holds a lock.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) new: NewHolder,
    /// Unix milliseconds.
    pub(crate) since_ms: u64,
    /// Logical time at which it is lost unless renewed. Not durable: a start gives the whole time again.
    pub(crate) ends_ms: u64,
    pub(crate) timer: TimerId,
}

impl Locks {
    /// The fence of the lock that this owner holds.
    pub(crate) fn fence_of(&self, owner: Owner) -> Option<u64> {
        self.fences.get(&owner).copied()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn waits(&self, owner: Owner) -> bool {
        self.waiters.contains_key(&owner)
    }

    /// The fence of the next holder.
    pub(crate) fn next_fence(&self, epoch: u64) -> u64 {
        (self.fence + 1).max(epoch << EPOCH_SHIFT)
    }

    /// Whether one who comes now is given the lock at once.
    pub(crate) fn is_free(&self, name: &LockName, permits: u32) -> bool {
        match self.names.get(name) {
            Some(lock) if !lock.line.is_empty() => false,
            _ if name.0 == LockKind::Barrier => permits == 1,
            lock => lock.is_none_or(|lock| self.has_room(name.0, lock, permits)),
        }
    }

    /// Whether the first in line has come to its turn, who may hold the lock with so many.
    fn has_room(&self, kind: LockKind, lock: &Lock, permits: u32) -> bool {
        let count = match kind {
            LockKind::Barrier => return lock.line.len() >= permits as usize,
            // Who writes has it alone.
            LockKind::ReadWrite if self.has_writer(&lock.fences) => return false,
            _ => lock.fences.len(),
        };
        count < permits as usize
    }

    fn has_writer(&self, fences: &BTreeSet<u64>) -> bool {
        fences.first().is_some_and(|fence| self.holders[fence].new.permits == 1)
    }

    pub(crate) fn insert(&mut self, fence: u64, holder: Holder) {
        let name = holder.new.name();
        self.leave_line(holder.new.owner());
        self.fences.insert(holder.new.owner(), fence);
        if let Some(party) = holder.new.party() {
            *self.parties.entry(party).or_default() += 1;
        }
        self.names.entry(name).or_default().fences.insert(fence);
        self.holders.insert(fence, holder);
        self.fence = self.fence.max(fence);
    }

    pub(crate) fn remove(&mut self, fence: u64) -> Option<Holder> {
        let holder = self.holders.remove(&fence)?;
        let name = holder.new.name();
        self.fences.remove(&holder.new.owner());
        self.leave_party(&holder.new);
        if let Some(lock) = self.names.get_mut(&name) {
            lock.fences.remove(&fence);
        }
        self.look_again(name);
        Some(holder)
    }

    fn leave_party(&mut self, new: &NewHolder) {
        let Some(party) = new.party() else { return };
        let Some(held) = self.parties.get_mut(&party) else { return };
        *held -= 1;
        if *held == 0 {
            self.parties.remove(&party);
        }
    }

    /// Lets the line move up at the next occasion; forgets a lock that nobody has or wants.
    fn look_again(&mut self, name: LockName) {
        let Some(lock) = self.names.get(&name) else { return };
        if !lock.line.is_empty() {
            self.moving.insert(name);
        } else if lock.fences.is_empty() {
            self.names.remove(&name);
        }
    }

    fn enter_line(&mut self, new: NewHolder, since_ms: i64) {
        self.leave_line(new.owner());
        self.arrivals += 1;
        let (name, place) = (new.name(), (since_ms, self.arrivals));
        self.waiters.insert(new.owner(), (name.clone(), place));
        self.waiting.extend(new.party().map(|party| (party, new.token)));
        self.names.entry(name.clone()).or_default().line.insert(place, new);
        self.moving.insert(name);
    }

    fn leave_line(&mut self, owner: Owner) -> bool {
        let Some((name, place)) = self.waiters.remove(&owner) else { return false };
        let left = self.names.get_mut(&name).and_then(|lock| lock.line.remove(&place));
        if let Some(party) = left.and_then(|left| left.party())
            && self.waiting.get(&party) == Some(&owner.1)
        {
            self.waiting.remove(&party);
        }
        self.look_again(name);
        true
    }

    /// Nobody of this session waits any more.
    pub(crate) fn leave_lines(&mut self, session: u64) {
        let owners = self.waiters.keys().copied().filter(|owner| owner.0 == session);
        let mut owners: Vec<Owner> = owners.collect();
        owners.sort_unstable();
        owners.into_iter().for_each(|owner| _ = self.leave_line(owner));
    }

    /// Those who have come to their turn in a line: the first one, or all parties of a barrier.
    fn next(&mut self) -> Option<Vec<NewHolder>> {
        while let Some(name) = self.moving.first() {
            if let Some(lock) = self.names.get(name)
                && let Some(first) = lock.line.values().next()
                && self.has_room(name.0, lock, first.permits)
            {
                let count = if name.0 == LockKind::Barrier { first.permits as usize } else { 1 };
                return Some(lock.line.values().take(count).cloned().collect());
            }
            self.moving.pop_first();
        }
        None
    }

    fn report(&self, (kind, key): &LockName, lock: &Lock) -> LockReport {
        let holder = |fence: &u64| {
            let Holder { new, since_ms, .. } = &self.holders[fence];
            LockHolder {
                fence: *fence,
                program: Arc::clone(&new.program),
                pid: new.pid,
                permits: new.permits,
                since: *since_ms,
                ttl_ms: new.ttl_ms,
            }
        };
        LockReport {
            kind: *kind,
            key: Arc::clone(key),
            held: lock.fences.len() as u32,
            holders: lock.fences.iter().take(LOCK_HOLDERS_SHOWN).map(holder).collect(),
            waiters: lock.line.len() as u32,
        }
    }
}

impl NewHolder {
    pub(crate) fn of(session: u64, acquire: &Acquire) -> Self {
        Self {
            session,
            token: acquire.token,
            kind: acquire.kind,
            key: Arc::clone(&acquire.key),
            permits: acquire.permits,
            ttl_ms: acquire.ttl_ms,
            program: Arc::clone(&acquire.program),
            pid: acquire.pid,
            party: acquire.party,
            place: 0,
        }
    }

    fn party(&self) -> Option<Party> {
        (self.party != 0).then_some((self.session, self.party))
    }

    pub(crate) fn owner(&self) -> Owner {
        (self.session, self.token)
    }

    pub(crate) fn name(&self) -> LockName {
        (self.kind, Arc::clone(&self.key))
    }
}

impl State {
    /// What a session's client holds under this token.
    pub fn acquired(&self, session: u64, token: u64) -> Acquired {
        let fence = self.locks.fence_of((session, token));
        let holder = fence.and_then(|fence| self.locks.holders.get(&fence));
        let at_barrier = holder.filter(|holder| holder.new.kind == LockKind::Barrier);
        Acquired { fence, place: at_barrier.map(|holder| holder.new.place) }
    }

    /// Whether the session's client waits for a lock under this token.
    pub fn waits_for_lock(&self, session: u64, token: u64) -> bool {
        self.locks.waits((session, token))
    }

    /// Locks that are held: how many holders there are.
    pub fn lock_holders(&self) -> usize {
        self.locks.holders.len()
    }

    /// Puts one into the line of its lock, to be given it by [`State::next_lock`]. One that stands there already gets the
    /// place that it asks for.
    pub fn await_lock(&mut self, session: u64, acquire: &Acquire, now: Now) {
        let since_ms = now.logical_ms.cast_signed().saturating_sub_unsigned(acquire.waited_ms);
        self.locks.enter_line(NewHolder::of(session, acquire), since_ms);
    }

    /// One waits no more; says whether it did.
    pub fn leave_line(&mut self, session: u64, token: u64) -> bool {
        self.locks.leave_line((session, token))
    }

    /// Gives a lock to the next one in line for it, or opens a barrier; `None` when nobody has come to its turn, or the
    /// table is full.
    pub fn next_lock(&mut self) -> Option<Change> {
        let mut holders = self.locks.next()?;
        if self.locks.holders.len() + holders.len() > self.limits.locks {
            return None;
        }
        if holders[0].kind != LockKind::Barrier {
            return holders.pop().map(|holder| Change::Locked { holder });
        }
        (0..).zip(&mut holders).for_each(|(place, holder)| holder.place = place);
        Some(Change::BarrierOpened { holders })
    }

    /// The holders of these tokens are there; gives the tokens that hold nothing.
    pub fn renew_locks(&mut self, session: u64, tokens: &[u64], logical_ms: u64) -> Vec<u64> {
        self.touch_session(session, logical_ms);
        let mut lost = Vec::new();
        for token in tokens {
            let fence = self.locks.fence_of((session, *token));
            match fence.and_then(|fence| self.locks.holders.get_mut(&fence)) {
                // Never shorter than it would be held anyway: a stall may have been credited.
                Some(holder) => holder.ends_ms = holder.ends_ms.max(logical_ms + holder.new.ttl_ms),
                None => lost.push(*token),
            }
        }
        lost
    }

    /// A page of the locks behind `after`, in the order of their kinds and keys, and whether there are more.
    pub fn lock_reports(
        &self,
        key: Option<&str>,
        after: Option<(LockKind, Arc<str>)>,
        limit: usize,
    ) -> (Vec<LockReport>, bool) {
        use std::ops::Bound::{Excluded, Unbounded};

        let from = after.map_or(Unbounded, Excluded);
        let behind = self.locks.names.range((from, Unbounded));
        let mut found = behind.filter(|((_, known), _)| key.is_none_or(|key| **known == *key));
        let page = found.by_ref().take(limit).map(|(name, lock)| self.locks.report(name, lock)).collect();
        (page, found.next().is_some())
    }
}
