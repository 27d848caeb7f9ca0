//! Where records wait for the writer: bounded by their number and by their bytes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::level::Level;
use crate::record::Record;

/// How much waits at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Number of records.
    pub records_max: usize,
    /// Bytes of all records together.
    pub bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { records_max: 65_536, bytes_max: 32 << 20 }
    }
}

/// What becomes of a record for which there is no room.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenFull {
    /// Its caller waits.
    #[default]
    Block,
    /// It is dropped, and counted.
    DropNew,
    /// Debug and what matters less is dropped from three quarters of the room on, and everything when there is none.
    DropDebugFirst,
}

/// What became of a record.
#[derive(Debug)]
pub enum Pushed {
    /// It waits for the writer.
    Taken,
    /// There was no room, and it was dropped.
    Dropped,
    /// There is no room: the caller may wait for it.
    Full(Box<Record>),
    /// Nobody writes any more.
    Closed(Box<Record>),
}

/// What the writer takes at once.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) records: Vec<Record>,
    /// How many were ever taken in, with these.
    pub(crate) upto: u64,
    /// How many were dropped since the last time.
    pub(crate) dropped: u64,
    pub(crate) is_closed: bool,
}

#[derive(Debug)]
pub(crate) struct Ring {
    bounds: Bounds,
    when_full: WhenFull,
    state: Mutex<State>,
    arrived: Condvar,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    records: Vec<Record>,
    bytes: usize,
    pushed: u64,
    dropped: u64,
    dropped_in_all: u64,
    /// Whether the writer sleeps until it is woken. While records come it naps instead, so that those who log need
    /// not wake it, which would cost them more than all the rest.
    is_asleep: bool,
    is_hurried: bool,
    is_closed: bool,
}

/// How long the writer lets records gather.
const NAP: Duration = Duration::from_millis(5);
/// After so many naps without a record it sleeps.
const NAPS: u32 = 20;

impl Ring {
    pub(crate) fn new(bounds: Bounds, when_full: WhenFull) -> Self {
        Self { bounds, when_full, state: Mutex::default(), arrived: Condvar::new(), room: Condvar::new() }
    }

    pub(crate) fn push(&self, record: Record) -> Pushed {
        self.add(self.lock(), record)
    }

    /// Waits for room, if that is what is to be done when there is none.
    pub(crate) fn push_waiting(&self, mut record: Record) -> Pushed {
        loop {
            match self.push(record) {
                Pushed::Full(back) => record = *back,
                other => return other,
            }
            let state = self.lock();
            if !state.is_closed && !self.has_room(&state, record.size_bytes()) {
                drop(self.room.wait_timeout(state, Duration::from_millis(100)));
            }
        }
    }

    fn add(&self, mut state: MutexGuard<'_, State>, record: Record) -> Pushed {
        if state.is_closed {
            return Pushed::Closed(Box::new(record));
        }
        let size_bytes = record.size_bytes();
        let is_refused = !self.has_room(&state, size_bytes)
            || (self.when_full == WhenFull::DropDebugFirst
                && record.level <= Level::DEBUG
                && self.is_three_quarters_full(&state, size_bytes));
        if is_refused {
            if self.when_full == WhenFull::Block {
                self.hurry(&mut state);
                return Pushed::Full(Box::new(record));
            }
            state.dropped += 1;
            state.dropped_in_all += 1;
            return Pushed::Dropped;
        }
        state.bytes += size_bytes;
        state.pushed += 1;
        state.records.push(record);
        if state.is_asleep {
            state.is_asleep = false;
            self.arrived.notify_one();
        } else if !state.is_hurried && self.is_half_full(&state) {
            self.hurry(&mut state);
        }
        Pushed::Taken
    }

    /// A record that is larger than all of the room is taken when nothing else is there.
    fn has_room(&self, state: &State, size_bytes: usize) -> bool {
        state.records.is_empty()
            || (state.records.len() < self.bounds.records_max
                && state.bytes + size_bytes <= self.bounds.bytes_max)
    }

    fn is_three_quarters_full(&self, state: &State, size_bytes: usize) -> bool {
        state.records.len() >= self.bounds.records_max / 4 * 3
            || state.bytes + size_bytes > self.bounds.bytes_max / 4 * 3
    }

    fn is_half_full(&self, state: &State) -> bool {
        state.records.len() >= self.bounds.records_max / 2 || state.bytes >= self.bounds.bytes_max / 2
    }

