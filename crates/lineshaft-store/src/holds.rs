//! Keeping a home's files as they are while somebody copies them.
//!
//! Everything that removes a file of a home, or gives it another use, asks [`Holds::removing`] first and puts it off
//! while there is a [`Hold`]. A backup takes its hold before it asks how far the journal is: what was removed before
//! that is not needed by then, and what is needed stays.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, TryLockError};

/// Who holds the files of a home.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    /// Holds there are. Whoever removes something keeps the read lock meanwhile, so that a hold begins before or after.
    count: RwLock<u32>,
    /// Something was to be removed since the first of them began.
    is_in_the_way: AtomicBool,
}

impl Holds {
    /// Leave to remove files or to give them another use, while the guard lives: to be asked when there are some. `None` while they are held, or are about
    /// to be: the writer of the journal must not wait here for a hold that waits for the removal of a day of history.
    pub(crate) fn removing(&self) -> Option<Removing<'_>> {
        let count = match self.count.try_read() {
            Ok(count) => count,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        if *count > 0 {
            self.is_in_the_way.store(true, Ordering::Relaxed);
            return None;
        }
        Some(Removing { _count: count })
    }

    /// Holds the files until the hold is dropped. Waits for a removal that is under way.
    pub(crate) fn take(self: &Arc<Self>) -> Hold {
        let mut count = self.count.write().unwrap_or_else(PoisonError::into_inner);
        if *count == 0 {
            self.is_in_the_way.store(false, Ordering::Relaxed);
        }
        *count += 1;
        Hold { holds: Arc::clone(self) }
    }
}

/// Leave to remove files.
#[must_use = "files may be held again as soon as this is dropped"]
pub(crate) struct Removing<'a> {
    _count: RwLockReadGuard<'a, u32>,
}

/// Files of a home are held as long as this lives.
#[derive(Debug)]
pub struct Hold {
    holds: Arc<Holds>,
}

impl Hold {
    /// Whether something that is not needed any more stays because files are held: room that there could be.
    pub fn is_in_the_way(&self) -> bool {
        self.holds.is_in_the_way.load(Ordering::Relaxed)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.holds.count.write().unwrap_or_else(PoisonError::into_inner) -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_may_be_removed_until_the_last_hold_is_gone() {
        let holds = Arc::new(Holds::default());
        assert!(holds.removing().is_some());
        let (first, second) = (holds.take(), holds.take());
        drop(first);
        assert!(!second.is_in_the_way());
        assert!(holds.removing().is_none() && second.is_in_the_way());
        drop(second);
        assert!(holds.removing().is_some());
        assert!(!holds.take().is_in_the_way());
    }

    /// Another removal waited for the hold, and so for the first removal.
    #[test]
    fn nobody_waits_for_a_hold_that_waits() {
        let holds = Arc::new(Holds::default());
        let first = holds.removing();
        let take = Arc::clone(&holds);
        let taking = std::thread::spawn(move || take.take());
        let (sender, removed) = std::sync::mpsc::channel();
        let other = Arc::clone(&holds);
        std::thread::spawn(move || {
            // Until the hold waits, other removals may go on.
            while other.removing().is_some() {
                std::thread::yield_now();
            }
            sender.send(()).unwrap();
        });
        removed.recv_timeout(std::time::Duration::from_secs(30)).expect("it waits");
        drop(first);
        drop(taking.join().unwrap());
    }

    #[test]
    fn a_hold_begins_after_a_removal_that_is_under_way() {
        let holds = Arc::new(Holds::default());
        let removing = holds.removing();
        let taking = std::thread::spawn({
            let holds = Arc::clone(&holds);
            move || holds.take()
        });
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!taking.is_finished());
        drop(removing);
        let hold = taking.join().unwrap();
        assert!(holds.removing().is_none());
        drop(hold);
    }
}
