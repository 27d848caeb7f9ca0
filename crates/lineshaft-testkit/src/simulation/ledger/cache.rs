//! What the values of the cache are computed from, and what of it was said to be in place.

use crate::simulation::cacher::{KEYS, NONE, Numbers, SOURCES};

/// The numbers of all keys.
#[derive(Clone, Default)]
pub(in crate::simulation) struct Cache {
    /// What each would be computed as now.
    source: [u64; KEYS.len()],
    /// The newest number of each that nobody may be given an older one than.
    told: [u64; KEYS.len()],
    /// The newest number of each that was said to be in place by an invalidation: what was computed from an older one is not
    /// true any more.
    invalidated: [u64; KEYS.len()],
    /// Whether a value was stored since anybody began to make the key's untrue: then there must be one.
    is_kept: [bool; KEYS.len()],
    /// Invalidations that hit the key and values that its source gets, of which nobody knows yet whether they are carried out.
    under_way: [u32; KEYS.len()],
    /// How often somebody began to change or to invalidate the key.
    changes: [u64; KEYS.len()],
    /// The disk was full: then what is cached goes.
    was_full: bool,
    /// Values that were found.
    pub(in crate::simulation) found: u64,
}

fn hit(key: usize, all: bool) -> impl Iterator<Item = usize> {
    (0..KEYS.len()).filter(move |at| all || *at == key || SOURCES[*at] == Some(key))
}

fn made_of(key: usize) -> impl Iterator<Item = usize> {
    (0..KEYS.len()).filter(move |at| SOURCES[*at] == Some(key))
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
        self.invalidated[key] = self.invalidated[key].max(value);
    }

    /// Somebody begins to store a value: what is made of it may go. Gives how often the key had changed.
    pub(in crate::simulation) fn begin_store(&mut self, key: usize) -> u64 {
        for at in made_of(key) {
            self.is_kept[at] = false;
            self.under_way[at] += 1;
            self.changes[at] += 1;
        }
        self.changes[key]
    }

    /// It was stored, or not.
    pub(in crate::simulation) fn end_store(&mut self, key: usize) {
        for at in made_of(key) {
            self.is_kept[at] = false;
            self.under_way[at] -= 1;
        }
    }

    /// The disk is full: nothing has to be kept any more.
    pub(in crate::simulation) fn disk_is_full(&mut self) {
        self.was_full = true;
    }

    /// What a key is computed as, and from.
    pub(in crate::simulation) fn computed(&self, key: usize) -> Numbers {
        Numbers { own: self.source[key], source: SOURCES[key].map_or(NONE, |source| self.source[source]) }
    }

    /// A value is stored, when the key had changed so often. Without a ticket nobody is given an older one any more.
    pub(in crate::simulation) fn stored(&mut self, key: usize, value: u64, is_put: bool, changes: u64) {
        if is_put {
            self.told[key] = self.told[key].max(value);
        }
        self.is_kept[key] = self.under_way[key] == 0 && self.changes[key] == changes;
    }

    /// What a look-up that leaves now may be answered with: no older numbers than these, and whether with some at all.
    pub(in crate::simulation) fn expected(&self, key: usize) -> (Numbers, bool) {
        let least = Numbers {
            own: self.told[key],
            source: SOURCES[key].map_or(0, |source| self.invalidated[source]),
        };
        (least, self.is_kept[key] && !self.was_full)
    }

    /// A look-up was answered.
    ///
    /// Errors if it was given what is not true any more, or what never was, or nothing although there must be a value.
    pub(in crate::simulation) fn found(
        &mut self,
        key: usize,
        found: Option<Numbers>,
        least: Numbers,
        must: bool,
    ) -> Result<(), String> {
        let name = KEYS[key];
        let Some(Numbers { own, source }) = found else {
            let is_lost = must && self.is_kept[key] && !self.was_full;
            return if is_lost { Err(format!("the value of {name} is lost")) } else { Ok(()) };
        };
        if own < least.own {
            return Err(format!("{name} is {own} although it is {} by now", least.own));
        }
        if source < least.source {
            return Err(format!(
                "{name} is made of number {source} although that is {} by now",
                least.source
            ));
        }
        if own > self.source[key] || SOURCES[key].is_some_and(|of| source != NONE && source > self.source[of])
        {
            return Err(format!("{name} is {own} made of {source}, which nobody stored"));
        }
        self.found += 1;
        Ok(())
    }
}
