//! Who waits on a condition.
#![allow(unsafe_code)] // Saying that its words are atomics.

use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Duration;

use super::{AtomicU32, AtomicU64, EventCount, Owner};
use crate::Result;
use crate::segment::{Place, Segment, Shared};

/// Above the number of a wait: it is over.
const NOTIFIED: u64 = 1 << 63;
/// And it was in vain.
const DISMISSED: u64 = 1 << 62;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nobody ended it: the time was up.
    ByItself,
    /// It was notified.
    Notified,
    /// It was dismissed: what it waited for will not come.
    Dismissed,
}

#[derive(Debug)]
#[repr(C)]
pub(crate) struct Head {
    /// The number of the last wait.
    waits: AtomicU64,
    /// Rings when somebody is notified.
    notified: EventCount,
    /// Seats that were ever taken are among so many first ones.
    used: AtomicU32,
}

// SAFETY: atomics only.
unsafe impl Shared for Head {}

/// The place of one who waits.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Seat {
    /// Whose it is, or 0.
    owner: AtomicU64,
    /// The number of the wait, with [`NOTIFIED`] once it is over.
    wait: AtomicU64,
}

// SAFETY: atomics only.
unsafe impl Shared for Seat {}

/// The words of waiters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Core<'a> {
    pub(crate) head: &'a Head,
    pub(crate) seats: &'a [Seat],
}

impl<'a> Core<'a> {
    /// Takes a seat, the first that is free, or else one whose owner is dead; `None` if there is none. Under the lock.
    pub(crate) fn sit(self, me: Owner) -> Option<usize> {
        let find =
            |is_free: fn(u64) -> bool| self.seats.iter().position(|seat| is_free(seat.owner.load(Relaxed)));
        // To look whether an owner lives takes microseconds.
        let index = find(|owner| owner == 0).or_else(|| find(|owner| !is_taken(owner)))?;
        if index >= self.head.used.load(Relaxed) as usize {
            self.head.used.store(index as u32 + 1, Relaxed);
        }
        let number = self.head.waits.load(Relaxed) + 1;
        self.head.waits.store(number, Relaxed);
        self.seats[index].wait.store(number, Relaxed);
        // With this somebody waits.
        self.seats[index].owner.store(me.word(), Release);
        Some(index)
    }

    fn is_notified(self, seat: usize) -> bool {
        self.seats[seat].wait.load(Acquire) & NOTIFIED != 0
    }

    /// Sleeps until notified, without the lock; whether that was so within `timeout`.
    pub(crate) fn wait(self, seat: usize, timeout: Option<Duration>) -> bool {
        self.head.notified.wait_until(timeout, || self.is_notified(seat))
    }

    /// Gives a seat back, and says how the wait ended. Under the lock.
    pub(crate) fn stand_up(self, seat: usize) -> Ended {
        let wait = self.seats[seat].wait.load(Acquire);
        self.seats[seat].owner.store(0, Release);
        match (wait & NOTIFIED, wait & DISMISSED) {
            (0, _) => Ended::ByItself,
            (_, 0) => Ended::Notified,
            _ => Ended::Dismissed,
        }
    }

    /// Notifies up to `count` of those who wait, in the order in which they came, but none that is dead; how many. Under the
    /// lock.
    pub(crate) fn notify(self, count: usize) -> usize {
        self.end(count, NOTIFIED)
    }

    fn end(self, count: usize, mark: u64) -> usize {
        let mut waiting: Vec<&Seat> = self.waiting().collect();
        waiting.sort_unstable_by_key(|seat| seat.wait.load(Relaxed));
        let mut ended = 0;
        for seat in waiting {
            if ended == count {
                break;
            }
            if is_taken(seat.owner.load(Relaxed)) {
                seat.wait.fetch_or(mark, AcqRel);
                ended += 1;
            } else {
                seat.owner.store(0, Relaxed);
            }
        }
        if ended > 0 {
            self.head.notified.notify(u32::MAX);
        }
        ended
    }

    /// The seats of those who are not notified, dead or alive.
    fn waiting(self) -> impl Iterator<Item = &'a Seat> {
        let used = (self.head.used.load(Relaxed) as usize).min(self.seats.len());
        self.seats[..used]
            .iter()
            .filter(|seat| seat.owner.load(Acquire) != 0 && seat.wait.load(Relaxed) & NOTIFIED == 0)
    }

    fn have_died(self) -> bool {
        self.waiting().any(|seat| !is_taken(seat.owner.load(Relaxed)))
    }
}

/// Whether a living process has the seat.
fn is_taken(owner: u64) -> bool {
    Owner::from_word(owner).is_some_and(Owner::is_alive)
}

/// Those who wait on a condition, in shared memory: each has a seat, which a dead process does not keep.
///
/// The lock of the condition is the caller's, and held where it says so; then nobody misses a notification.
#[derive(Clone, Debug)]
pub struct Waiters {
    head: Place<Head>,
    seats: Place<Seat>,
}

impl Waiters {
    /// Bytes that so many seats take.
    pub const fn size_bytes(seats: usize) -> usize {
        size_of::<Head>() + seats * size_of::<Seat>()
    }

    /// So many seats at `offset`, which are free where all is zero; [`Error::BadSegment`](crate::Error::BadSegment) where
    /// they do not fit: the offset must be a multiple of 8. Every process gives the same number.
    pub fn at(segment: Arc<Segment>, offset: usize, seats: usize) -> Result<Self> {
        let head = Place::new(Arc::clone(&segment), offset)?;
        Ok(Self { head, seats: Place::of_many(segment, offset.saturating_add(size_of::<Head>()), seats)? })
    }

