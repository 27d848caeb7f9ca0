//! Shares of work of which their worker takes from the front, and whoever gave them takes back from the end: [`Claims`].
//!
//! A share is a row of items. Its worker claims some before it begins them; the rest can be taken back at any instant, to
//! be given to somebody who has nothing to do. Both change one word by compare-and-swap, so an item is either claimed or
//! taken back. After the worker's death the word says which items it had begun.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use crate::Result;
use crate::segment::{Place, Segment};
use crate::sync::AtomicU64;

/// Most items of a share.
pub const ITEMS_MAX: u32 = (1 << ITEM_BITS) - 1;
const ITEM_BITS: u32 = 24;

/// Shares in shared memory, each in a slot.
///
/// A slot is given a share by one process and worked off by one other; it is given the next when the worker has said that
/// it is through with the last. The numbers of shares tell one that comes late which share is meant.
#[derive(Clone, Debug)]
pub struct Claims(Place<AtomicU64>);

/// What a word says: items from `next` on up to `end` are not claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    number: u16,
    next: u32,
    end: u32,
}

impl Share {
    fn from_word(word: u64) -> Self {
        let items = |shift: u32| (word >> shift) as u32 & ITEMS_MAX;
        Self { number: (word >> (2 * ITEM_BITS)) as u16, next: items(ITEM_BITS), end: items(0) }
    }

    fn word(self) -> u64 {
        u64::from(self.number) << (2 * ITEM_BITS) | u64::from(self.next) << ITEM_BITS | u64::from(self.end)
    }
}

impl Claims {
    /// Bytes that so many slots take.
    pub const fn size_bytes(slots: usize) -> usize {
        slots * size_of::<u64>()
    }

    /// So many slots at `offset`, which are empty where all is zero; [`Error::BadSegment`](crate::Error::BadSegment) where
    /// they do not fit: the offset must be a multiple of 8.
    pub fn at(segment: Arc<Segment>, offset: usize, slots: usize) -> Result<Self> {
        Ok(Self(Place::of_many(segment, offset, slots)?))
    }

    /// So many empty slots, in a segment of their own.
    pub fn create(slots: usize) -> Result<Self> {
        let bytes = Self::size_bytes(slots);
        Self::at(Arc::new(Segment::create(bytes, bytes)?), 0, slots)
    }

    /// So many slots at the beginning of the segment behind a descriptor that another process passed on.
    pub fn from_fd(fd: OwnedFd, slots: usize) -> Result<Self> {
        Self::at(Arc::new(Segment::from_fd(fd)?), 0, slots)
    }

    /// How many slots there are.
    pub fn slots(&self) -> usize {
        self.0.all().len()
    }

    /// Gives the slot the share `number` of so many items, before its worker is told of it.
    ///
    /// # Panics
    ///
    /// If there is no such slot, as of the other functions that name one, or it has more than [`ITEMS_MAX`].
    pub fn give(&self, slot: usize, number: u16, items: u32) {
        assert!(items <= ITEMS_MAX, "a share of {items} items");
        self.0.all()[slot].store(Share { number, next: 0, end: items }.word(), Release);
    }

    /// Claims up to `count` items of share `number`, from the front; none where nothing is left, or another share is there.
    pub fn claim(&self, slot: usize, number: u16, count: u32) -> Range<u32> {
        let (before, after) = self.change(slot, number, |share| {
            let claimed = count.min(share.end.saturating_sub(share.next));
            Share { next: share.next + claimed, ..share }
        });
        before.next..after.next
    }

    /// Takes back what of share `number` is not claimed, but for as many as `keep` says of so many claimed ones and so many
    /// others; none as with [`Self::claim`].
    pub fn take_back(&self, slot: usize, number: u16, keep: impl Fn(u32, u32) -> u32) -> Range<u32> {
        let (before, after) = self.change(slot, number, |share| {
            let rest = share.end.saturating_sub(share.next);
            Share { end: share.next + keep(share.next, rest).min(rest), ..share }
        });
        after.end..before.end.max(after.end)
    }

    /// How many items of share `number` were ever claimed; 0 if another one is there.
    pub fn claimed(&self, slot: usize, number: u16) -> u32 {
        let share = Share::from_word(self.0.all()[slot].load(Acquire));
        if share.number == number { share.next } else { 0 }
    }

    /// What the word was, and what it is. Of another share nothing is changed.
    fn change(&self, slot: usize, number: u16, to: impl Fn(Share) -> Share) -> (Share, Share) {
        let word = &self.0.all()[slot];
        let mut seen = word.load(Acquire);
        loop {
            let before = Share::from_word(seen);
            if before.number != number {
                let nothing = Share { number, next: 0, end: 0 };
                return (nothing, nothing);
            }
            let after = to(before);
            match word.compare_exchange(seen, after.word(), AcqRel, Acquire) {
                Ok(_) => return (before, after),
                Err(other) => seen = other,
            }
        }
    }
}

/// The segment that they are in.
impl AsFd for Claims {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.segment().as_fd()
    }
}

#[cfg(all(test, not(model)))]
mod tests {
    use super::*;

    fn claims(slots: usize) -> Claims {
        Claims::at(Arc::new(Segment::create(4_096, 4_096).unwrap()), 0, slots).unwrap()
    }

    #[test]
    fn items_are_claimed_from_the_front_and_taken_back_from_the_end() {
        let claims = claims(2);
        claims.give(1, 7, 10);
        assert_eq!(claims.claim(1, 7, 3), 0..3);
        assert_eq!(claims.take_back(1, 7, |_, rest| rest / 2), 6..10);
        assert_eq!(claims.claim(1, 7, 100), 3..6);
        assert!(claims.claim(1, 7, 1).is_empty());
        assert!(claims.take_back(1, 7, |_, _| 0).is_empty());
        assert_eq!(claims.claimed(1, 7), 6);
    }

    #[test]
    fn who_means_another_share_gets_nothing() {
        let claims = claims(1);
        claims.give(0, 1, 5);
        assert!(claims.claim(0, 2, 1).is_empty());
        assert!(claims.take_back(0, 2, |_, _| 0).is_empty());
        assert_eq!(claims.claimed(0, 2), 0);
        assert_eq!(claims.claim(0, 1, 5), 0..5);
    }

    #[test]
    fn the_greatest_numbers_fit() {
        let share = Share { number: u16::MAX, next: ITEMS_MAX, end: ITEMS_MAX };
        assert_eq!(Share::from_word(share.word()), share);
        let share = Share { number: 1, next: 2, end: 3 };
        assert_eq!(Share::from_word(share.word()), share);
    }

    #[test]
    fn each_item_is_claimed_or_taken_back_once() {
        let claims = claims(1);
        for number in 0..200_u16 {
            claims.give(0, number, 1_000);
            let mut seen = vec![0; 1_000];
            let mut note = |range: Range<u32>| range.for_each(|item| seen[item as usize] += 1);
            let taken = std::thread::scope(|scope| {
                let thief = scope.spawn(|| {
                    (0..4).map(|_| claims.take_back(0, number, |_, rest| rest / 2)).collect::<Vec<_>>()
                });
                loop {
                    let claimed = claims.claim(0, number, 3);
                    if claimed.is_empty() {
                        break;
                    }
                    note(claimed);
                }
                thief.join().unwrap()
            });
            taken.into_iter().for_each(note);
            assert!(seen.iter().all(|times| *times == 1), "{number}");
        }
    }
}
