//! A set of numbers that are taken out in ascending order, around and around.

use crate::paged_vec::{PAGE_LEN, split};

const WORDS: usize = PAGE_LEN / 64;

/// Numbers, a bit each; [`Self::take`] gives the next one after the last that it gave.
///
/// Finding it costs a look at each word up to it in its page and at each page between, thousands for millions of numbers
/// if there is only one, and next to nothing if there are many.
#[derive(Clone, Debug, Default)]
pub struct CyclicSet {
    pages: Vec<Page>,
    len: u32,
    hand: u32,
}

#[derive(Clone, Debug)]
struct Page {
    len: u32,
    words: Box<[u64; WORDS]>,
}

impl CyclicSet {
    /// No numbers; the first one taken is the lowest from `hand` on. Allocates nothing.
    pub const fn from_hand(hand: u32) -> Self {
        Self { pages: Vec::new(), len: 0, hand }
    }

    /// How many there are.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the next one is looked for: one after the last that was taken.
    pub const fn hand(&self) -> u32 {
        self.hand
    }

    /// Adds a number; nothing happens if it is there. Allocates a bit for each one of its page of [`PAGE_LEN`] and of
    /// those before.
    pub fn insert(&mut self, number: u32) {
        let (page, offset) = split(number);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || Page { len: 0, words: Box::new([0; WORDS]) });
        }
        let added = u32::from(self.pages[page].insert(offset));
        self.len += added;
    }

    /// The one that [`Self::take`] would give.
    pub fn next(&self) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let (first, offset) = split(self.hand);
        let in_page = |number: usize, from: usize| {
            let offset = self.pages.get(number)?.at_or_after(from)?;
            Some((number * PAGE_LEN + offset) as u32)
        };
        let others = || (first + 1..self.pages.len()).chain(0..=first).find_map(|number| in_page(number, 0));
        in_page(first, offset).or_else(others)
    }

    /// Takes out the lowest number from the [hand](Self::hand) on, or the lowest of all if there is none.
    pub fn take(&mut self) -> Option<u32> {
        let number = self.next()?;
        let (page, offset) = split(number);
        self.pages[page].remove(offset);
        self.len -= 1;
        self.hand = number + 1;
        Some(number)
    }
}

impl Page {
    fn insert(&mut self, offset: usize) -> bool {
        let (word, bit) = (&mut self.words[offset / 64], 1 << (offset % 64));
        let is_new = *word & bit == 0;
        *word |= bit;
        self.len += u32::from(is_new);
        is_new
    }

    fn remove(&mut self, offset: usize) {
        self.words[offset / 64] &= !(1 << (offset % 64));
        self.len -= 1;
    }

    fn at_or_after(&self, offset: usize) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let first = offset / 64;
        let masks = std::iter::once(u64::MAX << (offset % 64)).chain(std::iter::repeat(u64::MAX));
        let mut words = (first..WORDS).zip(masks).map(|(word, mask)| (word, self.words[word] & mask));
        let (word, bits) = words.find(|(_, bits)| *bits != 0)?;
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LEN: u32 = PAGE_LEN as u32;

    #[test]
    fn numbers_come_in_order_and_begin_again() {
        let mut set = CyclicSet::from_hand(5);
        assert_eq!((set.take(), set.hand()), (None, 5));
        [3, 4 * LEN, 64, 5, LEN - 1, 5].into_iter().for_each(|number| set.insert(number));
        assert_eq!(set.len(), 5);
        assert_eq!([set.take(), set.take()], [Some(5), Some(64)]);
        set.insert(6);
        let rest: Vec<u32> = std::iter::from_fn(|| set.take()).collect();
        assert_eq!((rest, set.len(), set.hand()), (vec![LEN - 1, 4 * LEN, 3, 6], 0, 7));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set_in_order(
            hand in 0..3 * LEN,
            steps in prop::collection::vec(prop::option::weighted(0.6, 0..3 * LEN), 1..200),
        ) {
            let (mut set, mut naive, mut at) = (CyclicSet::from_hand(hand), BTreeSet::new(), hand);
            for step in steps {
                if let Some(number) = step {
                    set.insert(number);
                    naive.insert(number);
                } else {
                    let expected = naive.range(at..).next().or_else(|| naive.first()).copied();
                    prop_assert_eq!(set.next(), expected);
                    prop_assert_eq!(set.take(), expected);
                    if let Some(number) = expected {
                        naive.remove(&number);
                        at = number + 1;
                    }
                }
                prop_assert_eq!((set.len() as usize, set.hand()), (naive.len(), at));
            }
        }
    }
}
