//! Those who wait for each other: they hold what others of them wait for, and would wait for ever.
//!
//! Only somebody who holds a lock and begins to wait for another can close such a circle, so it is looked for then, from
//! there. Who waits is *stuck* unless it would come to its turn if everybody who is not stuck gave back what it holds: the
//! reduction of Coffman, Elphick and Shoshani, "System Deadlocks" (1971), which is right for locks of several holders, too,
//! where a circle alone proves nothing.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

use lineshaft_wire::message::LockKind;
use rustc_hash::FxHashMap;

use super::{LinePlace, LockName, Locks, Owner, Party};
use crate::change::NewHolder;
use crate::state::State;

/// Among so many who wait is looked; beyond that they have only their time-outs.
const WAITERS_MAX: usize = 4_096;

/// A circle of those who wait for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlock {
    /// Session and token of the one that waits for the shortest time: it should give up.
    pub youngest: (u64, u64),
    /// Who waits for what of whom, in a sentence.
    pub circle: String,
}

/// Those who wait and are stuck, for as much as is known, in the order in which they came.
type Stuck = BTreeMap<LinePlace, Owner>;

impl State {
    /// Those who wait for each other since this one, too, has come to wait.
    pub fn deadlock(&self, session: u64, token: u64) -> Option<Deadlock> {
        let owner = (session, token);
        let (name, place, new) = self.locks.waiter(owner)?;
        let holds = new.party().is_some_and(|party| self.locks.parties.contains_key(&party));
        // Whoever had waited for long before it came back stands before others now, who may hold what it needs.
        let behind = self.locks.names.get(name)?.line.range(place..).nth(1).map(|(_, behind)| behind.owner());
        [holds.then_some(owner), behind].into_iter().flatten().find_map(|from| self.locks.deadlock(from))
    }
}

impl Locks {
    fn deadlock(&self, owner: Owner) -> Option<Deadlock> {
        let stuck = self.stuck(self.reachable(owner)?);
        let circle = self.circle(owner, &stuck)?;
        let place = |owner: &&Owner| self.waiters[owner].1;
        let youngest = *circle.iter().max_by_key(place)?;
        Some(Deadlock { youngest, circle: self.sentence(&circle) })
    }

    /// Everybody whom this one waits for, whom those wait for, and so on; `None` if there are too many.
    fn reachable(&self, from: Owner) -> Option<Stuck> {
        let mut found = Stuck::from([(self.waiters.get(&from)?.1, from)]);
        let mut ahead = vec![from];
        while let Some(owner) = ahead.pop() {
            for next in self.waits_for(owner) {
                if found.insert(self.waiters[&next].1, next).is_none() {
                    ahead.push(next);
                }
            }
            if found.len() > WAITERS_MAX {
                return None;
            }
        }
        Some(found)
    }

    /// What is left of them when everybody who can has come to its turn and gone.
    fn stuck(&self, mut stuck: Stuck) -> Stuck {
        loop {
            let before = stuck.len();
            for (place, owner) in stuck.clone() {
                if self.would_get(owner, &stuck) {
                    stuck.remove(&place);
                }
            }
            if stuck.len() == before {
                return stuck;
            }
        }
    }

    /// Whether one would come to its turn if all but the stuck ones were gone.
    fn would_get(&self, owner: Owner, stuck: &Stuck) -> bool {
        let Some((name, place, new)) = self.waiter(owner) else { return true };
        if self.before(name, place).is_some_and(|before| self.is_stuck(before, stuck)) {
            return false;
        }
        let holders = || self.holders_of(name).filter(|holder| self.is_stuck(holder, stuck));
        match name.0 {
            // Who else will come to a barrier is not known.
            LockKind::Barrier => true,
            LockKind::ReadWrite if holders().any(|holder| holder.permits == 1) => false,
            _ => holders().count() < new.permits as usize,
        }
    }

    /// Whether one waits in vain, for this or for something else.
    fn is_stuck(&self, one: &NewHolder, stuck: &Stuck) -> bool {
        let mut waits = self.wait_of(one.party()).into_iter().chain([one.owner()]);
        waits.any(|owner| self.waiters.get(&owner).is_some_and(|(_, place)| stuck.contains_key(place)))
    }

    /// The shortest circle through one who is stuck.
    fn circle(&self, owner: Owner, stuck: &Stuck) -> Option<Vec<Owner>> {
        let is_stuck = |owner: &Owner| stuck.contains_key(&self.waiters[owner].1);
        let mut from: FxHashMap<Owner, Owner> = FxHashMap::default();
        let mut ahead = VecDeque::from_iter(Some(owner).filter(is_stuck));
        while let Some(last) = ahead.pop_front() {
            for next in self.waits_for(last).into_iter().filter(is_stuck) {
                if next == owner {
                    let mut circle: Vec<Owner> =
                        std::iter::successors(Some(last), |one| from.get(one).copied()).collect();
                    circle.reverse();
                    return Some(circle);
                }
                if let Entry::Vacant(vacant) = from.entry(next) {
                    vacant.insert(last);
                    ahead.push_back(next);
                }
            }
        }
        None
    }

    fn sentence(&self, circle: &[Owner]) -> String {
        let found = || circle.iter().filter_map(|owner| self.waiter(*owner));
        let mut sentence = String::new();
        for ((name, place, one), (_, _, next)) in found().zip(found().cycle().skip(1)) {
            let is_behind = self.before(name, place).is_some_and(|before| before.owner() == next.owner());
            let how = if is_behind { "behind" } else { "of" };
            let who = if sentence.is_empty() { said(one) } else { ", which".to_owned() };
            let (kind, key, next) = (name.0.as_str(), &name.1, said(next));
            write!(sentence, "{who} waits for {kind} '{key}' {how} {next}").expect("memory takes it");
        }
        sentence
    }

    /// Those who wait and must come to their turn before this one does: the one before it in line, and holders.
    fn waits_for(&self, owner: Owner) -> BTreeSet<Owner> {
        let Some((name, place, _)) = self.waiter(owner) else { return BTreeSet::new() };
        if name.0 == LockKind::Barrier {
            return BTreeSet::new();
        }
        let holders = self.holders_of(name).filter_map(|holder| self.wait_of(holder.party()));
        self.before(name, place).map(NewHolder::owner).into_iter().chain(holders).collect()
    }

    /// As what a party waits, if it does.
    fn wait_of(&self, party: Option<Party>) -> Option<Owner> {
        let party = party?;
        self.waiting.get(&party).map(|token| (party.0, *token))
    }

    fn holders_of(&self, name: &LockName) -> impl Iterator<Item = &NewHolder> {
        let fences = self.names.get(name).into_iter().flat_map(|lock| &lock.fences);
        fences.map(|fence| &self.holders[fence].new)
    }

    /// The one right before this place in a line.
    fn before(&self, name: &LockName, place: LinePlace) -> Option<&NewHolder> {
        self.names.get(name)?.line.range(..place).next_back().map(|(_, before)| before)
    }

    fn waiter(&self, owner: Owner) -> Option<(&LockName, LinePlace, &NewHolder)> {
        let (name, place) = self.waiters.get(&owner)?;
        Some((name, *place, self.names.get(name)?.line.get(place)?))
    }
}

fn said(one: &NewHolder) -> String {
    format!("{} (pid {})", one.program, one.pid)
}
