//! Looking entries up, and what that tells about them.

use super::{Freshness, Idle, NEVER, Reason, Residents, spread};
use crate::policy::Facts;

impl<T> Residents<T> {
    /// The slot of the entry of `hash` that `is_it`.
    pub fn find(&self, hash: u32, mut is_it: impl FnMut(&T) -> bool) -> Option<u32> {
        let is_found = |&slot: &u32| self.table.hash(slot) == hash && self.get(slot).is_some_and(&mut is_it);
        self.index.find(spread(hash), is_found).copied()
    }

    /// Who is in `slot`.
    pub fn get(&self, slot: u32) -> Option<&T> {
        self.items.get(slot as usize)?.as_ref()
    }

    /// The tags of the resident of `slot`.
    pub fn tags(&self, slot: u32) -> Vec<String> {
        self.tags.names(self.tag_sets.get(slot))
    }

    /// Whether the resident of `slot` may be served now. Counts nothing.
    pub fn freshness(&mut self, slot: u32, now_ms: u64) -> Freshness {
        let row = self.table.rows[slot as usize];
        let tags = self.tag_sets.get(slot);
        if row.stamp < self.true_since || !self.tags.is_true(tags, row.stamp, self.present) {
            return Freshness::Dead(Reason::Invalidated);
        }
        if now_ms < row.expires_ms {
            Freshness::Fresh
        } else if now_ms < row.expires_ms.saturating_add(self.stale_ms) {
            Freshness::Stale
        } else {
            Freshness::Dead(Reason::Expired)
        }
    }

    /// Whether the resident of `slot` can ever be anything but fresh: who asks need not know the time otherwise.
    pub fn is_mortal(&self, slot: u32) -> bool {
        self.table.rows[slot as usize].expires_ms != NEVER
    }

    /// The resident of `slot` was looked up and served.
    pub fn touch(&mut self, slot: u32, now_ms: u64) {
        self.statistics.hits += 1;
        self.policy.touch(slot, &self.table);
        let tags = self.tag_sets.get(slot);
        self.tags.count_hit(tags);
        let Idle { idle_ms, dies_ms } = self.idles.get(slot);
        if idle_ms != 0 {
            self.table.rows[slot as usize].expires_ms = dies_ms.min(now_ms.saturating_add(idle_ms));
        }
    }

    /// Of the hits one was with a value whose time was over.
    pub fn count_stale(&mut self) {
        self.statistics.stale_hits += 1;
    }

    /// Somebody was looked up who is not here.
    pub fn count_miss(&mut self) {
        self.statistics.misses += 1;
    }

    /// Whether whoever looks the resident of `slot` up should compute it anew although it is fresh, so that not
    /// everybody does when its time is over.
    ///
    /// `XFetch` (Vattani, Chierichetti and Lowenstein, "Optimal probabilistic cache stampede prevention", VLDB 2015): the
    /// nearer the end and the longer the computing took, the more likely. `chance` gives a random number, over 0 and up
    /// to 1.
    pub fn is_early(&self, slot: u32, now_ms: u64, chance: impl FnOnce() -> f64) -> bool {
        let expires_ms = self.table.rows[slot as usize].expires_ms;
        if self.early <= 0.0 || expires_ms == NEVER {
            return false;
        }
        let ahead_ms = f64::from(self.costs.get(slot)) * self.early * -chance().ln();
        now_ms as f64 + ahead_ms >= expires_ms as f64
    }
}
