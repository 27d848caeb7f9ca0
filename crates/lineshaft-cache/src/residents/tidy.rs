//! Invalidating, and giving back the room of what is dead: a little with every entry that comes.

use super::{Freshness, Reason, Residents, Stamp, Tags};

/// Slots that are looked at for an entry that comes: enough to be through before as many have come as there are.
const STEP: u32 = 16;

impl<T> Residents<T> {
    /// The present moment: an entry whose computing began now is untrue if something of it is invalidated later.
    pub fn stamp(&self) -> Stamp {
        Stamp(self.present)
    }

    /// Makes every entry with this tag untrue. O(1): they go when somebody comes across them. Whether there were any.
    pub fn invalidate_tag(&mut self, tag: &str) -> bool {
        self.advance();
        let is_known = self.tags.invalidate(tag, self.present);
        if is_known {
            self.sweep_left = self.items.len() as u32;
        }
        is_known
    }

    /// Makes every entry untrue: a new version of all that is here. O(1), as for a tag.
    pub fn invalidate_all(&mut self) {
        self.advance();
        self.true_since = self.present;
        self.sweep_left = self.items.len() as u32;
    }

    /// Lets go of everybody whose time is over or who is not true any more. O(entries).
    pub fn purge(&mut self, now_ms: u64) {
        for slot in 0..self.items.len() as u32 {
            self.drop_if_dead(slot, now_ms);
        }
        self.sweep_left = 0;
    }

    /// Gives back some of the room of those who are dead.
    pub fn tidy(&mut self, now_ms: u64) {
        for _ in 0..STEP {
            let Some(slot) = self.expiries.next(now_ms) else { break };
            if !self.drop_if_dead(slot, now_ms) {
                self.watch_again(slot);
            }
        }
        for _ in 0..STEP.min(self.sweep_left) {
            self.sweep_left -= 1;
            self.sweep_at = if self.sweep_at as usize + 1 < self.items.len() { self.sweep_at + 1 } else { 0 };
            self.drop_if_dead(self.sweep_at, now_ms);
        }
    }

    fn drop_if_dead(&mut self, slot: u32, now_ms: u64) -> bool {
        if self.get(slot).is_none() {
            return true;
        }
        let Freshness::Dead(reason) = self.freshness(slot, now_ms) else { return false };
        self.remove(slot, reason);
        true
    }

    fn watch_again(&mut self, slot: u32) {
        if self.is_mortal(slot) {
            let at_ms = self.table.rows[slot as usize].expires_ms.saturating_add(self.stale_ms);
            self.expiries.watch(slot, at_ms, self.len_max());
        }
    }

    /// The next moment. Their numbers come to an end after 2^32 of them: then everybody goes, and they begin anew.
    fn advance(&mut self) {
        if self.present >= u32::MAX - 1 {
            self.clear(Reason::Invalidated);
            (self.present, self.true_since, self.tags) = (1, 0, Tags::default());
        }
        self.present += 1;
    }
}
