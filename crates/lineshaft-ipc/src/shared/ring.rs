//! A ring of records with one writer that may die at any instruction.
//!
//! The writer fills the place after the newest record and then raises the count: that one store publishes it. A reader
//! takes a record and then looks whether the writer can have come round to it meanwhile. Neither ever waits.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, compiler_fence, fence};

/// How often a reader that is overtaken looks again. Only a writer that laps the whole ring during each look gets
/// there, which no real one does.
const LOOKS: usize = 16;

/// A record: what the words mean is the owner's business.
pub(super) type Words = [u64; 8];

/// The newest `LEN - 1` records; the place left over is the one the writer may be filling.
#[repr(C, align(64))]
pub(super) struct Ring<const LEN: usize> {
    count: AtomicU64,
    records: [[AtomicU64; 8]; LEN],
}

impl<const LEN: usize> Ring<LEN> {
    /// Records ever pushed.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Acquire)
    }

    /// Publishes a record. One writer.
    pub(super) fn push(&self, words: Words) {
        let count = self.count.load(Relaxed).wrapping_add(1);
        // A reader that sees a word of this record must also see that the count had come this close.
        fence(Release);
        for (place, word) in self.place(count).iter().zip(words) {
            place.store(word, Relaxed);
        }
        self.count.store(count, Release);
        // Nothing that the program does next may move before the store. The processor needs no fence for that: a
        // store it has retired becomes visible even if the process dies at the next instruction.
        compiler_fence(SeqCst);
    }

    /// The newest record and its number, from 1.
    pub(super) fn newest(&self) -> Option<(u64, Words)> {
        (0..LOOKS).find_map(|_| {
            let count = self.count();
            if count == 0 {
                return Some(None);
            }
            self.read(count).map(|words| Some((count, words)))
        })?
    }

    /// The newest record of those kept that `wanted` accepts.
    pub(super) fn find(&self, wanted: impl Fn(&Words) -> bool) -> Option<Words> {
        let count = self.count();
        let kept = count.min(LEN as u64 - 1);
        (0..kept).filter_map(|age| self.read(count - age)).find(wanted)
    }

    fn place(&self, number: u64) -> &[AtomicU64; 8] {
        &self.records[(number % LEN as u64) as usize]
    }

    /// Record `number`, unless the writer may have come round to its place.
    fn read(&self, number: u64) -> Option<Words> {
        let place = self.place(number);
        let words = std::array::from_fn(|index| place[index].load(Relaxed));
        fence(Acquire);
        let passed = self.count.load(Relaxed).wrapping_sub(number);
        (passed < LEN as u64 - 1).then_some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::race::while_writing;

    fn ring<const LEN: usize>() -> Ring<LEN> {
        Ring { count: AtomicU64::new(0), records: [const { [const { AtomicU64::new(0) }; 8] }; LEN] }
    }

    #[test]
    fn the_newest_records_are_kept_and_older_ones_forgotten() {
        let ring: Ring<8> = ring();
        assert_eq!((ring.newest(), ring.find(|_| true)), (None, None));
        for number in 1..=20 {
            ring.push([number, number % 3, 0, 0, 0, 0, 0, 0]);
            assert_eq!(ring.newest().unwrap(), (number, [number, number % 3, 0, 0, 0, 0, 0, 0]));
        }
        let kept = |number| ring.find(|words| words[0] == number).is_some();
        assert_eq!((1..=20).filter(|&number| kept(number)).collect::<Vec<_>>(), [14, 15, 16, 17, 18, 19, 20]);
        assert_eq!(ring.find(|words| words[1] == 0).unwrap()[0], 18, "the newest match");
    }

    #[test]
    fn a_record_half_written_is_not_there() {
        let ring: Ring<4> = ring();
        for number in 1..=5 {
            ring.push([number; 8]);
        }
        ring.place(6)[0].store(99, Relaxed);
        assert_eq!(ring.newest(), Some((5, [5; 8])));
        assert_eq!(ring.find(|words| words[0] == 99), None);
        assert_eq!(ring.read(2), None, "its place is the one being filled");
        assert_eq!(
            [3, 4, 5].map(|number| ring.find(|words| words[0] == number)),
            [3, 4, 5].map(|n| Some([n; 8]))
        );
    }

    #[test]
    fn any_count_is_read_without_panic() {
        let ring: Ring<4> = ring();
        for count in [u64::MAX, u64::MAX - 1, 1 << 63] {
            ring.count.store(count, Relaxed);
            ring.newest();
            ring.find(|_| false);
            ring.push([1; 8]);
        }
    }

    /// A small ring is lapped all the time, so that readers are overtaken in the middle.
    #[test]
    fn readers_never_see_a_mixed_record() {
        let ring: Ring<4> = ring();
        let mut last = 0;
        while_writing(
            |number| ring.push([number; 8]),
            || {
                let Some((number, words)) = ring.newest() else { return };
                assert_eq!(words, [number; 8]);
                assert!(number >= last, "{number} after {last}");
                last = number;
                assert!(ring.find(|words| words.iter().any(|word| *word != words[0])).is_none());
            },
        );
        assert!(last > 0);
    }
}