    fn core(&self) -> Core<'_> {
        Core { head: self.head.get(), seats: self.seats.all() }
    }

    /// Takes a seat for this process, before the lock is given back; `None` if there is none. Errors only if this process
    /// cannot learn who it is.
    pub fn sit(&self) -> Result<Option<usize>> {
        Ok(self.core().sit(Owner::current()?))
    }

    /// Waits in a seat without the lock, until notified; whether that was so within `timeout`.
    pub fn wait(&self, seat: usize, timeout: Option<Duration>) -> bool {
        self.core().wait(seat, timeout)
    }

    /// Gives a seat back, with the lock, and says how the wait ended.
    pub fn stand_up(&self, seat: usize) -> Ended {
        self.core().stand_up(seat)
    }

    /// Notifies up to `count` of those who wait, who came first, with the lock; how many. No notification goes to a dead one.
    pub fn notify(&self, count: usize) -> usize {
        self.core().notify(count)
    }

    /// Ends all waits, as in vain, with the lock; how many.
    pub fn dismiss(&self) -> usize {
        self.core().end(usize::MAX, NOTIFIED | DISMISSED)
    }

    /// How many wait and are not notified, the dead included.
    pub fn waiting(&self) -> usize {
        self.core().waiting().count()
    }

    /// Whether one of those who wait has died. Some microseconds for each.
    pub fn have_died(&self) -> bool {
        self.core().have_died()
    }
}

#[cfg(all(test, model))]
impl Core<'static> {
    /// As many seats as a model has processes, for good.
    pub(crate) fn leaked(seats: usize) -> Self {
        let seat = || Seat { owner: AtomicU64::new(0), wait: AtomicU64::new(0) };
        let head = Head { waits: AtomicU64::new(0), notified: EventCount::new(), used: AtomicU32::new(0) };
        let seats: Vec<Seat> = (0..seats).map(|_| seat()).collect();
        Self { head: Box::leak(Box::new(head)), seats: Vec::leak(seats) }
    }
}

#[cfg(all(test, not(model)))]
mod tests {
    use super::*;
    use crate::process::ProcessId;
    use crate::sync::Lock;

    fn waiters(seats: usize) -> Waiters {
        Waiters::at(Arc::new(Segment::create(4_096, 4_096).unwrap()), 64, seats).unwrap()
    }

    fn dead() -> Owner {
        Owner::of(ProcessId { start_time: 1, ..ProcessId::current().unwrap() }).unwrap()
    }

    const NOW: Option<Duration> = Some(Duration::ZERO);

    #[test]
    fn who_came_first_is_notified_first() {
        let waiters = waiters(3);
        let seats: Vec<usize> = (0..3).map(|_| waiters.sit().unwrap().unwrap()).collect();
        assert_eq!(waiters.sit().unwrap(), None);
        assert_eq!(waiters.stand_up(seats[0]), Ended::ByItself);
        let last = waiters.sit().unwrap().unwrap();
        assert_eq!((last, waiters.waiting()), (seats[0], 3));
        assert_eq!(waiters.notify(2), 2);
        let notified = |seat| waiters.wait(seat, NOW);
        assert!(notified(seats[1]) && notified(seats[2]) && !notified(last));
        assert_eq!((waiters.stand_up(seats[1]), waiters.stand_up(last)), (Ended::Notified, Ended::ByItself));
        assert_eq!((waiters.notify(5), waiters.waiting()), (0, 0));
        let seat = waiters.sit().unwrap().unwrap();
        assert_eq!((waiters.dismiss(), waiters.stand_up(seat)), (1, Ended::Dismissed));
    }

    #[test]
    fn the_dead_are_not_notified_and_keep_no_seat() {
        let waiters = waiters(2);
        assert_eq!(waiters.core().sit(dead()), Some(0));
        let seat = waiters.sit().unwrap().unwrap();
        assert!(waiters.have_died());
        assert_eq!(waiters.notify(1), 1);
        assert!(waiters.wait(seat, NOW) && !waiters.have_died());
        assert_eq!(waiters.core().sit(dead()), Some(0));
        assert_eq!(waiters.sit().unwrap(), Some(0), "taken from the dead");
    }

    #[test]
    fn all_get_through_a_condition() {
        let segment = Arc::new(Segment::create(4_096, 4_096).unwrap());
        let lock = Lock::at(Arc::clone(&segment), 0).unwrap();
        let waiters = Waiters::at(segment, 64, 8).unwrap();
        std::thread::scope(|scope| {
            let wait = || {
                lock.lock(None).unwrap();
                let seat = waiters.sit().unwrap().unwrap();
                lock.unlock();
                let is_notified = waiters.wait(seat, Some(Duration::from_secs(60)));
                lock.lock(None).unwrap();
                waiters.stand_up(seat);
                lock.unlock();
                is_notified
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(wait)).collect();
            let mut notified = 0;
            while notified < 4 {
                lock.lock(None).unwrap();
                notified += waiters.notify(1);
                lock.unlock();
                std::thread::yield_now();
            }
            assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        });
    }

    #[test]
    fn seats_that_do_not_fit_are_refused() {
        let segment = Arc::new(Segment::create(4_096, 0).unwrap());
        for (offset, seats) in [(4_090, 0), (4, 1), (0, 256), (0, usize::MAX), (usize::MAX - 7, 1)] {
            assert!(Waiters::at(Arc::clone(&segment), offset, seats).is_err(), "{offset} {seats}");
        }
        assert!(Waiters::at(segment, 0, 255).is_ok());
    }
}
