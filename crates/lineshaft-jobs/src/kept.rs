//! Which stored bytes are still needed: what pins the journal and cold files, counted and never looked up one by one.
//!
//! Commits are counted in stretches, because one number for each would cost more than the jobs where every job came in
//! a commit of its own: 16 commits share some 40 bytes.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use crate::change::Place;

/// Commits of a stretch, as a power of two.
const STRETCH_SHIFT: u32 = 4;

/// Payloads that are needed, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// How many.
    pub payloads: u64,
    /// Their bytes, without anything around them.
    pub bytes: u64,
}

/// The needed payloads of all jobs in memory.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// By the commit's number / 16.
    commits: BTreeMap<u64, Live>,
    /// By the number of the cold file.
    cold: BTreeMap<u64, Live>,
    blobs: FxHashSet<u64>,
}

impl Kept {
    pub(crate) fn add(&mut self, place: Place) {
        if place.is_blob() {
            self.blobs.insert(place.lsn);
        } else if let Some((table, key)) = self.table(place) {
            table.entry(key).or_default().add(place);
        }
    }

    /// Takes back one [`Kept::add`].
    pub(crate) fn remove(&mut self, place: Place) {
        if place.is_blob() {
            self.blobs.remove(&place.lsn);
        } else if let Some((table, key)) = self.table(place) {
            let live = table.get_mut(&key).expect("kept places are counted");
            live.payloads -= 1;
            live.bytes -= u64::from(place.length);
            if live.payloads == 0 {
                table.remove(&key);
            }
        }
    }

    fn table(&mut self, place: Place) -> Option<(&mut BTreeMap<u64, Live>, u64)> {
        if place.is_in_commit() {
            Some((&mut self.commits, place.lsn >> STRETCH_SHIFT))
        } else if place.is_cold() {
            Some((&mut self.cold, place.lsn))
        } else {
            None
        }
    }

    /// The first commit of the oldest stretch with a needed payload.
    pub(crate) fn oldest_lsn(&self) -> Option<u64> {
        self.commits.keys().next().map(|stretch| stretch << STRETCH_SHIFT)
    }

    /// What is needed of the commits below `lsn`, whole stretches counted.
    pub(crate) fn live_below(&self, lsn: u64) -> Live {
        self.below(lsn).fold(Live::default(), |sum, (_, live)| sum.and(*live))
    }

    /// The commit, at most `lsn`, below which no more is needed than `most`; beyond the oldest stretch in any case.
    pub(crate) fn cut(&self, lsn: u64, most: Live) -> u64 {
        let mut sum = Live::default();
        let mut cut = None;
        for (stretch, live) in self.below(lsn) {
            sum = sum.and(*live);
            if cut.is_some() && (sum.bytes > most.bytes || sum.payloads > most.payloads) {
                return cut.unwrap_or(lsn);
            }
            cut = Some(((stretch + 1) << STRETCH_SHIFT).min(lsn));
        }
        lsn
    }

    fn below(&self, lsn: u64) -> impl Iterator<Item = (&u64, &Live)> {
        let end = lsn.div_ceil(1 << STRETCH_SHIFT);
        self.commits.range(..end)
    }

    pub(crate) fn cold(&self) -> &BTreeMap<u64, Live> {
        &self.cold
    }

    pub(crate) fn blobs(&self) -> &FxHashSet<u64> {
        &self.blobs
    }
}

impl Live {
    fn add(&mut self, place: Place) {
        self.payloads += 1;
        self.bytes += u64::from(place.length);
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { payloads: self.payloads + other.payloads, bytes: self.bytes + other.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lsn: u64, length: u32) -> Place {
        Place { lsn, offset: 1, length }
    }

    #[test]
    fn what_is_added_is_counted_where_it_lies_until_it_is_removed() {
        let mut kept = Kept::default();
        let places = [at(3, 10), at(15, 5), at(16, 7), at(400, 1), Place::cold(8, 40, 9), Place::EMPTY];
        places.iter().for_each(|place| kept.add(*place));
        kept.add(Place { lsn: 77, offset: Place::BLOB, length: 2_000_000 });
        assert_eq!(kept.live_below(1), Live { payloads: 2, bytes: 15 }, "the stretch as a whole");
        assert_eq!(kept.live_below(16), Live { payloads: 2, bytes: 15 });
        assert_eq!(kept.live_below(17), Live { payloads: 3, bytes: 22 });
        assert_eq!(kept.cold(), &BTreeMap::from([(8, Live { payloads: 1, bytes: 9 })]));
        assert!(kept.blobs().contains(&77));
        kept.remove(at(3, 10));
        assert_eq!(kept.oldest_lsn(), Some(0));
        kept.remove(at(15, 5));
        assert_eq!(kept.oldest_lsn(), Some(16));
        kept.remove(Place::cold(8, 40, 9));
        assert!(kept.cold().is_empty());
    }

    #[test]
    fn a_cut_takes_what_fits_and_at_least_the_oldest_stretch() {
        let mut kept = Kept::default();
        for (lsn, length) in [(20, 100), (40, 1), (60, 1), (900, 50)] {
            kept.add(at(lsn, length));
        }
        let most = |payloads, bytes| Live { payloads, bytes };
        assert_eq!(kept.cut(1_000, most(9, 10)), 32, "the oldest one is too large, and goes alone");
        assert_eq!(kept.cut(1_000, most(9, 101)), 48);
        assert_eq!(kept.cut(1_000, most(2, 900)), 48);
        assert_eq!(kept.cut(1_000, most(9, 151)), 64);
        assert_eq!(kept.cut(1_000, most(9, 152)), 1_000, "everything fits");
        assert_eq!(kept.cut(45, most(9, 152)), 45);
        assert_eq!(Kept::default().cut(45, most(9, 9)), 45);
    }
}
