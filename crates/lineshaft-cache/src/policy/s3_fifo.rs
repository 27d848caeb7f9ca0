//! S3-FIFO: three queues and two bits (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023).
//!
//! Who comes waits in a small queue of a tenth of the room. At its end, who was used more than once moves to the main
//! queue, and the others go, leaving their hash in a ghost queue; who comes back while it is there goes to the main
//! queue at once. There, who was used goes round once more for each use, of which three are counted. Who is heavier than
//! the small queue by itself comes into the main one: in the small one it would be the next to go.

use super::ghost::Ghost;
use super::list::{Links, List};
use super::{Facts, Policy};
use crate::column::grow;

const USES: u8 = 0b011;
const IS_MAIN: u8 = 0b100;

pub(super) struct S3Fifo {
    links: Links,
    small: List,
    main: List,
    marks: Vec<u8>,
    ghost: Ghost,
    small_max: u64,
    main_max: u64,
    /// Whether somebody had to go. Before that the main queue takes what the small one has no room for: to keep the
    /// rest of the room empty would help nobody.
    has_evicted: bool,
}

impl S3Fifo {
    pub(super) fn new(max: u64) -> Self {
        let small_max = (max / 10).max(1);
        Self {
            links: Links::default(),
            small: List::new(),
            main: List::new(),
            marks: Vec::new(),
            ghost: Ghost::new(),
            small_max,
            main_max: max.saturating_sub(small_max),
            has_evicted: false,
        }
    }

    fn put(&mut self, slot: u32, is_main: bool, facts: &dyn Facts) {
        let list = if is_main { &mut self.main } else { &mut self.small };
        list.push(&mut self.links, slot, facts.weight(slot));
        let len = slot as usize + 1;
        if len > self.marks.len() {
            grow(&mut self.marks, len, usize::MAX);
            self.marks.resize(len, 0);
        }
        self.marks[slot as usize] = if is_main { IS_MAIN } else { 0 };
    }

    /// Somebody at the end of the small queue goes, or moves on.
    fn pass_small(&mut self, slot: u32, facts: &dyn Facts) -> Option<u32> {
        self.small.remove(&mut self.links, slot, facts.weight(slot));
        if self.marks[slot as usize] & USES > 1 {
            self.put(slot, true, facts);
            return None;
        }
        self.ghost.push(facts.hash(slot), (facts.len() as usize * 9 / 10).max(1));
        Some(slot)
    }

    /// Somebody at the end of the main queue goes, or goes round.
    fn pass_main(&mut self, slot: u32, facts: &dyn Facts) -> Option<u32> {
        if self.marks[slot as usize] & USES > 0 {
            self.marks[slot as usize] -= 1;
            self.main.renew(&mut self.links, slot);
            return None;
        }
        self.main.remove(&mut self.links, slot, facts.weight(slot));
        Some(slot)
    }
}

impl Policy for S3Fifo {
    fn insert(&mut self, slot: u32, facts: &dyn Facts) {
        let is_back = self.ghost.take(facts.hash(slot));
        let overflows = !self.has_evicted && self.small.weight >= self.small_max;
        let is_heavy = u64::from(facts.weight(slot)) > self.small_max;
        self.put(slot, is_back || overflows || is_heavy, facts);
    }

    fn touch(&mut self, slot: u32, _: &dyn Facts) {
        let mark = &mut self.marks[slot as usize];
        if *mark & USES < USES {
            *mark += 1;
        }
    }

    fn remove(&mut self, slot: u32, facts: &dyn Facts) {
        let list = if self.marks[slot as usize] & IS_MAIN == 0 { &mut self.small } else { &mut self.main };
        list.remove(&mut self.links, slot, facts.weight(slot));
    }

    fn evict(&mut self, _: u32, facts: &dyn Facts) -> Option<u32> {
        self.has_evicted = true;
        loop {
            let is_main = self.main.weight > self.main_max || self.small.is_empty();
            let gone = if is_main {
                let slot = self.main.oldest()?;
                self.pass_main(slot, facts)
            } else {
                let slot = self.small.oldest()?;
                self.pass_small(slot, facts)
            };
            if gone.is_some() {
                return gone;
            }
        }
    }

    fn clear(&mut self) {
        *self = Self { small_max: self.small_max, main_max: self.main_max, ..Self::new(0) };
    }
}
