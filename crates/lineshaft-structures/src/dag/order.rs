//! Bringing two nodes in order before an edge connects them.

use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Cycle, Dag};

impl<N: Clone + Eq + Hash> Dag<N> {
    /// Gives `from` a place before that of `to`, with all that has to move along. Only what stands between the two is
    /// looked at.
    pub(super) fn bring_in_order(&mut self, from: u32, to: u32) -> Result<(), Cycle<N>> {
        if self.node(from).place < self.node(to).place {
            return Ok(());
        }
        let later = self.behind(to, from)?;
        let mut moved = self.ahead_of(from, self.node(to).place);
        moved.extend(later);
        let mut places: Vec<i64> = moved.iter().map(|&number| self.node(number).place).collect();
        places.sort_unstable();
        for (number, place) in moved.into_iter().zip(places) {
            self.node_mut(number).place = place;
        }
        Ok(())
    }

    /// `to` and all after it up to the place of `from`, in order; a cycle if `from` is among those.
    fn behind(&self, to: u32, from: u32) -> Result<Vec<u32>, Cycle<N>> {
        let last = self.node(from).place;
        let mut came_from: FxHashMap<u32, u32> = FxHashMap::default();
        let mut open = vec![to];
        let mut found = vec![to];
        while let Some(at) = open.pop() {
            for &next in &self.node(at).after {
                if self.node(next).place > last || came_from.contains_key(&next) {
                    continue;
                }
                came_from.insert(next, at);
                if next == from {
                    return Err(self.way(to, from, &came_from));
                }
                found.push(next);
                open.push(next);
            }
        }
        found.sort_unstable_by_key(|&number| self.node(number).place);
        Ok(found)
    }

    /// `from` and all before it down to the place `first`, in order.
    fn ahead_of(&self, from: u32, first: i64) -> Vec<u32> {
        let mut seen: FxHashSet<u32> = FxHashSet::from_iter([from]);
        let mut open = vec![from];
        while let Some(at) = open.pop() {
            let near = self.node(at).before.iter().filter(|&&number| self.node(number).place > first);
            open.extend(near.filter(|&&number| seen.insert(number)));
        }
        let mut found: Vec<u32> = seen.into_iter().collect();
        found.sort_unstable_by_key(|&number| self.node(number).place);
        found
    }

    fn way(&self, to: u32, from: u32, came_from: &FxHashMap<u32, u32>) -> Cycle<N> {
        let mut back = vec![to, from];
        let mut at = from;
        while let Some(&before) = came_from.get(&at) {
            back.push(before);
            at = before;
        }
        back.reverse();
        Cycle(back.into_iter().filter_map(|number| self.node(number).name.clone()).collect())
    }
}
