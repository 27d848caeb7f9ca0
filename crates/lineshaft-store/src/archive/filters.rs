//! Which ids blocks are sure not to have, so that a search for a job passes them by.
//!
//! Headers say the least and the greatest id of a block. One job that was made long before the others ended makes that
//! say little, and without more a search would read the index of each block. Filters are made of indexes as searches
//! read them, and kept in memory alone: nothing on the disk has to agree with them, and who never searches pays nothing.

use std::collections::BTreeMap;

use lineshaft_structures::BloomFilter;
use lineshaft_wire::JobId;

use super::index::fingerprint;

/// Bits for each job: of the blocks that do not have one, one in 760 is read for nothing.
const BITS: u32 = 16;
/// Blocks that have filters, the newest: 2 KB each, 32 MiB for sixteen million jobs.
const FILTERS_MAX: usize = 16_384;
/// Filters that a search makes at most: one takes some 20 us, and the first search after a start is not to wait for all.
pub(crate) const FILTERS_PER_SEARCH: usize = 256;

/// Filters of blocks by their first finish number.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    of_blocks: BTreeMap<u64, BloomFilter>,
}

/// The filter of a block with these fingerprints; none if there is no room for it.
pub(crate) fn filter(fingerprints: impl ExactSizeIterator<Item = u32>) -> Option<BloomFilter> {
    let mut filter = BloomFilter::with_bits(fingerprints.len() as u64, BITS).ok()?;
    for fingerprint in fingerprints {
        filter.insert(spread(fingerprint));
    }
    Some(filter)
}

/// Whether a block with this filter may have the job.
pub(crate) fn may_have(filter: &BloomFilter, id: JobId) -> bool {
    filter.contains(spread(fingerprint(id)))
}

impl Filters {
    pub(crate) fn get(&self, block: u64) -> Option<&BloomFilter> {
        self.of_blocks.get(&block)
    }

    /// Whether a block has no filter, and there is room for one or it is newer than some that have.
    pub(crate) fn want(&self, block: u64) -> bool {
        let is_newer = self.of_blocks.first_key_value().is_none_or(|(first, _)| block > *first);
        !self.of_blocks.contains_key(&block) && (self.of_blocks.len() < FILTERS_MAX || is_newer)
    }

    pub(crate) fn add(&mut self, block: u64, filter: BloomFilter) {
        self.of_blocks.insert(block, filter);
        if self.of_blocks.len() > FILTERS_MAX {
            self.of_blocks.pop_first();
        }
    }

    pub(crate) fn remove(&mut self, block: u64) {
        self.of_blocks.remove(&block);
    }
}

/// All bits of 64 from the 32 of a fingerprint: the last step of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn spread(fingerprint: u32) -> u64 {
    let mixed = u64::from(fingerprint).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> JobId {
        JobId::direct(1, 2, number, 4)
    }

    #[test]
    fn who_is_there_may_be_and_most_others_may_not() {
        let filter = filter((0..1_000).map(|number| fingerprint(id(number)))).unwrap();
        assert!((0..1_000).all(|number| may_have(&filter, id(number))));
        let wrong = (1_000..101_000).filter(|number| may_have(&filter, id(*number))).count();
        assert!(wrong < 300, "{wrong} of 100,000 others may be there");
    }

    #[test]
    fn the_newest_blocks_have_filters() {
        let mut filters = Filters::default();
        let filter = filter([1, 2].into_iter()).unwrap();
        (0..=FILTERS_MAX as u64).rev().for_each(|block| filters.add(block, filter.clone()));
        let has = |block| filters.get(block).is_some();
        assert!(!has(0) && has(1) && has(FILTERS_MAX as u64));
        assert!(!filters.want(0) && !filters.want(1) && filters.want(FILTERS_MAX as u64 + 1));
    }
}
