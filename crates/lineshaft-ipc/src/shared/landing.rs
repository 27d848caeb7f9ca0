//! Where what bodies print arrives from the pipe: in the page itself.
//!
//! Bytes that were read into the child's own memory would be lost with it if it were killed before they are in the
//! output: they are not in the pipe any more. So the kernel puts them here, from where they are added to the output and
//! then wiped. Whatever is here when the child is dead was on its way.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::atomics::{AtomicU8, AtomicU64, fence};

/// Most bytes that arrive at once.
pub(super) const LANDING_BYTES: usize = if cfg!(model) { 2 } else { 16 * 1024 };

/// The bytes that arrived, all others zero. One writer, which may die at any instruction.
#[repr(C, align(64))]
pub(super) struct Landing {
    /// The total of the output that the bytes follow.
    start: AtomicU64,
    bytes: [AtomicU8; LANDING_BYTES],
}

#[cfg(test)]
impl Default for Landing {
    fn default() -> Self {
        Self { start: AtomicU64::new(0), bytes: std::array::from_fn(|_| AtomicU8::new(0)) }
    }
}

impl Landing {
    /// Has `arrive` put bytes here that follow an output of `start` bytes, and `add` add them to it. Gives what `arrive`
    /// gives, which is how many there are.
    pub(super) fn take<E>(
        &self,
        start: u64,
        arrive: impl FnOnce(&[AtomicU8]) -> Result<usize, E>,
        add: impl FnOnce(&[u8]),
    ) -> Result<usize, E> {
        // Nothing that was wiped may be taken for what follows now.
        self.start.store(start, Release);
        let count = arrive(&self.bytes)?;
        let bytes: Vec<u8> = self.bytes[..count].iter().map(|byte| byte.load(Relaxed)).collect();
        add(&bytes);
        // What is wiped must be in the output.
        fence(Release);
        self.bytes[..count].iter().for_each(|byte| byte.store(0, Relaxed));
        Ok(count)
    }

    /// What a dead writer had not added to its output of `total` bytes. Zeros at the end of the bytes that arrived
    /// cannot be told from none.
    pub(super) fn rest(&self, total: u64) -> Vec<u8> {
        let start = self.start.load(Acquire);
        let mut bytes: Vec<u8> = self.bytes.iter().map(|byte| byte.load(Relaxed)).collect();
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        let added = usize::try_from(total.wrapping_sub(start)).unwrap_or(usize::MAX);
        bytes.split_off(added.min(bytes.len()))
    }
}

#[cfg(all(test, model))]
mod model {
    use super::*;
    use crate::shared::atomics::mortal::{dies_after, outlives};
    use crate::shared::model::check;

    /// Whatever store the child dies before, its two bytes are in the output or here, and in one of them only.
    #[test]
    fn what_arrived_is_never_lost_and_never_there_twice() {
        check(0, || {
            for stores in 0.. {
                let landing = Landing::default();
                let (total, arrived) = (AtomicU64::new(5), std::cell::Cell::new(false));
                let arrive = |bytes: &[AtomicU8]| {
                    // The kernel does it at once, or not at all.
                    outlives(|| bytes.iter().for_each(|byte| byte.store(7, Relaxed)));
                    arrived.set(true);
                    Ok::<_, ()>(2)
                };
                let add = |bytes: &[u8]| {
                    bytes.iter().for_each(|_| total.store(total.load(Relaxed) + 1, Release));
                };
                let is_done = dies_after(stores, || _ = landing.take(5, arrive, add));
                let (added, rest) = (total.load(Acquire) - 5, landing.rest(total.load(Acquire)));
                assert_eq!(added + rest.len() as u64, if arrived.get() { 2 } else { 0 }, "{stores}");
                if is_done {
                    assert_eq!((stores, added), (5, 2));
                    break;
                }
            }
        });
    }
}

#[cfg(all(test, not(model)))]
mod tests {
    use super::*;

    fn arriving(text: &[u8]) -> impl FnOnce(&[AtomicU8]) -> Result<usize, ()> {
        move |places| {
            places.iter().zip(text).for_each(|(place, byte)| place.store(*byte, Relaxed));
            Ok(text.len())
        }
    }

    #[test]
    fn what_was_added_is_wiped() {
        let (landing, mut added) = (Landing::default(), Vec::new());
        for text in [&b"first"[..], b"", b"and the second"] {
            let start = added.len() as u64;
            let taken = landing.take(start, arriving(text), |bytes| added.extend_from_slice(bytes));
            assert_eq!((taken, landing.rest(added.len() as u64)), (Ok(text.len()), vec![]));
        }
        assert_eq!(added, b"firstand the second");
    }

    #[test]
    fn what_was_not_added_is_the_rest() {
        for (added, rest) in [(0, &b"last words"[..]), (5, b"words"), (10, b""), (11, b"")] {
            let landing = Landing::default();
            landing.start.store(100, Relaxed);
            _ = arriving(b"last words")(&landing.bytes);
            assert_eq!(landing.rest(100 + added), rest);
        }
    }

    #[test]
    fn scribbled_numbers_are_read_without_panic() {
        let landing = Landing::default();
        landing.bytes.iter().for_each(|byte| byte.store(0xff, Relaxed));
        for number in [0, 5, u64::MAX, 1 << 63] {
            landing.start.store(number, Relaxed);
            assert!(landing.rest(5).len() <= LANDING_BYTES);
        }
    }
}
