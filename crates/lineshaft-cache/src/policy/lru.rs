//! The least recently used goes first.

use super::list::{Links, List};
use super::{Facts, Policy};

pub(super) struct Lru {
    links: Links,
    list: List,
}

impl Lru {
    pub(super) fn new() -> Self {
        Self { links: Links::default(), list: List::new() }
    }
}

impl Policy for Lru {
    fn insert(&mut self, slot: u32, facts: &dyn Facts) {
        self.list.push(&mut self.links, slot, facts.weight(slot));
    }

    fn touch(&mut self, slot: u32, _: &dyn Facts) {
        self.list.renew(&mut self.links, slot);
    }

    fn remove(&mut self, slot: u32, facts: &dyn Facts) {
        self.list.remove(&mut self.links, slot, facts.weight(slot));
    }

    fn evict(&mut self, _: u32, facts: &dyn Facts) -> Option<u32> {
        let slot = self.list.oldest()?;
        self.remove(slot, facts);
        Some(slot)
    }

    fn clear(&mut self) {
        *self = Self::new();
    }
}
