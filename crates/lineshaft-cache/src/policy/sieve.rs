//! SIEVE: one queue and a hand that goes from the oldest to the newest, spares who was visited and takes who was not
//! (Zhang et al., "SIEVE is simpler than LRU", NSDI 2024). Nobody moves, so a use only sets a bit.

use super::list::{Links, List};
use super::{Facts, Policy};
use crate::column::grow;

pub(super) struct Sieve {
    links: Links,
    list: List,
    is_visited: Vec<bool>,
    /// Where it looks next; the oldest if `None`.
    hand: Option<u32>,
}

impl Sieve {
    pub(super) fn new() -> Self {
        Self { links: Links::default(), list: List::new(), is_visited: Vec::new(), hand: None }
    }
}

impl Policy for Sieve {
    fn insert(&mut self, slot: u32, facts: &dyn Facts) {
        self.list.push(&mut self.links, slot, facts.weight(slot));
        let len = slot as usize + 1;
        if len > self.is_visited.len() {
            grow(&mut self.is_visited, len, usize::MAX);
            self.is_visited.resize(len, false);
        }
        self.is_visited[slot as usize] = false;
    }

    fn touch(&mut self, slot: u32, _: &dyn Facts) {
        self.is_visited[slot as usize] = true;
    }

    fn remove(&mut self, slot: u32, facts: &dyn Facts) {
        if self.hand == Some(slot) {
            self.hand = self.links.newer(slot);
        }
        self.list.remove(&mut self.links, slot, facts.weight(slot));
    }

    fn evict(&mut self, _: u32, facts: &dyn Facts) -> Option<u32> {
        let mut slot = self.hand.or(self.list.oldest())?;
        while std::mem::take(&mut self.is_visited[slot as usize]) {
            slot = self.links.newer(slot).or(self.list.oldest())?;
        }
        self.hand = Some(slot);
        self.remove(slot, facts);
        Some(slot)
    }

    fn clear(&mut self) {
        *self = Self::new();
    }
}
