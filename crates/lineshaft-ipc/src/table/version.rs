//! Reading without a lock what others change under one: whoever has read looks whether it was changed meanwhile.
//!
//! A sequence lock (Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012): the number is
//! odd while something is changed. What it guards consists of atomics, so a reader that is too late has read nonsense,
//! but nothing worse; it has to be bounded whatever it reads, and to use nothing of it before it has asked.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::sync::{AtomicU64, fence};

/// Counts changes, twice each.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Version(AtomicU64);

impl Version {
    #[cfg(all(test, model))]
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// What `look` gives, unless something is changed meanwhile.
    pub(super) fn read<T>(&self, look: impl FnOnce() -> T) -> Option<T> {
        let before = self.0.load(Acquire);
        if before & 1 != 0 {
            return None;
        }
        let seen = look();
        fence(Acquire);
        (self.0.load(Relaxed) == before).then_some(seen)
    }

    /// What is stored after this is a change, by whoever has the lock.
    pub(super) fn begin(&self) {
        // After the death of one who changed something it is odd already.
        self.0.store(self.0.load(Relaxed) | 1, Relaxed);
        fence(Release);
    }

    /// The change is complete.
    pub(super) fn end(&self) {
        self.0.store(self.0.load(Relaxed) + 1, Release);
    }

    /// Whether somebody was in the middle of a change, which whoever has the lock asks when it was of the dead.
    pub(super) fn is_in_change(&self) -> bool {
        self.0.load(Relaxed) & 1 != 0
    }
}

#[cfg(all(test, model))]
mod model {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::sync::model::check;
    use crate::sync::model::mortal::{live, owner};
    use crate::sync::{LockWord, Owner};

    #[derive(Debug)]
    struct Words {
        lock: LockWord,
        version: Version,
        pair: [AtomicU64; 2],
    }

    fn words() -> Arc<Words> {
        let pair = [AtomicU64::new(0), AtomicU64::new(0)];
        Arc::new(Words { lock: LockWord::new(), version: Version::new(), pair })
    }

    fn write(words: &Words, me: Owner, value: u64) {
        words.lock.lock(me, None).unwrap();
        words.version.begin();
        words.pair[0].store(value, Relaxed);
        words.pair[1].store(value, Relaxed);
        words.version.end();
        words.lock.unlock();
    }

    fn read(words: &Words) -> Option<(u64, u64)> {
        words.version.read(|| (words.pair[0].load(Relaxed), words.pair[1].load(Relaxed)))
    }

    #[test]
    fn what_is_read_is_of_one_change() {
        check(3, || {
            let words = words();
            let writers: Vec<_> = [1, 2]
                .map(|pid| {
                    let words = Arc::clone(&words);
                    thread::spawn(move || write(&words, owner(pid), pid as u64))
                })
                .into();
            if let Some((first, second)) = read(&words) {
                assert_eq!(first, second);
            }
            for writer in writers {
                writer.join().unwrap();
            }
            let (first, second) = read(&words).unwrap();
            assert!(first == second && first != 0);
        });
    }

    #[test]
    fn nothing_is_read_that_the_dead_have_begun() {
        crate::sync::model::check_deaths(2, |steps| {
            let words = words();
            let twin = Arc::clone(&words);
            let writer = thread::spawn(move || live(1, steps, |me| write(&twin, me, 1)));
            if let Some((first, second)) = read(&words) {
                assert_eq!(first, second);
            }
            writer.join().unwrap();
            if let Some((first, second)) = read(&words) {
                assert_eq!(first, second);
            }
        });
    }
}