    fn hurry(&self, state: &mut State) {
        state.is_hurried = true;
        state.is_asleep = false;
        self.arrived.notify_one();
    }

    /// Has the writer come at once; gives how many records were ever taken in.
    pub(crate) fn call(&self) -> u64 {
        let mut state = self.lock();
        self.hurry(&mut state);
        state.pushed
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        self.hurry(&mut state);
        self.room.notify_all();
    }

    /// How many records were taken in, and how many dropped.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.lock();
        (state.pushed, state.dropped_in_all)
    }

    /// What is there, after waiting for it until `until` at most, for ever if that is `None`. `spare` is an empty
    /// vector to go on with.
    pub(crate) fn drain(&self, spare: Vec<Record>, until: Option<Instant>) -> Drained {
        let mut state = self.lock();
        let mut naps = 0;
        while !state.is_hurried {
            // Those who come now gather for the rest of a nap: a batch costs hardly more than a record.
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            if is_over || (naps > 0 && !state.records.is_empty()) {
                break;
            }
            let nap = if naps < NAPS {
                naps += 1;
                Some(NAP)
            } else {
                state.is_asleep = true;
                until.map(|until| until.saturating_duration_since(Instant::now()))
            };
            state = match nap {
                Some(nap) => self.arrived.wait_timeout(state, nap).unwrap_or_else(PoisonError::into_inner).0,
                None => self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        (state.is_hurried, state.is_asleep) = (false, false);
        state.bytes = 0;
        let records = std::mem::replace(&mut state.records, spare);
        let dropped = std::mem::take(&mut state.dropped);
        let drained = Drained { records, upto: state.pushed, dropped, is_closed: state.is_closed };
        drop(state);
        self.room.notify_all();
        drained
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::sample;

    fn ring(when_full: WhenFull) -> Ring {
        Ring::new(Bounds { records_max: 4, bytes_max: 1 << 20 }, when_full)
    }

    fn levels_of(ring: &Ring) -> (Vec<i32>, u64) {
        let drained = ring.drain(Vec::new(), Some(Instant::now()));
        (drained.records.iter().map(|record| record.level.0).collect(), drained.dropped)
    }

    fn push(ring: &Ring, level: Level) -> Pushed {
        ring.push(sample(level, "app", "x", &[]))
    }

    #[test]
    fn what_is_new_is_dropped_and_counted() {
        let ring = ring(WhenFull::DropNew);
        for level in 1..=6 {
            push(&ring, Level(level));
        }
        assert_eq!(levels_of(&ring), (vec![1, 2, 3, 4], 2));
        assert_eq!(ring.counts(), (4, 2));
        assert!(matches!(push(&ring, Level::INFO), Pushed::Taken));
    }

    #[test]
    fn debug_is_dropped_first() {
        let ring = ring(WhenFull::DropDebugFirst);
        for level in [10, 10, 10, 10, 20, 30, 5] {
            push(&ring, Level(level));
        }
        assert_eq!(levels_of(&ring), (vec![10, 10, 10, 20], 3));
    }

    #[test]
    fn who_waits_goes_on_when_there_is_room() {
        let ring = ring(WhenFull::Block);
        for _ in 0..4 {
            assert!(matches!(push(&ring, Level::INFO), Pushed::Taken));
        }
        assert!(matches!(push(&ring, Level::INFO), Pushed::Full(_)));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| ring.push_waiting(sample(Level::ERROR, "app", "y", &[])));
            assert_eq!(levels_of(&ring).0.len(), 4);
            assert!(matches!(waiting.join().expect("no panic"), Pushed::Taken));
        });
        assert_eq!(levels_of(&ring), (vec![40], 0));
    }

    #[test]
    fn a_record_larger_than_the_room_passes_alone() {
        let ring = Ring::new(Bounds { records_max: 10, bytes_max: 100 }, WhenFull::DropNew);
        assert!(matches!(push(&ring, Level::INFO), Pushed::Taken));
        assert!(matches!(push(&ring, Level::INFO), Pushed::Dropped));
    }

    #[test]
    fn nothing_is_taken_after_the_end() {
        let ring = ring(WhenFull::Block);
        push(&ring, Level::INFO);
        ring.close();
        assert!(matches!(push(&ring, Level::INFO), Pushed::Closed(_)));
        assert!(matches!(ring.push_waiting(sample(Level::INFO, "app", "x", &[])), Pushed::Closed(_)));
        assert_eq!(levels_of(&ring).0, [20]);
    }
}
