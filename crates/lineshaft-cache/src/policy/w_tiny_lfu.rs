//! W-TinyLFU: a small window, a main part in two segments, and a sketch of how often everybody was asked for (Einziger,
//! Friedman and Manes, "`TinyLFU`: a highly efficient cache admission policy", 2017).
//!
//! Who comes waits in a window of a hundredth of the room. At its end it competes with the next to go of the main
//! part, and who was asked for more often stays. In the main part everybody is on probation until used again; four
//! fifths of it are for those who were.

use super::list::{Links, List};
use super::sketch::Sketch;
use super::{Facts, Policy};
use crate::column::grow;

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

pub(super) struct WTinyLfu {
    links: Links,
    /// Window, probation, protected.
    lists: [List; 3],
    list_of: Vec<u8>,
    sketch: Sketch,
    max: u64,
    window_max: u64,
    protected_max: u64,
}

impl WTinyLfu {
    pub(super) fn new(max: u64) -> Self {
        let window_max = (max / 100).max(1);
        Self {
            links: Links::default(),
            lists: [List::new(), List::new(), List::new()],
            list_of: Vec::new(),
            sketch: Sketch::new(),
            max,
            window_max,
            protected_max: max.saturating_sub(window_max) / 5 * 4,
        }
    }

    fn put(&mut self, slot: u32, list: usize, facts: &dyn Facts) {
        self.lists[list].push(&mut self.links, slot, facts.weight(slot));
        self.list_of[slot as usize] = list as u8;
    }

    fn transfer(&mut self, slot: u32, list: usize, facts: &dyn Facts) {
        self.remove(slot, facts);
        self.put(slot, list, facts);
    }

    fn demote_protected(&mut self, facts: &dyn Facts) {
        while self.lists[PROTECTED].weight > self.protected_max {
            let Some(slot) = self.lists[PROTECTED].oldest() else { return };
            self.transfer(slot, PROBATION, facts);
        }
    }

    /// Who of the two is asked for more seldom; in doubt who comes.
    fn weaker(&self, candidate: u32, victim: u32, facts: &dyn Facts) -> u32 {
        let count = |slot| self.sketch.count(facts.hash(slot));
        if count(candidate) > count(victim) { victim } else { candidate }
    }
}

impl Policy for WTinyLfu {
    fn insert(&mut self, slot: u32, facts: &dyn Facts) {
        self.sketch.make_room(facts.len());
        self.sketch.add(facts.hash(slot));
        let len = slot as usize + 1;
        if len > self.list_of.len() {
            grow(&mut self.list_of, len, usize::MAX);
            self.list_of.resize(len, 0);
        }
        self.put(slot, WINDOW, facts);
        while self.lists[WINDOW].weight > self.window_max {
            let Some(oldest) = self.lists[WINDOW].oldest().filter(|&oldest| oldest != slot) else { return };
            self.transfer(oldest, PROBATION, facts);
        }
    }

    fn touch(&mut self, slot: u32, facts: &dyn Facts) {
        self.sketch.add(facts.hash(slot));
        match self.list_of[slot as usize] as usize {
            PROBATION => {
                self.transfer(slot, PROTECTED, facts);
                self.demote_protected(facts);
            }
            list => self.lists[list].renew(&mut self.links, slot),
        }
    }

    fn remove(&mut self, slot: u32, facts: &dyn Facts) {
        let list = self.list_of[slot as usize] as usize;
        self.lists[list].remove(&mut self.links, slot, facts.weight(slot));
    }

    fn evict(&mut self, incoming: u32, facts: &dyn Facts) -> Option<u32> {
        let overflows = self.lists[WINDOW].weight + u64::from(incoming) > self.window_max;
        let candidate = self.lists[WINDOW].oldest().filter(|_| overflows);
        let victim = self.lists[PROBATION].oldest().or(self.lists[PROTECTED].oldest());
        let gone = match (candidate, victim) {
            (Some(candidate), Some(victim)) => self.weaker(candidate, victim, facts),
            (candidate, victim) => candidate.or(victim).or(self.lists[WINDOW].oldest())?,
        };
        self.remove(gone, facts);
        if let Some(winner) = candidate.filter(|&candidate| candidate != gone) {
            self.transfer(winner, PROBATION, facts);
        }
        Some(gone)
    }

    fn clear(&mut self) {
        *self = Self::new(self.max);
    }
}
