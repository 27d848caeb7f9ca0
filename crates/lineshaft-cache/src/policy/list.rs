//! Lists of slots, linked through a table that the lists of a policy share.

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

/// Where each slot is in the list that it is in.
#[derive(Debug, Default)]
pub(crate) struct Links(Vec<Link>);

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: u32,
    older: u32,
}

impl Links {
    /// The neighbour of `slot` that came after it.
    pub(crate) fn newer(&self, slot: u32) -> Option<u32> {
        Some(self.0[slot as usize].newer).filter(|&newer| newer != NONE)
    }

    fn make_room(&mut self, slot: u32) {
        let len = slot as usize + 1;
        if len > self.0.len() {
            crate::column::grow(&mut self.0, len, usize::MAX);
            self.0.resize(len, Link { newer: NONE, older: NONE });
        }
    }
}

/// Slots from the newest to the oldest, and the sum of what they weigh.
#[derive(Debug)]
pub(crate) struct List {
    newest: u32,
    oldest: u32,
    pub(crate) weight: u64,
}

impl List {
    pub(crate) const fn new() -> Self {
        Self { newest: NONE, oldest: NONE, weight: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.newest == NONE
    }

    pub(crate) fn oldest(&self) -> Option<u32> {
        Some(self.oldest).filter(|&oldest| oldest != NONE)
    }

    pub(crate) fn push(&mut self, links: &mut Links, slot: u32, weight: u32) {
        links.make_room(slot);
        let older = std::mem::replace(&mut self.newest, slot);
        links.0[slot as usize] = Link { newer: NONE, older };
        match older {
            NONE => self.oldest = slot,
            older => links.0[older as usize].newer = slot,
        }
        self.weight += u64::from(weight);
    }

    pub(crate) fn remove(&mut self, links: &mut Links, slot: u32, weight: u32) {
        let Link { newer, older } = links.0[slot as usize];
        match newer {
            NONE => self.newest = older,
            newer => links.0[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => links.0[older as usize].newer = newer,
        }
        self.weight -= u64::from(weight);
    }

    /// Makes `slot`, which is in it, the newest.
    pub(crate) fn renew(&mut self, links: &mut Links, slot: u32) {
        if self.newest != slot {
            self.remove(links, slot, 0);
            self.push(links, slot, 0);
        }
    }
}
