//! See [`crate::sync::model`].
#![allow(unsafe_code)] // Cells that loom looks after.

use loom::cell::UnsafeCell;

use super::cursor::GRAIN_BYTES;

/// The room of a ring in a model, which tells when two threads are at the same grain at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(&'a [UnsafeCell<[u8; GRAIN_BYTES]>]);

/// Nothing dies amid a copy here: what is between two atomics of a thread is one to all others.
impl Bytes<'_> {
    pub(super) unsafe fn write(self, at: usize, bytes: &[u8]) {
        for (offset, byte) in bytes.iter().enumerate() {
            let at = at + offset;
            // SAFETY: loom has checked that nobody else is at it.
            self.0[at / GRAIN_BYTES].with_mut(|grain| unsafe { (&mut *grain)[at % GRAIN_BYTES] = *byte });
        }
    }

    pub(super) unsafe fn read_array<const N: usize>(self, at: usize) -> [u8; N] {
        let mut bytes = Vec::new();
        // SAFETY: as the caller promises.
        unsafe { self.read(at, N, &mut bytes) };
        bytes.try_into().unwrap()
    }

    pub(super) unsafe fn read(self, at: usize, length: usize, into: &mut Vec<u8>) {
        for at in at..at + length {
            // SAFETY: loom has checked that nobody writes it.
            into.push(self.0[at / GRAIN_BYTES].with(|grain| unsafe { (&*grain)[at % GRAIN_BYTES] }));
        }
    }
}

#[cfg(test)]
mod tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::ring::words::{Core, Words};
    use crate::ring::{Batch, Message};
    use crate::sync::model::mortal::{live, owner};
    use crate::sync::model::{check, check_deaths};
    use crate::sync::{NAP, Owner};
    use crate::{Error, Result};

    /// Room for two messages of a byte.
    const GRAINS: usize = 4;

    struct Model {
        words: Words,
        room: Vec<UnsafeCell<[u8; GRAIN_BYTES]>>,
    }

    // SAFETY: loom checks what is done with the room.
    unsafe impl Sync for Model {}
    unsafe impl Send for Model {}

    impl Model {
        fn new() -> Arc<Self> {
            let room = (0..GRAINS).map(|_| UnsafeCell::new([0; GRAIN_BYTES])).collect();
            Arc::new(Self { words: Words::new(), room })
        }

        fn core(&self) -> Core<'_> {
            Core {
                words: &self.words,
                data: Bytes(&self.room),
                grains: GRAINS as u32,
                messages_max: u32::MAX,
            }
        }

        fn put(&self, me: Owner, byte: u8) {
            let (core, bytes) = (self.core(), [byte]);
            let message = Message { tag: byte.into(), bytes: &bytes };
            while core.put(me, &[message], |_| ()).unwrap() == 0 {
                core.words.room.0.wait(NAP, || core.may_have_room(1));
            }
        }

        fn try_get(&self, me: Owner) -> Result<Option<u8>> {
            let mut batch = Batch::default();
            self.core().get(me, 1, &mut batch, |_| ())?;
            Ok(batch.iter().next().map(|message| message.bytes[0]))
        }

        fn get(&self, me: Owner) -> u8 {
            loop {
                if let Some(byte) = self.try_get(me).unwrap() {
                    return byte;
                }
                self.core().words.items.0.wait(NAP, || self.core().may_have_items());
            }
        }

        fn drain(&self, me: Owner) -> Vec<u8> {
            std::iter::from_fn(|| self.try_get(me).unwrap()).collect()
        }
    }

    #[test]
    fn messages_come_in_their_order_through_a_room_for_two() {
        check(2, || {
            let ring = Model::new();
            let putter = Arc::clone(&ring);
            let putter = thread::spawn(move || (1..=3).for_each(|byte| putter.put(owner(1), byte)));
            assert_eq!([(); 3].map(|()| ring.get(owner(2))), [1, 2, 3]);
            putter.join().unwrap();
        });
    }

    #[test]
    fn two_putters_and_two_getters_miss_nothing() {
        check(2, || {
            let ring = Model::new();
            let threads: Vec<_> = (1..=2)
                .map(|number| {
                    let ring = Arc::clone(&ring);
                    thread::spawn(move || ring.put(owner(number), number as u8))
                })
                .collect();
            let getter = Arc::clone(&ring);
            let getter = thread::spawn(move || getter.get(owner(3)));
            let here = ring.get(owner(4));
            assert_eq!(here + getter.join().unwrap(), 3);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    /// Wherever the putter dies: what another puts afterwards comes, and its own message once or not at all.
    #[test]
    fn a_putter_that_dies_has_put_all_of_it_or_nothing() {
        check_deaths(2, |steps| {
            let ring = Model::new();
            let dying = Arc::clone(&ring);
            let dying = thread::spawn(move || live(1, steps, |me| dying.put(me, 1)));
            ring.put(owner(2), 2);
            let first = ring.get(owner(3));
            let is_put = dying.join().unwrap().is_some();
            let mut got = ring.drain(owner(3));
            got.push(first);
            got.sort_unstable();
            assert!(got == [1, 2] || got == [2] && !is_put, "{got:?}, put: {is_put}");
        });
    }

    /// Wherever the getter dies: what it has not taken with it comes to another, once.
    #[test]
    fn a_getter_that_dies_takes_one_message_or_none() {
        check_deaths(2, |steps| {
            let ring = Model::new();
            let dying = Arc::clone(&ring);
            let dying = thread::spawn(move || live(1, steps, |me| dying.get(me)));
            ring.put(owner(2), 1);
            ring.put(owner(2), 2);
            let first = ring.get(owner(3));
            let mut got = vec![first];
            got.extend(dying.join().unwrap());
            got.extend(ring.drain(owner(3)));
            got.sort_unstable();
            assert!([&[1, 2][..], &[2], &[1]].contains(&&got[..]), "{got:?}");
            assert!(got.len() == 2 || !crate::sync::model::mortal::is_alive(owner(1)), "{got:?}");
        });
    }

    #[test]
    fn whoever_finds_it_shut_down_finds_the_last_message_too() {
        check(2, || {
            let ring = Model::new();
            let putter = Arc::clone(&ring);
            let putter = thread::spawn(move || {
                let message = Message { tag: 0, bytes: &[1] };
                match putter.core().put(owner(1), &[message], |_| ()) {
                    Ok(count) => count,
                    Err(Error::ShutDown) => 0,
                    Err(error) => panic!("{error}"),
                }
            });
            let closer = Arc::clone(&ring);
            let closer = thread::spawn(move || {
                closer.core().shut_down(owner(2), crate::ring::words::Shutdown::Put).unwrap();
            });
            let core = ring.core();
            while core.shutdown() == crate::ring::words::Shutdown::No {
                core.words.items.0.wait(NAP, || core.shutdown() != crate::ring::words::Shutdown::No);
            }
            let left = core.held().messages as usize;
            assert_eq!(putter.join().unwrap(), left);
            closer.join().unwrap();
        });
    }
}
