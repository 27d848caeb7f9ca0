//! What the values of the cache are computed from, and what of it was said to be in place.

use crate::simulation::cacher::KEYS;

/// The numbers of all keys.
#[derive(Clone, Default)]
pub(in crate::simulation) struct Cache {
    /// What each would be computed as now.
    source: [u64; KEYS.len()],
    /// The newest number of each that nobody may be given an older one than.
    told: [u64; KEYS.len()],
    /// Whether a value was stored since anybody began to make the key's untrue: then there must be one.
    is_kept: [bool; KEYS.len()],
    /// Invalidations that hit the key, and of which nobody knows yet whether they are carried out.
    under_way: [u32; KEYS.len()],
    /// How often somebody began to change or to invalidate the key.
    changes: [u64; KEYS.len()],
    /// The disk was full: then what is cached goes.
    was_full: bool,
    /// Values that were found.
    pub(in crate::simulation) found: u64,
}

fn hit(key: usize, all: bool) -> impl Iterator<Item = usize> {
    (0..KEYS.len()).filter(move |at| all || *at == key)
}

impl Cache {
    /// The number of a key grows, and somebody begins to store it.
    pub(in crate::simulation) fn grow(&mut self, key: usize) -> u64 {
        self.source[key] += 1;
        self.changes[key] += 1;
        self.is_kept[key] = false;
        self.source[key]
    }

    /// The number of a key grows, and somebody begins to say so: of all keys, by their tag, or of this one.
    pub(in crate::simulation) fn change(&mut self, key: usize, all: bool) -> u64 {
        for at in hit(key, all) {
            self.is_kept[at] = false;
            self.under_way[at] += 1;
            self.changes[at] += 1;
        }
        self.grow(key)
    }

    /// It was acknowledged that nobody is given older ones any more.
    pub(in crate::simulation) fn changed(&mut self, key: usize, all: bool, value: u64) {
        for at in hit(key, all) {
            self.is_kept[at] = false;
            self.under_way[at] -= 1;
        }
        self.told[key] = self.told[key].max(value);
    }

    /// The disk is full: nothing has to be kept any more.
    pub(in crate::simulation) fn disk_is_full(&mut self) {
        self.was_full = true;
    }

    /// How often somebody began to change or to invalidate a key.
    pub(in crate::simulation) fn changes(&self, key: usize) -> u64 {
        self.changes[key]
    }

    /// What a key is computed as.
    pub(in crate::simulation) fn computed(&self, key: usize) -> u64 {
        self.source[key]
    }

    /// A value is stored, when the key had changed so often. Without a ticket nobody is given an older one any more.
    pub(in crate::simulation) fn stored(&mut self, key: usize, value: u64, is_put: bool, changes: u64) {
        if is_put {
            self.told[key] = self.told[key].max(value);
        }
        self.is_kept[key] = self.under_way[key] == 0 && self.changes[key] == changes;
    }

    /// What a look-up that leaves now may be answered with: no older number than this, and whether with one at all.
    pub(in crate::simulation) fn expected(&self, key: usize) -> (u64, bool) {
        (self.told[key], self.is_kept[key] && !self.was_full)
    }

    /// A look-up was answered.
    ///
    /// Errors if it was given what is not true any more, or what never was, or nothing although there must be a value.
    pub(in crate::simulation) fn found(
        &mut self,
        key: usize,
        found: Option<u64>,
        least: u64,
        must: bool,
    ) -> Result<(), String> {
        let name = KEYS[key];
        match found {
            Some(number) if number < least => {
                Err(format!("{name} is {number} although it is {least} by now"))
            }
            Some(number) if number > self.source[key] => {
                Err(format!("{name} is {number}, which nobody stored"))
            }
            Some(_) => {
                self.found += 1;
                Ok(())
            }
            None if must && self.is_kept[key] && !self.was_full => {
                Err(format!("the value of {name} is lost"))
            }
            None => Ok(()),
        }
    }
}
